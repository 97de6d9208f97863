"""Connection, framing, versions (behaviours of the broker before any handler is reached)."""

import struct
from collections.abc import Callable

import pytest

from compat_tests.raw import messages
from compat_tests.raw.connection import request_header
from compat_tests.raw.wire import Wire

Connect = Callable[[], Wire]

API_VERSIONS = 18
METADATA = 3
MAX_REQUEST_BYTES = 104857600
SOFTWARE = b"\x04raw\x021\0"  # clientSoftwareName "raw", clientSoftwareVersion "1", no tags


@pytest.mark.parametrize("version", [5, 99, -1])
def test_api_versions_of_unknown_version_is_answered_in_v0_format(wire: Wire, version: int) -> None:
    wire.send_frame(request_header(API_VERSIONS, version, 7, flexible=True) + SOFTWARE)
    frame = wire.read_frame()
    assert frame[:4] == struct.pack(">i", 7)
    answer = messages.decode_response("ApiVersions", 0, frame[4:])
    assert answer.error_code == 35
    listed = [(a.api_key, a.min_version, a.max_version) for a in answer.api_keys]
    assert listed == [(API_VERSIONS, 0, 4)], "ApiVersions alone is listed"
    wire.assert_alive()


def test_api_versions_of_unknown_version_with_header_v1_closes(wire: Wire) -> None:
    wire.send_frame(request_header(API_VERSIONS, 5, 7, flexible=False))
    wire.assert_closed("ApiVersions v5 whose header lacks the tag byte")


@pytest.mark.parametrize(("name", "version"), [("", "1"), ("a b!", "1"), ("raw", ""), ("raw", "a b!")])
def test_api_versions_with_bad_client_software_is_invalid_request(wire: Wire, name: str, version: str) -> None:
    answer = wire.ask("ApiVersions", 3, client_software_name=name, client_software_version=version)
    assert answer.error_code == 42
    wire.assert_alive()


@pytest.mark.parametrize(
    ("api", "version"),
    [("Metadata", 14), ("Fetch", 3), ("Fetch", 19), ("Produce", 0), ("Produce", 1), ("Produce", 2), ("Produce", 14),
     ("InitProducerId", 6), ("ListOffsets", 0), ("CreateTopics", 1), ("JoinGroup", 10), ("Metadata", -1)],
)  # fmt: skip
def test_unsupported_version_closes(wire: Wire, api: str, version: int) -> None:
    flexible = messages.request_is_flexible(api, version)
    wire.send_frame(request_header(messages.api_key(api), version, 1, flexible=flexible) + bytes(64))
    wire.assert_closed(f"{api} v{version}")


@pytest.mark.parametrize(
    "key", [93, 1000, -1, 4, 5, 6, 7, 52, 53, 54, 56, 58, 59, 62, 63, 67, 70, 73, 82],
)  # fmt: skip
def test_unknown_removed_or_controller_only_key_closes(wire: Wire, key: int) -> None:
    wire.send_frame(request_header(key, 0, 1, flexible=True) + bytes(64))
    wire.assert_closed(f"api key {key}")


@pytest.mark.parametrize("size", [-1, 0, 2, MAX_REQUEST_BYTES + 1, 2**31 - 1, -(2**31)])
def test_bad_frame_size_closes(wire: Wire, size: int) -> None:
    wire.send_bytes(struct.pack(">i", size) + b"\0\0\0\0"[: max(0, min(size, 4))])
    wire.assert_closed(f"frame of size {size}")


def test_largest_frame_size_waits_for_the_bytes(wire: Wire) -> None:
    wire.send_bytes(struct.pack(">i", MAX_REQUEST_BYTES) + request_header(METADATA, 12, 1, flexible=True))
    wire.assert_silent("a frame of socket.request.max.bytes whose bytes are still to come")


def test_frame_that_comes_byte_by_byte_is_answered(wire: Wire) -> None:
    payload = request_header(API_VERSIONS, 3, 9, flexible=True) + SOFTWARE
    for byte in struct.pack(">i", len(payload)) + payload:
        wire.send_bytes(bytes([byte]))
    assert messages.decode_response("ApiVersions", 3, wire.response_body("ApiVersions", 3, 9)).error_code == 0


def test_header_without_client_id_bytes_closes(wire: Wire) -> None:
    wire.send_frame(struct.pack(">hhi", METADATA, 1, 1))
    wire.assert_closed("a header that ends before the client id")


def test_client_id_null_is_fine(wire: Wire) -> None:
    assert wire.ask("ApiVersions", 0, client_id=None).error_code == 0
    assert wire.ask("Metadata", 12, client_id=None, topics=[]).topics == []


@pytest.mark.parametrize(("api", "version"), [("Metadata", 1), ("Metadata", 12), ("ListGroups", 2)])
def test_bytes_left_over_after_the_body_are_ignored(wire: Wire, api: str, version: int) -> None:
    fields = {"topics": []} if api == "Metadata" else {}
    body = messages.encode_request(api, version, fields)
    correlation_id = wire.send_body(api, version, body + b"left over")
    wire.answer(api, version, correlation_id)
    wire.assert_alive()


@pytest.mark.parametrize(
    ("what", "version", "body"),
    [
        ("empty body", 1, b""),
        ("array of one element without the element", 1, struct.pack(">i", 1)),
        ("array count 2^31-1", 1, struct.pack(">i", 2**31 - 1)),
        ("string length -2", 1, struct.pack(">ih", 1, -2)),
        ("string longer than the frame", 1, struct.pack(">ih", 1, 100) + b"abc"),
        ("compact array of 2^31-2", 9, b"\xff\xff\xff\xff\x07"),
        ("varint that does not end", 9, b"\xff\xff\xff\xff\xff\xff"),
        ("body without its tag byte", 9, b"\x01\x00\x00\x00"),
    ],
)
def test_body_that_does_not_decode_closes(connect: Connect, what: str, version: int, body: bytes) -> None:
    wire = connect()
    wire.send_body("Metadata", version, body)
    wire.assert_closed(what)
    connect().assert_alive()


def test_unknown_tagged_fields_in_header_and_body_are_ignored(wire: Wire) -> None:
    tags = b"\x02\x05\x02ab\xa0\x8d\x06\x01z"  # two fields: tag 5 and tag 100000
    body = b"\x01" + b"\x00\x00\x00"[:2] + tags  # no topics, no auto creation, no authorized operations
    wire.send_frame(request_header(METADATA, 12, 3, flexible=True, tags=tags) + body)
    assert messages.decode_response("Metadata", 12, wire.response_body("Metadata", 12, 3)).topics == []


def test_pipelined_requests_are_answered_in_order(wire: Wire, topic: str) -> None:
    wire.create(topic)
    sent = []
    for number in range(30):
        match number % 3:
            case 0:
                # An empty fetch waits; what was sent after it has to wait as well.
                fields = wire.fetch_fields(topic, 0, max_wait_ms=3, min_bytes=1)
                sent.append(("Fetch", 12, wire.send("Fetch", 12, **fields)))
            case 1:
                sent.append(("Metadata", 9, wire.send("Metadata", 9, topics=[{"name": topic}])))
            case _:
                sent.append(("ApiVersions", 0, wire.send("ApiVersions", 0)))
    for api, version, correlation_id in sent:
        wire.answer(api, version, correlation_id)


def test_sasl_on_a_plain_listener(wire: Wire) -> None:
    for version in (0, 1):
        handshake = wire.ask("SaslHandshake", version, mechanism="PLAIN")
        assert (handshake.error_code, handshake.mechanisms) == (34, [])
    for version in (0, 1, 2):
        answer = wire.ask("SaslAuthenticate", version, auth_bytes=b"\0user\0password")
        assert answer.error_code == 34
        assert answer.error_message == "SaslAuthenticate request received after successful authentication"
    wire.assert_alive()


def test_one_closed_connection_leaves_the_others(connect: Connect) -> None:
    victim, other = connect(), connect()
    victim.send_bytes(struct.pack(">i", -5))
    victim.assert_closed("negative frame size")
    other.assert_alive()
