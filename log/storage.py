"""The seam between the log and the file system.

Everything the log does to a disk goes through a :class:`Storage`: :class:`RealStorage` here, and the fault-injecting
twin of the tests (``tests/crash/fault_storage.py``), which stops at a write boundary and forgets what was not synced.

Three layers:

- :class:`OpenFile`: one open inode. It outlives rename, unlink and eviction: its descriptor is closed when the last
  reference to the object goes away, so a file range on its way to a socket keeps its bytes.
- :class:`LogFile`: a path that is opened when first used. Idle ones give their descriptor back (:class:`FileCache`),
  so 20,000 partitions live under any descriptor limit.
- :class:`FileRange`: bytes of a file that are going to be sent. It satisfies ``kwire``'s ``ExternalBytes``.

All calls are synchronous. Errors are ``OSError`` as the system raised it; the partition decides what they mean.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import resource
import struct
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from attrs import define, field

Bytes: TypeAlias = bytes | bytearray | memoryview

_ATOMIC_SUFFIX = ".tmp"
_WHOLE_FILE = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
"""``struct flock`` of 64-bit Linux."""


class OpenFile(Protocol):
    """One open inode. Positions and sizes are in bytes."""

    @property
    def fd(self) -> int:
        """The descriptor for ``sendfile``, or -1 when the bytes are not in a real file."""
        ...

    def pwrite(self, data: Bytes, position: int) -> None:
        """Write all of ``data``. On ``OSError`` a part of it may have been written."""
        ...

    def pread(self, size: int, position: int) -> bytes:
        """Up to ``size`` bytes; fewer only at the end of the file."""
        ...

    def size(self) -> int: ...

    def truncate(self, size: int) -> None:
        """Cut the file, or extend it with zeros (sparse)."""
        ...

    def sync(self) -> None:
        """Make the content durable. Blocks; safe to call from another thread."""
        ...

    def drop_cache(self) -> None:
        """Forget clean cached pages, so that the next read comes from the device (after a failed sync)."""
        ...


class Storage(Protocol):
    """File system operations. Paths are absolute strings; directories are made durable by ``sync_dir``."""

    @property
    def cache(self) -> FileCache: ...

    def open(self, path: str, *, create: bool) -> OpenFile: ...

    def rename(self, source: str, target: str) -> None:
        """Atomic, replacing ``target``."""
        ...

    def unlink(self, path: str) -> None: ...

    def mkdir(self, path: str) -> None:
        """One level; an existing directory is fine."""
        ...

    def rmdir(self, path: str) -> None: ...

    def list_dir(self, path: str) -> list[str]: ...

    def exists(self, path: str) -> bool: ...

    def is_dir(self, path: str) -> bool: ...

    def size(self, path: str) -> int: ...

    def modified_ms(self, path: str) -> int: ...

    def set_modified_ms(self, path: str, modified_ms: int) -> None: ...

    def sync_dir(self, path: str) -> None: ...

    @property
    def can_sync_all(self) -> bool:
        """Whether there is ``sync_all``."""
        ...

    def sync_all(self, path: str) -> None:
        """Make everything of the file system that holds ``path`` durable, at once."""
        ...

    def try_lock(self, path: str) -> object | None:
        """Take an exclusive lock on a file (created when missing): a token that holds it while alive, or None."""
        ...


@define(slots=True, eq=False)
class FileRange:
    """``size`` bytes of ``file`` from ``position``; holds the open file, whatever happens to its name."""

    file: OpenFile
    position: int
    size: int

    def __len__(self) -> int:
        return self.size

    def fileno(self) -> int:
        """The descriptor to send from; -1 when the bytes must be read instead."""
        return self.file.fd

    def read(self) -> bytes:
        """The bytes themselves. Raises ``OSError`` when the file is shorter than promised."""
        data = self.file.pread(self.size, self.position)
        if len(data) != self.size:
            raise OSError(errno.EIO, f"read {len(data)} of {self.size} bytes at {self.position}")
        return data


class FileCache:
    """Keeps at most ``limit`` files of a storage open (second chance: what was used since the last look stays)."""

    __slots__ = ("_queue", "limit", "open_count")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.open_count = 0
        self._queue: deque[LogFile] = deque()

    def opened(self, file: LogFile) -> None:
        """``file`` has just been opened."""
        self.open_count += 1
        if not file._queued:
            file._queued = True
            self._queue.append(file)
            if len(self._queue) > 2 * self.open_count + 1024:
                self._forget_closed()
        if self.open_count > self.limit:
            self._evict()

    def files(self) -> list[LogFile]:
        """Those that are open."""
        return [file for file in self._queue if file._open is not None]

    def make_room(self) -> bool:
        """The process has no descriptor left (it is not alone in using them): close half of ours, and keep to that."""
        if self.open_count < 16:
            return False
        self.limit = self.open_count // 2
        self._evict()
        return True

    def _forget_closed(self) -> None:
        for file in self._queue:
            file._queued = file._open is not None
        self._queue = deque(file for file in self._queue if file._queued)

    def _evict(self) -> None:
        queue = self._queue
        for _ in range(2 * len(queue)):
            if self.open_count <= self.limit:
                return
            candidate = queue.popleft()
            if candidate._open is None:
                candidate._queued = False
            elif candidate.used:
                candidate.used = False
                queue.append(candidate)
            else:
                candidate._queued = False
                candidate.release()


class LogFile:
    """A file by path, opened when first used and closed when idle; reopened by the next use.

    Not thread-safe; hand :meth:`opened` (the inode) to other threads.
    """

    __slots__ = ("_create", "_open", "_queued", "_storage", "path", "used")

    def __init__(self, storage: Storage, path: str, *, create: bool = False) -> None:
        self._storage = storage
        self.path = path
        self.used = False
        self._create = create
        self._open: OpenFile | None = None
        self._queued = False

    def opened(self) -> OpenFile:
        """The open inode (opens it when needed). Raises ``OSError``."""
        self.used = True
        opened = self._open
        if opened is None:
            try:
                opened = self._open = self._storage.open(self.path, create=self._create)
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE) or not self._storage.cache.make_room():
                    raise
                opened = self._open = self._storage.open(self.path, create=self._create)
            self._create = False
            self._storage.cache.opened(self)
        return opened

    def release(self) -> None:
        """Give the descriptor back; the next use opens the path again."""
        if self._open is not None:
            self._open = None
            self._storage.cache.open_count -= 1

    def rename(self, path: str) -> None:
        self._storage.rename(self.path, path)
        self.path = path


def max_open_files(reserve: int = 512) -> int:
    """How many log files may stay open: the process's soft descriptor limit less ``reserve`` for sockets and ranges."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return 65536
    return max(32, min(65536, soft - max(reserve, soft // 2)))


class RealFile:
    """An open descriptor, closed with its last reference."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __del__(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self.fd)

    def pwrite(self, data: Bytes, position: int) -> None:
        written = os.pwrite(self.fd, data, position)
        if written != len(data):
            view = memoryview(data)
            while written < len(view):
                step = os.pwrite(self.fd, view[written:], position + written)
                if step == 0:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                written += step

    def pread(self, size: int, position: int) -> bytes:
        data = os.pread(self.fd, size, position)
        if len(data) == size or not data:
            return data
        parts = [data]
        got = len(data)
        while got < size:
            data = os.pread(self.fd, size - got, position + got)
            if not data:
                break
            parts.append(data)
            got += len(data)
        return b"".join(parts)

    def size(self) -> int:
        return os.fstat(self.fd).st_size

    def truncate(self, size: int) -> None:
        os.ftruncate(self.fd, size)

    def sync(self) -> None:
        os.fdatasync(self.fd)

    def drop_cache(self) -> None:
        os.posix_fadvise(self.fd, 0, 0, os.POSIX_FADV_DONTNEED)


@define(slots=True, eq=False)
class _Lock:
    file: RealFile


@define(slots=True, eq=False)
class RealStorage:
    """The file system of this machine."""

    cache: FileCache = field(factory=lambda: FileCache(max_open_files()))
    # What stands before each file that is opened from now on: faults. None costs nothing but here.
    opener: Callable[[RealFile, str], OpenFile] | None = None

    def open(self, path: str, *, create: bool) -> OpenFile:
        flags = os.O_RDWR | os.O_CLOEXEC
        if create:
            flags |= os.O_CREAT
        real = RealFile(os.open(path, flags, 0o644))
        return real if self.opener is None else self.opener(real, path)

    def rename(self, source: str, target: str) -> None:
        os.replace(source, target)

    def unlink(self, path: str) -> None:
        os.unlink(path)

    def mkdir(self, path: str) -> None:
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o755)

    def rmdir(self, path: str) -> None:
        os.rmdir(path)

    def list_dir(self, path: str) -> list[str]:
        return os.listdir(path)

    def exists(self, path: str) -> bool:
        return os.path.exists(path)

    def is_dir(self, path: str) -> bool:
        return os.path.isdir(path)

    def size(self, path: str) -> int:
        return os.stat(path).st_size

    def modified_ms(self, path: str) -> int:
        return os.stat(path).st_mtime_ns // 1_000_000

    def set_modified_ms(self, path: str, modified_ms: int) -> None:
        nanoseconds = modified_ms * 1_000_000
        os.utime(path, ns=(nanoseconds, nanoseconds))

    def sync_dir(self, path: str) -> None:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    @property
    def can_sync_all(self) -> bool:
        return hasattr(ctypes.CDLL(None), "syncfs")

    def sync_all(self, path: str) -> None:
        # Python has no os.syncfs. Since Linux 5.8 it also reports errors of writing back that nobody saw yet.
        libc = ctypes.CDLL(None, use_errno=True)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if libc.syncfs(fd) != 0:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number), path)
        finally:
            os.close(fd)

    def try_lock(self, path: str) -> object | None:
        while True:
            file = RealFile(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644))
            try:
                fcntl.flock(file.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Java locks records, which flock does not see. A lock of the open file, not of the process: closing
                # another descriptor of the file does not lose it.
                fcntl.fcntl(file.fd, fcntl.F_OFD_SETLK, _WHOLE_FILE)
            except BlockingIOError:
                return None
            # who had it may have removed the file between our open and our lock
            with contextlib.suppress(FileNotFoundError):
                if os.stat(path).st_ino == os.fstat(file.fd).st_ino:
                    return _Lock(file)


def read_file(storage: Storage, path: str) -> bytes | None:
    """The whole content of a (small) file, or None when there is none."""
    if not storage.exists(path):
        return None
    opened = storage.open(path, create=False)
    return opened.pread(opened.size(), 0)


def write_file(storage: Storage, path: str, data: bytes, *, sync: bool) -> None:
    """Replace a file as Kafka's ``CheckpointFile`` does: ``path.tmp`` in full, then renamed over ``path``.

    With ``sync`` the content is durable before the rename and the rename before the return. Without, a power loss may
    leave either content, or a torn one (a file that is not there yet is then written directly): only for files that can
    be made again from the log.
    """
    temporary = path + _ATOMIC_SUFFIX if sync or storage.exists(path) else path
    opened = storage.open(temporary, create=True)
    if temporary is not path:
        opened.truncate(0)
    opened.pwrite(data, 0)
    if sync:
        opened.sync()
    del opened
    if temporary is not path:
        storage.rename(temporary, path)
    if sync:
        storage.sync_dir(os.path.dirname(path))


def remove_if_exists(storage: Storage, path: str) -> bool:
    """Unlink, fine when it is already gone."""
    try:
        storage.unlink(path)
    except FileNotFoundError:
        return False
    return True


def remove_tree(storage: Storage, path: str) -> None:
    """Remove a directory of files (and directories) and itself."""
    for name in storage.list_dir(path):
        child = f"{path}/{name}"
        if storage.is_dir(child):
            remove_tree(storage, child)
        else:
            remove_if_exists(storage, child)
    storage.rmdir(path)


def is_space_error(error: OSError) -> bool:
    """True when the disk or the quota is full: the write did not happen, the device is sound."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


__all__: list[Any] = [
    "Bytes",
    "FileCache",
    "FileRange",
    "LogFile",
    "OpenFile",
    "RealFile",
    "RealStorage",
    "Storage",
    "is_space_error",
    "max_open_files",
    "read_file",
    "remove_if_exists",
    "remove_tree",
    "write_file",
]
