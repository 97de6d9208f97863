"""Keys, offsets and places of a batch's records, read in one pass.

The records are in the log, so they were walked and found sound when they were appended, and their CRC has been
compared; here is only made sure that no damage leads out of the batch.

Producers mostly send records of one shape. In a run of records of equal size each field stands at the same distance
from its record's start, so the bytes that steer the reading are taken out of all of them by slices with a step; that
costs a fifth of reading one record after the other. (As in ``log.record_runs``.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from attrs import define

from kwire.errors import CorruptRecordsError
from kwire.records.varint import read_varint, read_varlong, wrap_int64

_MIN_RUN: Final = 8
_MAX_RUN: Final = 4096
_MAX_PAUSE: Final = 512
_LAST: Final = bytes(range(0x80))
"""What the last byte of a varint may be."""
_MORE: Final = bytes(range(0x80, 0x100))
_BYTES: Final = tuple(bytes((byte,)) for byte in range(256))


@define(slots=True)
class Records:
    """The records of one batch, in order."""

    data: bytes
    keys: list[bytes | None]
    offset_deltas: list[int]
    starts: list[int]
    """Where each begins in ``data``, and where the last one ends."""
    without_key: list[int]
    """Indices of the records with a null key."""
    without_value: list[int]
    """Indices of the records with a null value: tombstones."""


def scan_records(data: bytes, position: int, end: int, count: int) -> Records:
    """The ``count`` records in ``data[position:end]``. CorruptRecordsError: they do not fill it."""
    try:
        found = _scan(data, position, end, count)
    except (IndexError, ValueError) as error:
        raise CorruptRecordsError(f"Found invalid record structure: {error}") from None
    if found.starts[-1] != end and count:
        raise CorruptRecordsError(f"{count} records end at {found.starts[-1]}, the batch at {end}")
    return found


def scan_record(data: bytes, position: int, end: int) -> tuple[bytes | None, int, bool]:
    """Key, offset delta and whether there is a value of the only record, which is ``data[position:end]``.

    CorruptRecordsError: it does not fill it."""
    try:
        length, position = read_varint(data, position)
        if position + length != end:
            raise CorruptRecordsError(f"a record of {length} bytes, {end - position} are left")
        position += 1
        while data[position] >= 0x80:
            position += 1
        delta = data[position + 1]
        if delta < 0x80:
            delta >>= 1
            position += 2
        else:
            delta, position = read_varint(data, position + 1)
        size = data[position]
        if size < 0x80 and not size & 1:
            size >>= 1
            position += 1
        else:
            size, position = read_varint(data, position)
        key = None if size < 0 else data[position : position + size]
        if size > 0:
            position += size
        if position >= end:
            raise CorruptRecordsError("Found invalid record structure")
        return key, delta, data[position] != 1
    except (IndexError, ValueError) as error:
        raise CorruptRecordsError(f"Found invalid record structure: {error}") from None


def _scan(data: bytes, position: int, end: int, count: int) -> Records:
    keys: list[bytes | None] = []
    deltas: list[int] = []
    starts: list[int] = []
    without_key: list[int] = []
    without_value: list[int] = []
    index = 0
    run_from = pause = 0
    if count < _MIN_RUN:
        run_from = count
    while index < count:
        start = position
        starts.append(position)
        # length
        byte = data[position]
        if byte < 0x80:
            position += 1
            after = position + (byte >> 1)
        else:
            second = data[position + 1]
            if second < 0x80:
                position += 2
                after = position + ((byte & 0x7F | second << 7) >> 1)
            else:
                length, position = read_varint(data, position)
                after = position + length
                if length < 0:
                    raise ValueError("record length")
        # attributes, timestamp delta
        position += 1
        while data[position] >= 0x80:
            position += 1
        position += 1
        # offset delta
        offset_at = position
        byte = data[position]
        position += 1
        if byte >= 0x80:
            second = data[position]
            if second < 0x80:
                byte = byte & 0x7F | second << 7
                position += 1
            else:
                byte, position = read_varint(data, position - 1)
                byte *= 2
        deltas.append(byte >> 1)
        # key
        key_at = position
        byte = data[position]
        position += 1
        if byte >= 0x80:
            size, position = read_varint(data, key_at)
            if size < 0:
                raise ValueError("key length")
            byte = size << 1
        if byte & 1:
            keys.append(None)
            without_key.append(index)
        else:
            key_start = position
            position += byte >> 1
            keys.append(data[key_start:position])
        # value
        if data[position] == 1:
            without_value.append(index)
        if position >= after or after > end:
            raise ValueError("record length")
        index += 1
        if index >= run_from and count - index >= _MIN_RUN and not byte & 1:
            taken = _take_run(
                Records(data, keys, deltas, starts, without_key, without_value),
                (start, offset_at, key_at, position - (byte >> 1), position, after),
                min(count - index, (end - after) // (after - start), _MAX_RUN),
                index,
            )
            index += taken
            after += taken * (after - start)
            if taken >= _MIN_RUN:
                pause = 0
            else:
                pause = min(2 * pause + 1, _MAX_PAUSE)
                run_from = index + pause
        position = after
    starts.append(position)
    return Records(data, keys, deltas, starts, without_key, without_value)


def _take_run(records: Records, places: tuple[int, int, int, int, int, int], wanted: int, index: int) -> int:
    """Take those of the next ``wanted`` records that have the shape of the one at ``places``: where its length, its
    offset delta, its key's length, its key, its value's length begin, and where it ends. ``index`` is the next one's.
    """
    start, offset_at, key_at, key_start, value_at, end = places
    data = records.data
    step = end - start
    count = wanted
    # The bytes that must be the same: record length, key length, whether there is a value.
    body = start + 1
    while data[body - 1] >= 0x80:
        body += 1
    for place in (*range(start, body), *range(key_at, key_start), value_at):
        column = data[place + step : place + step + count * step : step]
        count = len(column) - len(column.lstrip(_BYTES[data[place]]))
        if not count:
            return 0
    # Those of the deltas, of which only the width must be the same.
    for place in (*range(body + 1, offset_at), *range(offset_at, key_at)):
        column = data[place + step : place + step + count * step : step]
        count = len(column) - len(column.lstrip(_LAST if data[place] < 0x80 else _MORE))
        if not count:
            return 0
    width = key_at - offset_at
    low = data[offset_at + step : offset_at + step + count * step : step]
    if width == 1:
        deltas = [byte >> 1 for byte in low]
    elif width == 2:
        high = data[offset_at + 1 + step : offset_at + 1 + step + count * step : step]
        deltas = [(byte & 0x7F | second << 7) >> 1 for byte, second in zip(low, high, strict=True)]
    else:
        places_of = range(offset_at + step, offset_at + step + count * step, step)
        deltas = [read_varint(data, place)[0] for place in places_of]
    records.offset_deltas += deltas
    size = value_at - key_start
    key_start += step
    records.keys += [data[place : place + size] for place in range(key_start, key_start + count * step, step)]
    records.starts += range(end, end + count * step, step)
    if data[value_at] == 1:
        records.without_value += range(index, index + count)
    return count


@define(slots=True)
class Timestamps:
    """Records' timestamps and where in the data each record's offset delta begins."""

    timestamps: list[int]
    tails: list[int]


def read_timestamps(records: Records, kept: Sequence[int], base_timestamp: int) -> Timestamps:
    """Of the records with these indices."""
    data = records.data
    starts = records.starts
    timestamps = []
    tails = []
    for index in kept:
        position = starts[index]
        while data[position] >= 0x80:
            position += 1
        position += 2  # and the attributes
        byte = data[position]
        if byte < 0x80:
            position += 1
            timestamps.append(base_timestamp + ((byte >> 1) ^ -(byte & 1)))
        else:
            delta, position = read_varlong(data, position)
            timestamps.append(wrap_int64(base_timestamp + delta))
        tails.append(position)
    return Timestamps(timestamps, tails)
