"""What is left of a partition of `__consumer_offsets` that is being loaded: the last value of each key, still as bytes.

A partition that was not compacted yet holds a thousand commits for each that counts. So keys and values are told apart
without being decoded, and only the last ones are replayed, in the order in which they were written: what comes out is
what replaying every record gives. Offsets of transactions wait for their marker here as they do when replayed.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator

from broker.group.durable import DurableState
from broker.group.record_batches import unpack_pairs
from broker.group.record_codec import GROUP_KEY_VERSION, OFFSET_KEY_VERSIONS, decode_end, decode_record
from broker.group.records import CoordinatorRecord, GroupRecord, OffsetRecord, StoredGroup
from kwire.errors import CorruptRecordsError, DecodeError, KwireError
from kwire.records import HEADER_SIZE, read_records
from kwire.records.batch import BatchHeader

Damaged = Callable[[int, KwireError], None]
"""Told of what cannot be read and is passed over: its offset, and why."""

# Of a batch's header: base offset, length, attributes, producer id, record count.
_BATCH = struct.Struct(">qi9xh20xq6xi")
_LOG_OVERHEAD = 12
_LEAST_LENGTH = HEADER_SIZE - _LOG_OVERHEAD
_NOT_PLAIN = 0x37  # compressed, transactional or control
_LEAST_PLAIN = 24
"""Bytes of a batch's body that hold a plain value."""
_INT16 = struct.Struct(">h")
# Stands for a group that its offsets brought into being, and that is left without them.
_BARE_GROUP = b""
_RECORDS_A_SLICE = 500
_RECORD_BYTES = 100


class Survivors:
    """`read` all of the partition, then `replay` into its state."""

    __slots__ = ("_last", "_overtaken_up_to", "_pending", "_recorded")

    def __init__(self) -> None:
        self._last: dict[bytes, bytes | None] = {}
        """By rising position of the record. None: a group's tombstone; those of offsets leave nothing."""
        self._pending: dict[int, dict[bytes, tuple[bytes, int]]] = {}
        """Producer id -> key -> value and its place among all that were pending."""
        self._overtaken_up_to: dict[bytes, int] = {}
        """While something is pending: at that place or before it, a pending value of the key is not to come into
        force."""
        self._recorded = 0

    def read(self, chunk: memoryview, damaged: Damaged) -> None:
        """Take in whole batches. CorruptRecordsError: they are none."""
        data = bytes(chunk)
        end = len(data)
        position = 0
        last = self._last
        unpack = _BATCH.unpack_from
        while position < end:
            base_offset, length, attributes, producer_id, count = unpack(data, position)
            start = position
            body = position + HEADER_SIZE
            position += _LOG_OVERHEAD + length
            if length < _LEAST_LENGTH or position > end:
                raise CorruptRecordsError(f"a batch of {length} bytes at offset {base_offset}")
            if (
                count == 1
                and position - body >= _LEAST_PLAIN
                and producer_id == -1
                and not attributes & _NOT_PLAIN
                and not self._pending
            ):
                # One plain record, as each commit of one offset leaves it. Lengths below 64 take one byte.
                at = body + 4 if data[body] < 0x80 else body + 5
                size = data[at]
                if data[at - 2] == 0 == data[at - 1] and size < 0x80 and not size & 1:
                    key_end = at + 1 + (size >> 1)
                    key = data[at + 1 : key_end]
                    value = data[key_end + 1 : position - 1]
                    if key_end < position and data[key_end] == len(value) << 1 and _is_plain_value(value):
                        if key in last:
                            del last[key]
                            last[key] = value
                            continue
                        if _is_plain_key(key):
                            last[key] = value
                            continue
            try:
                self._read_batch(data, start, body, position, base_offset, attributes, producer_id, count, damaged)
            except KwireError as error:
                damaged(base_offset, error)

    def _read_batch(
        self,
        data: bytes,
        start: int,
        body: int,
        end: int,
        base_offset: int,
        attributes: int,
        producer_id: int,
        count: int,
        damaged: Damaged,
    ) -> None:
        header = BatchHeader.peek(data, start)
        if header.is_control:
            marker = decode_end(memoryview(data), header)
            if marker is not None:
                self._end(marker.producer_id, committed=marker.committed)
            return
        if header.is_compressed:
            pairs: Iterable[tuple[bytes | None, bytes | None]] = (
                (record.key, record.value) for record in read_records(data, start)
            )
        else:
            pairs = unpack_pairs(data[body:end], count)
        for offset, (key, value) in enumerate(pairs, base_offset):
            if key is None:
                continue
            if len(key) < 2:
                damaged(offset, DecodeError(f"a coordinator record's key of {len(key)} bytes"))
                continue
            version = key[0] << 8 | key[1]
            if version in OFFSET_KEY_VERSIONS or version == GROUP_KEY_VERSION:
                try:
                    decode_record(key, value)
                except KwireError as error:
                    # What the key had before stays in force.
                    damaged(offset, error)
                    continue
                if version == GROUP_KEY_VERSION:
                    self._put(key, value)
                else:
                    self._offset(key, value, producer_id)

    def _put(self, key: bytes, value: bytes | None) -> None:
        self._last.pop(key, None)
        self._last[key] = value

    def _offset(self, key: bytes, value: bytes | None, producer_id: int) -> None:
        if value is None:
            if self._last.pop(key, None) is not None:
                self._touch(key)
            for producer, keys in list(self._pending.items()):
                if keys.pop(key, None) is not None and not keys:
                    del self._pending[producer]
        elif producer_id != -1:
            self._recorded += 1
            self._touch(key)
            self._pending.setdefault(producer_id, {})[key] = (value, self._recorded)
            return
        else:
            self._put(key, value)
            if self._pending:
                self._overtaken_up_to[key] = self._recorded
        if not self._pending:
            self._overtaken_up_to.clear()

    def _touch(self, offset_key: bytes) -> None:
        """The group of an offset exists since then, whatever becomes of the offset."""
        end = 4 + _INT16.unpack_from(offset_key, 2)[0]
        key = b"\x00\x02" + offset_key[2:end]
        if self._last.get(key) is None:
            self._put(key, _BARE_GROUP)

    def _end(self, producer_id: int, *, committed: bool) -> None:
        overtaken = self._overtaken_up_to
        for key, (value, place) in self._pending.pop(producer_id, {}).items():
            if committed and overtaken.get(key, -1) < place:
                self._put(key, value)
                overtaken[key] = place
        if not self._pending:
            overtaken.clear()

    def replay(self, state: DurableState) -> Iterator[int]:
        """Replay what is left into an empty state, some hundred records at a time; yields how many bytes' worth."""
        for count, (key, value) in enumerate(self._last.items(), 1):
            record = _decode(key, value)
            assert record is not None
            state.replay(record)
            if count % _RECORDS_A_SLICE == 0:
                yield _RECORDS_A_SLICE * _RECORD_BYTES
        self._last.clear()
        waiting = [
            (place, producer_id, key, value)
            for producer_id, keys in self._pending.items()
            for key, (value, place) in keys.items()
        ]
        for place, producer_id, key, value in sorted(waiting):
            record = _decode(key, value)
            assert isinstance(record, OffsetRecord)
            overtaken = self._overtaken_up_to.get(key, -1) >= place
            state.restore_pending(producer_id, record, place, overtaken=overtaken)
        state.pending.recorded = self._recorded
        self._pending.clear()


def _is_plain_key(key: bytes) -> bool:
    """Certainly an OffsetCommitKey that can be decoded: version 1, lengths that fit, names of ASCII."""
    try:
        at = 4 + (key[2] << 8 | key[3])
        return key[:2] == b"\0\1" and at + 6 + (key[at] << 8 | key[at + 1]) == len(key) and key.isascii()
    except IndexError:
        return False


def _is_plain_value(value: bytes) -> bool:
    """Certainly an OffsetCommitValue that can be decoded: version 4 with empty metadata, without or with a topic id."""
    size = len(value)
    if size == 24:
        return value[:2] == b"\0\4" and value[14] == 1 and value[23] == 0
    return size == 42 and value[:2] == b"\0\4" and value[14] == 1 and value[23:26] == b"\1\0\x10"


def _decode(key: bytes, value: bytes | None) -> CoordinatorRecord | None:
    if value == _BARE_GROUP and value is not None:
        group = decode_record(key, None)
        assert isinstance(group, GroupRecord)
        return GroupRecord(group.group_id, StoredGroup())
    return decode_record(key, value)
