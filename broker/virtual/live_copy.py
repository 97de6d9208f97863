"""The files of the process's own cluster, copied while it serves, for an export."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from broker.virtual.errors import ExportError
from broker.virtual.spec import DATA_DIRECTORY

if TYPE_CHECKING:
    from broker.cluster import Cluster
    from broker.virtual.storage import MemoryStorage

# The copy is made at one go, or it would be of several instants: all clusters wait for it.
MOST_BYTES: Final = 1 << 30
_CHUNK_BYTES: Final = 1 << 20
_STOP: Final = "stop the broker, then the directory is whole"


def copy_live(cluster: Cluster, storage: MemoryStorage) -> None:
    """What a kill at this instant would leave, into an empty storage. Raises ExportError."""
    directories = cluster.manager.online_directories
    if len(cluster.manager.directories) != 1 or len(directories) != 1:
        raise ExportError(f"the data is in {len(cluster.manager.directories)} directories (log.dirs): {_STOP}")
    if any(log.cleaning is not None for log in cluster.manager.open_logs()):
        raise ExportError("a log is being compacted: try again in a moment")
    root = directories[0].path
    total = 0
    for directory, _, names in os.walk(root):
        inside = f"{DATA_DIRECTORY}{directory[len(root) :]}"
        storage.mkdir(inside)
        for name in names:
            if name == ".lock":
                continue
            with suppress(FileNotFoundError):  # a temporary file of a thread
                total += _copy(f"{directory}/{name}", f"{inside}/{name}", storage)
            if total > MOST_BYTES:
                raise ExportError(
                    f"the data is more than {MOST_BYTES >> 30} GiB, for which all would have to wait: {_STOP}"
                )


def _copy(source: str, target: str, storage: MemoryStorage) -> int:
    """How many bytes were copied; holes stay holes."""
    copied = position = 0
    fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        found = os.fstat(fd)
        opened = storage.open(target, create=True)
        while position < found.st_size:
            try:
                position = os.lseek(fd, position, os.SEEK_DATA)
            except OSError:
                break  # zeros to the end
            end = min(os.lseek(fd, position, os.SEEK_HOLE), found.st_size)
            while position < end:
                data = os.pread(fd, min(_CHUNK_BYTES, end - position), position)
                if not data:
                    return copied
                opened.pwrite(data, position)
                position += len(data)
                copied += len(data)
            if copied > MOST_BYTES:
                return copied
        opened.truncate(found.st_size)
        storage.set_modified_ms(target, found.st_mtime_ns // 1_000_000)
    finally:
        os.close(fd)
    return copied
