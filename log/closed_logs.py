"""Retention of logs that nobody has opened since the start: a look at their files says whether it is worth opening one.

Opening a log costs a hundred times what this look does, and with thousands of partitions most are never used again.
"""

from __future__ import annotations

from struct import Struct

from log.config import LogConfig
from log.filenames import LOG, TIME_INDEX, offset_name, parse_offset_name
from log.storage import Storage

_TIME_ENTRY = Struct(">qi")


def has_old_segments(
    storage: Storage, directory: str, config: LogConfig, *, log_start_offset: int, now_ms: int
) -> bool:
    """Whether retention would delete something of the log in `directory`, which was closed cleanly. Raises OSError."""
    bases = sorted(
        found.offset
        for name in storage.list_dir(directory)
        if (found := parse_offset_name(name)) is not None and found.suffix == LOG and not found.mark
    )
    if not bases:
        return False
    if len(bases) > 1 and bases[1] <= log_start_offset:
        return True
    if not config.delete:
        return False
    sizes = [storage.size(f"{directory}/{offset_name(base, LOG)}") for base in bases]
    if config.retention_bytes >= 0 and sum(sizes) - sizes[0] >= config.retention_bytes and sizes[0]:
        return True
    return (
        config.retention_ms >= 0
        and sizes[0] > 0
        and _largest_timestamp(storage, directory, bases[0]) < now_ms - config.retention_ms
    )


def _largest_timestamp(storage: Storage, directory: str, base: int) -> int:
    """That of a segment's records; without one, when its file was changed last."""
    path = f"{directory}/{offset_name(base, TIME_INDEX)}"
    if storage.exists(path):
        file = storage.open(path, create=False)
        size = file.size() // _TIME_ENTRY.size * _TIME_ENTRY.size
        if size:
            timestamp: int = _TIME_ENTRY.unpack(file.pread(_TIME_ENTRY.size, size - _TIME_ENTRY.size))[0]
            if timestamp >= 0:
                return timestamp
    return storage.modified_ms(f"{directory}/{offset_name(base, LOG)}")
