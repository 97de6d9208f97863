from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kwire.api_keys import ApiKey
from kwire.errors import DecodeError, EncodeError
from kwire.headers import (
    RequestHeader,
    ResponseHeader,
    decode_request_header,
    decode_response_header,
    encode_request_header,
    encode_response_header,
    request_header_version,
    response_header_version,
)

TAGS = st.none() | st.dictionaries(st.integers(0, 0x7FFFFFFE), st.binary(max_size=20), min_size=1, max_size=5)
HEADERS = st.builds(
    RequestHeader,
    st.sampled_from([int(key) for key in ApiKey]),
    st.integers(0, 20),
    st.integers(-(1 << 31), (1 << 31) - 1),
    st.none() | st.text(max_size=200),
)


@given(HEADERS, TAGS)
def test_request_header_there_and_back(header: RequestHeader, tags: dict[int, bytes] | None) -> None:
    version = request_header_version(header.api_key, header.api_version)
    header = header._replace(unknown_tagged_fields=tags if version == 2 else None)
    if version == 0:
        header = header._replace(client_id=None)
    raw = encode_request_header(header)
    for data in (raw, raw + b"body", memoryview(raw)):
        assert decode_request_header(data) == (header, len(raw))
    assert decode_request_header(b"..." + raw + b"body", 3) == (header, 3 + len(raw))
    for cut in range(len(raw)):
        with pytest.raises(DecodeError):
            decode_request_header(raw[:cut])


@given(st.binary(max_size=60))
def test_hostile_request_headers(data: bytes) -> None:
    try:
        header, pos = decode_request_header(data)
    except DecodeError:
        return
    assert 8 <= pos <= len(data)
    assert header.api_key == int.from_bytes(data[:2], "big", signed=True)


def test_versions() -> None:
    assert [request_header_version(ApiKey.PRODUCE, v) for v in (3, 8, 9, 13)] == [1, 1, 2, 2]
    assert [response_header_version(ApiKey.PRODUCE, v) for v in (3, 8, 9, 13)] == [0, 0, 1, 1]
    assert [request_header_version(ApiKey.API_VERSIONS, v) for v in (0, 2, 3, 4)] == [1, 1, 2, 2]
    assert [response_header_version(ApiKey.API_VERSIONS, v) for v in (0, 2, 3, 4)] == [0, 0, 0, 0]
    assert [request_header_version(ApiKey.CONTROLLED_SHUTDOWN, v) for v in (0, 1, 3)] == [0, 1, 2]
    assert [request_header_version(ApiKey.SASL_HANDSHAKE, v) for v in (0, 1)] == [1, 1]
    for function in (request_header_version, response_header_version):
        with pytest.raises(DecodeError, match="unknown api key 999"):
            function(999, 0)


def test_a_header_of_an_unknown_api_is_read_for_its_numbers() -> None:
    raw = bytes.fromhex("03e7 0005 0000002a 0003 616263")
    assert decode_request_header(raw) == (RequestHeader(999, 5, 42, "abc"), len(raw))


def test_bad_client_ids() -> None:
    for tail in ("fffe", "0002 61", "0001 ff", "7fff 61"):
        with pytest.raises(DecodeError):
            decode_request_header(bytes.fromhex("0003 0001 00000000" + tail))


def test_tagged_fields_are_bounded() -> None:
    head = bytes.fromhex("0003 000c 00000000 ffff")
    with pytest.raises(DecodeError):
        decode_request_header(head + b"\xff\xff\xff\xff\x0f" + bytes(50))
    with pytest.raises(DecodeError):
        decode_request_header(head + b"\x01\x05\xff\xff\xff\xff\x0f")
    many = b"".join(bytes([tag, 1, tag]) for tag in range(100))
    header, pos = decode_request_header(head + b"\x64" + many)
    assert pos == len(head) + 1 + len(many)
    assert header.unknown_tagged_fields is not None
    assert len(header.unknown_tagged_fields) == 64


def test_encode_refuses() -> None:
    for header in (
        RequestHeader(3, 1, 1 << 31, ""),
        RequestHeader(3, 1, 0, "x" * 32768),
        RequestHeader(3, 1, 0, "\ud800"),
    ):
        with pytest.raises(EncodeError):
            encode_request_header(header)


@given(st.integers(-(1 << 31), (1 << 31) - 1), st.sampled_from([0, 1]))
def test_response_header(correlation_id: int, version: int) -> None:
    raw = encode_response_header(version, correlation_id)
    assert decode_response_header(version, raw + b"body") == (ResponseHeader(correlation_id), 4 + version)
    with pytest.raises(DecodeError):
        decode_response_header(version, raw[:-1])


def test_response_header_tags_are_kept() -> None:
    raw = bytes.fromhex("0000002a 02 05 01 ff 81 01 00")
    assert decode_response_header(1, raw) == (ResponseHeader(42, {5: b"\xff", 129: b""}), len(raw))
