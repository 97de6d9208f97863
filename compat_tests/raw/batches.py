"""Record batches (magic 2) made by hand, so that each field may lie."""

import struct
import time
from collections.abc import Sequence

import crc32c
from attrs import evolve, frozen


def varint(value: int) -> bytes:
    """A zigzag varint."""
    value = (value << 1) ^ (value >> 63)
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@frozen
class Rec:
    """A record; the deltas default to its place in the batch."""

    value: bytes | None = b"v"
    key: bytes | None = b"k"
    headers: Sequence[tuple[str, bytes | None]] = ()
    offset_delta: int | None = None
    timestamp_delta: int = 0

    def encode(self, index: int) -> bytes:
        delta = index if self.offset_delta is None else self.offset_delta
        body = bytearray(b"\0") + varint(self.timestamp_delta) + varint(delta)
        for blob in (self.key, self.value):
            body += varint(-1) if blob is None else varint(len(blob)) + blob
        body += varint(len(self.headers))
        for name, blob in self.headers:
            body += varint(len(name)) + name.encode()
            body += varint(-1) if blob is None else varint(len(blob)) + blob
        return varint(len(body)) + bytes(body)


@frozen
class Batch:
    """A batch; what is None is computed truthfully. ``body`` replaces the encoded (or compressed) records."""

    records: Sequence[Rec] = (Rec(),)
    base_offset: int = 0
    leader_epoch: int = -1
    magic: int = 2
    crc: int | None = None
    attributes: int = 0
    last_offset_delta: int | None = None
    base_timestamp: int | None = None
    max_timestamp: int | None = None
    producer_id: int = -1
    producer_epoch: int = -1
    base_sequence: int = -1
    count: int | None = None
    body: bytes | None = None

    def encode(self) -> bytes:
        base = now_ms() if self.base_timestamp is None else self.base_timestamp
        latest = base + max((r.timestamp_delta for r in self.records), default=0)
        crced = struct.pack(
            ">hiqqqhii",
            self.attributes,
            len(self.records) - 1 if self.last_offset_delta is None else self.last_offset_delta,
            base,
            latest if self.max_timestamp is None else self.max_timestamp,
            self.producer_id,
            self.producer_epoch,
            self.base_sequence,
            len(self.records) if self.count is None else self.count,
        ) + (self.encode_records() if self.body is None else self.body)
        crc = crc32c.crc32c(crced) if self.crc is None else self.crc
        return struct.pack(">qiibI", self.base_offset, len(crced) + 9, self.leader_epoch, self.magic, crc) + crced

    def encode_records(self) -> bytes:
        return b"".join(record.encode(index) for index, record in enumerate(self.records))

    def but(self, **changes: object) -> "Batch":
        return evolve(self, **changes)  # type: ignore[arg-type]


def batch(*values: bytes | None, **fields: object) -> bytes:
    """The bytes of a batch with one record a value."""
    return Batch(records=[Rec(value=v) for v in values or (b"v",)], **fields).encode()  # type: ignore[arg-type]


@frozen
class Header:
    """What a fetched batch's header says."""

    base_offset: int
    size: int  # of the whole batch, bytes
    leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    base_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    count: int
    crc_ok: bool

    @property
    def last_offset(self) -> int:
        return self.base_offset + self.last_offset_delta


def headers(data: bytes | memoryview | None) -> list[Header]:
    """The headers of the whole batches in ``data``; a cut one at the end is left out."""
    data = bytes(data or b"")
    found = []
    position = 0
    while position + 61 <= len(data):
        base, length, epoch, magic, crc = struct.unpack_from(">qiibI", data, position)
        end = position + 12 + length
        if end > len(data):
            break
        rest = struct.unpack_from(">hiqqqhii", data, position + 21)
        crc_ok = crc32c.crc32c(data[position + 21 : end]) == crc
        found.append(Header(base, 12 + length, epoch, magic, crc, *rest, crc_ok))
        position = end
    return found
