"""Keys, offsets and places of a batch's records, read in one pass.

The records are in the log, so they were walked and found sound when they were appended, and their CRC has been
compared; here is only made sure that no damage leads out of the batch.
"""

from __future__ import annotations

from attrs import define

from kwire.errors import CorruptRecordsError
from kwire.records.batch import Buffer
from kwire.records.varint import read_varint, read_varlong, wrap_int64


@define(slots=True)
class Records:
    """The records of one batch, in order."""

    data: Buffer
    keys: list[bytes | None]
    offset_deltas: list[int]
    starts: list[int]
    """Where each begins in ``data``, and where the last one ends."""
    without_key: list[int]
    """Indices of the records with a null key."""
    without_value: list[int]
    """Indices of the records with a null value: tombstones."""


def scan_records(data: Buffer, position: int, end: int, count: int) -> Records:
    """The ``count`` records in ``data[position:end]``. CorruptRecordsError: they do not fill it."""
    try:
        found = _scan(data, position, count)
    except (IndexError, ValueError) as error:
        raise CorruptRecordsError(f"Found invalid record structure: {error}") from None
    if found.starts[-1] != end and count:
        raise CorruptRecordsError(f"{count} records end at {found.starts[-1]}, the batch at {end}")
    return found


def _scan(data: Buffer, position: int, count: int) -> Records:
    keys: list[bytes | None] = []
    deltas: list[int] = []
    starts: list[int] = []
    without_key: list[int] = []
    without_value: list[int] = []
    for index in range(count):
        starts.append(position)
        # length
        byte = data[position]
        if byte < 0x80:
            end = position + 1 + (byte >> 1)
            position += 2  # and the attributes
        else:
            second = data[position + 1]
            if second < 0x80:
                end = position + 2 + ((byte & 0x7F | second << 7) >> 1)
                position += 3
            else:
                length, position = read_varint(data, position)
                if length < 0:
                    raise ValueError("record length")
                end = position + length
                position += 1
        # timestamp delta
        while data[position] >= 0x80:
            position += 1
        position += 1
        # offset delta
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
        byte = data[position]
        position += 1
        if byte < 0x80:
            if byte & 1:
                keys.append(None)
                without_key.append(index)
            else:
                start = position
                position += byte >> 1
                keys.append(bytes(data[start:position]))
        else:
            size, start = read_varint(data, position - 1)
            if size < 0:
                raise ValueError("key length")
            position = start + size
            keys.append(bytes(data[start:position]))
        # value
        if data[position] == 1:
            without_value.append(index)
        if position >= end:
            raise ValueError("record length")
        position = end
    starts.append(position)
    return Records(data, keys, deltas, starts, without_key, without_value)


@define(slots=True)
class Timestamps:
    """Records' timestamps and where in the data each record's offset delta begins."""

    timestamps: list[int]
    tails: list[int]


def read_timestamps(records: Records, kept: list[int], base_timestamp: int) -> Timestamps:
    """Of the records with these indices."""
    data = records.data
    timestamps = []
    tails = []
    for index in kept:
        _, position = read_varint(data, records.starts[index])
        delta, position = read_varlong(data, position + 1)
        timestamps.append(wrap_int64(base_timestamp + delta))
        tails.append(position)
    return Timestamps(timestamps, tails)
