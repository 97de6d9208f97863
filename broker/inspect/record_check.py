"""Whether the records of a sound batch add up: lengths, offsets, timestamps."""

from __future__ import annotations

from typing import Final

from kwire.errors import CorruptRecordsError
from kwire.records import HEADER_SIZE, decompress
from kwire.records.batch import LOG_APPEND_TIME_FLAG, NO_TIMESTAMP, BatchHeader
from kwire.records.compression import DecompressionLimitError
from kwire.records.record import iter_record_bytes
from log.record_runs import walk_regular

_LOWEST: Final = -(1 << 63)
_HIGHEST: Final = (1 << 63) - 1


def check_records(header: BatchHeader, data: memoryview, *, compacted: bool) -> str | None:
    """What is wrong with the records of the batch in `data`; None when nothing is.

    compacted: records may be missing from the batch, and the largest timestamp with them.
    """
    count = header.record_count
    view = data[HEADER_SIZE:]
    if header.attributes & 7:
        try:
            if count or len(view):
                unpacked = decompress(header.codec, view)
            else:
                unpacked = b""
        except DecompressionLimitError:
            return None  # nothing that a broker would have taken in; its CRC is right
        except CorruptRecordsError as error:
            return str(error)
        view = memoryview(unpacked)
    largest = walk_regular(view, count, header.base_timestamp, _LOWEST, _HIGHEST, False)
    if largest is None:
        found = _one_by_one(header, view)
        if isinstance(found, str):
            return found
        largest, seen = found
        if seen != header.last_offset_delta and not compacted:
            return f"the last record has offset {header.base_offset + seen}, the header says {header.last_offset}"
    elif count - 1 != header.last_offset_delta and not compacted:
        return f"{count} records in a batch of {header.last_offset_delta + 1} offsets"
    elif count - 1 > header.last_offset_delta:
        return f"{count} records do not fit into {header.last_offset_delta + 1} offsets"
    if (
        count
        and not header.attributes & LOG_APPEND_TIME_FLAG
        and largest != header.max_timestamp
        and not (largest < 0 and header.max_timestamp < 0)
    ):
        return f"the largest timestamp is {largest}, the header says {header.max_timestamp}"
    return None


def _one_by_one(header: BatchHeader, view: memoryview) -> tuple[int, int] | str:
    """The largest timestamp and the last offset's delta, or what is wrong."""
    largest = NO_TIMESTAMP
    last = -1
    if header.record_count == 0 and len(view):
        return f"{len(view)} bytes in a batch that has no records"
    try:
        for record in iter_record_bytes(view, header):
            delta = record.offset - header.base_offset
            if delta <= last:
                return f"offset {record.offset} follows {header.base_offset + last} in the batch"
            last = delta
            if record.timestamp > largest:
                largest = record.timestamp
    except CorruptRecordsError as error:
        return str(error)
    if last > header.last_offset_delta:
        return f"a record has offset {header.base_offset + last}, the batch ends at {header.last_offset}"
    return largest, last
