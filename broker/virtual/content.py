"""The bytes of one file of a storage in memory: few in memory, many in a file of the system that has no name.

A file without a name goes with its last descriptor: whatever ends the process, nothing is left behind.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from typing import Final

from log.storage import Bytes, RealFile

SPILL_BYTES: Final = 1024 * 1024
_COPY_BYTES: Final = 1 << 30


class MemoryContent:
    """`data`, followed by zeros up to `size`: what a preallocated index has not written yet takes no memory."""

    __slots__ = ("data", "size", "spill_at")
    fd: Final = -1

    def __init__(self, spill_at: int, data: bytes | bytearray = b"", size: int = 0) -> None:
        self.spill_at = spill_at  # how long it may become in memory
        self.data = bytearray(data)
        self.size = max(size, len(data))

    def write(self, data: Bytes, position: int) -> None:
        own = self.data
        have = len(own)
        if position == have:
            own += data
        else:
            if position > have:
                own.extend(bytes(position - have))
            own[position : position + len(data)] = data
        if len(own) > self.size:
            self.size = len(own)

    def read(self, size: int, position: int) -> bytes:
        # One slice, no view: while another thread looks through a view, the loop could not append.
        end = min(position + size, self.size)
        found = bytes(self.data[position:end])
        missing = end - position - len(found)
        return found if missing <= 0 else found + bytes(missing)

    def truncate(self, size: int) -> None:
        if size < len(self.data):
            del self.data[size:]
        self.size = size

    def copy(self) -> MemoryContent:
        return MemoryContent(self.spill_at, self.data, self.size)


class DiskContent:
    """A file without a name. `size` is what fstat says."""

    __slots__ = ("_directory", "_file", "fd")

    def __init__(self, directory: str) -> None:
        """Raises OSError: no descriptor left, no space, no such directory."""
        self._directory = directory
        self._file = RealFile(_nameless(directory))
        self.fd = self._file.fd

    @property
    def size(self) -> int:
        return self._file.size()

    def write(self, data: Bytes, position: int) -> None:
        self._file.pwrite(data, position)

    def read(self, size: int, position: int) -> bytes:
        return self._file.pread(size, position)

    def truncate(self, size: int) -> None:
        self._file.truncate(size)

    def copy(self) -> DiskContent:
        """Its bytes in a file of its own; the system shares the blocks where it can, and keeps holes."""
        size = self.size
        twin = DiskContent(self._directory)
        position = 0
        while position < size:
            try:
                start = os.lseek(self.fd, position, os.SEEK_DATA)
            except OSError:
                break  # zeros to the end
            end = min(os.lseek(self.fd, start, os.SEEK_HOLE), size)
            while start < end:
                start += _copy_range(self.fd, twin.fd, start, min(end - start, _COPY_BYTES))
            position = end
        twin.truncate(size)
        return twin


Content = MemoryContent | DiskContent


def spilled(content: MemoryContent, directory: str) -> DiskContent | None:
    """The same bytes in a file; None when there can be none now: they stay in memory until they are twice as many."""
    try:
        moved = DiskContent(directory)
        moved.write(content.data, 0)
        moved.truncate(content.size)
    except OSError:
        content.spill_at = max(2 * content.spill_at, 2 * len(content.data))
        return None
    return moved


def _nameless(directory: str) -> int:
    with contextlib.suppress(OSError):  # a file system without O_TMPFILE
        return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    fd, path = tempfile.mkstemp(prefix="kwire-", dir=directory)
    os.unlink(path)
    return fd


def _copy_range(source: int, target: int, position: int, count: int) -> int:
    try:
        copied = os.copy_file_range(source, target, count, position, position)
    except OSError:  # a file system without it
        data = os.pread(source, min(count, 1 << 20), position)
        RealFile.pwrite(_Borrowed(target), data, position)
        copied = len(data)
    if copied == 0:
        raise OSError(5, "a file became shorter while it was copied")
    return copied


class _Borrowed(RealFile):
    """A descriptor that is somebody else's: not closed with this object."""

    __slots__ = ()

    def __del__(self) -> None:
        pass
