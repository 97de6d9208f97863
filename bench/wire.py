"""A few hand-made request frames: independent of the code that is measured.

Frames are bytes with the 4-byte length in front. Only what the load generators need: ApiVersions v0, Metadata v1,
CreateTopics v4, DeleteTopics v3, ListOffsets v1, Produce v10 (what librdkafka 2.x sends) with one batch.
"""

from __future__ import annotations

import socket
import struct
import time

import crc32c

CLIENT_ID = b"bench"


def _string(text: str) -> bytes:
    raw = text.encode()
    return struct.pack(">h", len(raw)) + raw


def frame(api_key: int, version: int, body: bytes, correlation_id: int = 0, flexible: bool = False) -> bytes:
    """A request with header v1, or v2 when `flexible`."""
    head = struct.pack(">hhih", api_key, version, correlation_id, len(CLIENT_ID)) + CLIENT_ID
    if flexible:
        head += b"\0"
    return struct.pack(">i", len(head) + len(body)) + head + body


def _varint(value: int) -> bytes:
    value = (value << 1) ^ (value >> 63)
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _uvarint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def record_batch(values: list[bytes], timestamp_ms: int | None = None) -> bytes:
    """One uncompressed magic 2 batch with null keys."""
    now_ms = timestamp_ms if timestamp_ms is not None else int(time.time() * 1000)
    records = bytearray()
    for index, value in enumerate(values):
        body = b"\0" + _varint(0) + _varint(index) + _varint(-1) + _varint(len(value)) + value + _varint(0)
        records += _varint(len(body)) + body
    last = len(values) - 1
    after_crc = struct.pack(">hiqqqhii", 0, last, now_ms, now_ms, -1, -1, -1, len(values)) + bytes(records)
    return struct.pack(">qiibI", 0, len(after_crc) + 9, -1, 2, crc32c.crc32c(after_crc)) + after_crc


def produce_frame(topic: str, partition: int, batch: bytes, acks: int = -1) -> bytes:
    """Produce v10 for one partition."""
    name = topic.encode()
    body = (
        b"\0"  # no transactional id
        + struct.pack(">hi", acks, 30000)
        + b"\x02"
        + _uvarint(len(name) + 1)
        + name
        + b"\x02"
        + struct.pack(">i", partition)
        + _uvarint(len(batch) + 1)
        + batch
        + b"\0\0\0"
    )
    return frame(0, 10, body, flexible=True)


def produce_error_offset(topic: str) -> int:
    """Where the partition's error code stands in the answer to `produce_frame`, from the length field on."""
    return 4 + 4 + 1 + 1 + len(_uvarint(len(topic.encode()) + 1)) + len(topic.encode()) + 1 + 4


def read_frame(sock: socket.socket) -> bytes:
    """One answer without its length field; raises EOFError when the peer closes."""
    head = _read_exactly(sock, 4)
    return _read_exactly(sock, struct.unpack(">i", head)[0])


def _read_exactly(sock: socket.socket, count: int) -> bytes:
    out = bytearray()
    while len(out) < count:
        piece = sock.recv(count - len(out))
        if not piece:
            raise EOFError("the peer closed the connection")
        out += piece
    return bytes(out)


def connect(bootstrap: str, timeout_seconds: float = 10.0) -> socket.socket:
    """A blocking socket to "host:port"."""
    host, port = bootstrap.rsplit(":", 1)
    sock = socket.create_connection((host, int(port)), timeout=timeout_seconds)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def ask(bootstrap: str, request: bytes, timeout_seconds: float = 10.0) -> bytes:
    """One request on its own connection; the answer after the correlation id."""
    with connect(bootstrap, timeout_seconds) as sock:
        sock.sendall(request)
        return read_frame(sock)[4:]


def is_ready(bootstrap: str) -> bool:
    """Whether Metadata v1 is answered and names a broker."""
    try:
        answer = ask(bootstrap, frame(3, 1, struct.pack(">i", 0)), 2.0)
    except (OSError, EOFError):
        return False
    brokers: int = struct.unpack_from(">i", answer)[0]
    return brokers > 0


def list_offsets_frame(topic: str, partition: int) -> bytes:
    """ListOffsets v1, the latest offset of one partition."""
    body = struct.pack(">ii", -1, 1) + _string(topic) + struct.pack(">iiq", 1, partition, -1)
    return frame(2, 1, body)


def list_offsets_error(answer: bytes, topic: str) -> int:
    """The error code in the answer to `list_offsets_frame`."""
    code: int = struct.unpack_from(">h", answer, 4 + 2 + len(topic.encode()) + 4 + 4)[0]
    return code


def create_topic(bootstrap: str, name: str, partitions: int = 1, configs: dict[str, str] | None = None) -> None:
    """CreateTopics v4; raises RuntimeError with the code when refused (a topic that exists is fine)."""
    body = struct.pack(">i", 1) + _string(name) + struct.pack(">ihi", partitions, 1, 0)
    body += struct.pack(">i", len(configs or {}))
    for key, value in (configs or {}).items():
        body += _string(key) + _string(value)
    body += struct.pack(">ib", 60000, 0)
    answer = ask(bootstrap, frame(19, 4, body), 90.0)
    code = struct.unpack_from(">h", answer, 4 + 4 + 2 + len(name.encode()))[0]
    if code not in (0, 36):
        raise RuntimeError(f"CreateTopics {name}: error {code}")


def delete_topic(bootstrap: str, name: str) -> None:
    """DeleteTopics v3; raises RuntimeError with the code when refused."""
    answer = ask(bootstrap, frame(20, 3, struct.pack(">i", 1) + _string(name) + struct.pack(">i", 60000)), 90.0)
    code = struct.unpack_from(">h", answer, 4 + 4 + 2 + len(name.encode()))[0]
    if code != 0:
        raise RuntimeError(f"DeleteTopics {name}: error {code}")
