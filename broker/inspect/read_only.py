"""A `Storage` that can only look, so that the log's readers of small files serve here too."""

from __future__ import annotations

import errno
import os

from attrs import define

from log.storage import Bytes, RealStorage


@define(slots=True, eq=False)
class _ReadOnlyFile:
    """An open descriptor for reading."""

    fd: int

    def __del__(self) -> None:
        os.close(self.fd)

    def pread(self, size: int, position: int) -> bytes:
        return os.pread(self.fd, size, position)

    def size(self) -> int:
        return os.fstat(self.fd).st_size

    def pwrite(self, data: Bytes, position: int) -> None:
        raise _refused()

    def truncate(self, size: int) -> None:
        raise _refused()

    def sync(self) -> None:
        raise _refused()

    def drop_cache(self) -> None:
        raise _refused()


def _refused(*_arguments: object) -> OSError:
    return OSError(errno.EROFS, "opened for reading only")


@define(slots=True, eq=False)
class ReadOnlyStorage(RealStorage):
    """Reads the file system of this machine; whatever would change it raises OSError (EROFS)."""

    def open(self, path: str, *, create: bool) -> _ReadOnlyFile:
        if create:
            raise _refused()
        return _ReadOnlyFile(os.open(path, os.O_RDONLY | os.O_CLOEXEC))

    def rename(self, source: str, target: str) -> None:
        raise _refused()

    def unlink(self, path: str) -> None:
        raise _refused()

    def mkdir(self, path: str) -> None:
        raise _refused()

    def rmdir(self, path: str) -> None:
        raise _refused()

    def try_lock(self, path: str) -> object | None:
        raise _refused()
