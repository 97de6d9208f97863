"""A file system that begins in memory (log.storage.Storage): what a virtual cluster keeps its data in.

Nothing is on the disk until a file is large (`content.SPILL_BYTES`), and then it has no name there. A `clone` shares
the bytes of every file until one side writes: taking one costs an object per file, and no side ever sees a change of
the other. Durability is that of the process: a sync has nothing to do.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator
from typing import Final
from weakref import WeakValueDictionary

from broker.virtual.content import SPILL_BYTES, Content, MemoryContent, spilled
from log.storage import Bytes, FileCache

_NO_LIMIT: Final = 1 << 60

Fail = Callable[[str, str], OSError | None]
"""Gets an operation and a path, gives the error it is to fail with, or None. The operations: open, create, read,
write, truncate, sync, rename, unlink, mkdir, rmdir, list, sync_dir."""


class Inode:
    """One file, by whatever name. `shared`: another inode may have the same content."""

    __slots__ = ("content", "modified_ms", "shared")

    def __init__(self, content: Content, modified_ms: int, *, shared: bool = False) -> None:
        self.content: Content = content
        self.modified_ms = modified_ms
        self.shared = shared

    def own(self) -> None:
        """Before a change: have the content for this inode alone."""
        # 2: this inode and getrefcount's argument. A reader in a thread counts too, which costs a copy, no more.
        if sys.getrefcount(self.content) > 2:
            self.content = self.content.copy()
        self.shared = False

    def twin(self) -> Inode:
        """A file with the same bytes, from now on changed apart."""
        self.shared = True
        return Inode(self.content, self.modified_ms, shared=True)


class Directory:
    __slots__ = ("entries",)

    def __init__(self) -> None:
        self.entries: dict[str, Inode | Directory] = {}

    def twin(self) -> Directory:
        twin = Directory()
        twin.entries = {name: node.twin() for name, node in self.entries.items()}
        return twin


class MemoryFile:
    """An open file (log.storage.OpenFile). It outlives rename and unlink."""

    __slots__ = ("_inode", "_storage", "path")

    def __init__(self, storage: MemoryStorage, inode: Inode, path: str) -> None:
        self._storage = storage
        self._inode = inode
        self.path = path  # as it was opened: for faults

    @property
    def fd(self) -> int:
        """-1 while the bytes are in memory, and while reads may be made to fail."""
        return self._inode.content.fd if self._storage.fail is None else -1

    def pwrite(self, data: Bytes, position: int) -> None:
        storage, inode = self._storage, self._inode
        if storage.fail is not None:
            storage.check("write", self.path)
        if inode.shared:
            inode.own()
        content = inode.content
        if type(content) is MemoryContent and position + len(data) > content.spill_at:
            moved = spilled(content, storage.spill_directory)
            if moved is not None:
                inode.content = content = moved
        content.write(data, position)
        inode.modified_ms = storage.now_ms()

    def pread(self, size: int, position: int) -> bytes:
        if self._storage.fail is not None:
            self._storage.check("read", self.path)
        return self._inode.content.read(size, position)

    def size(self) -> int:
        return self._inode.content.size

    def truncate(self, size: int) -> None:
        storage, inode = self._storage, self._inode
        if storage.fail is not None:
            storage.check("truncate", self.path)
        if size == 0:
            inode.content = MemoryContent(
                storage.spill_bytes
            )  # what is shared stays with the others; a large file's descriptor goes
            inode.shared = False
        else:
            if inode.shared:
                inode.own()
            inode.content.truncate(size)
        inode.modified_ms = storage.now_ms()

    def sync(self) -> None:
        if self._storage.fail is not None:
            self._storage.check("sync", self.path)

    def drop_cache(self) -> None:
        pass


class _Lock:
    """Holds a lock while it lives."""

    __slots__ = ("__weakref__",)


class MemoryStorage:
    """See the module. Paths are absolute; `/` exists.

    now_ms: for modification times. spill_directory: where the nameless files are made, for what is longer than
    spill_bytes.
    fail: None, or asked before each operation (see `Fail`); the OSError it gives is raised and nothing is done.
    """

    def __init__(
        self,
        now_ms: Callable[[], int],
        spill_directory: str,
        root: Directory | None = None,
        *,
        spill_bytes: int = SPILL_BYTES,
    ) -> None:
        self.cache = FileCache(_NO_LIMIT)
        self.now_ms = now_ms
        self.spill_directory = spill_directory
        self.spill_bytes = spill_bytes
        self.fail: Fail | None = None
        self.can_sync_all = True
        self._root = root if root is not None else Directory()
        self._locked: WeakValueDictionary[str, _Lock] = WeakValueDictionary()

    def clone_tree(self) -> Directory:
        """Everything as it is now, for another storage; a kill at this instant would leave the same."""
        return self._root.twin()

    def used_bytes(self) -> int:
        """What the files hold; zeros that were never written do not count."""
        return sum(
            len(node.content.data) if isinstance(node.content, MemoryContent) else node.content.size
            for _, node in walk(self._root)
            if isinstance(node, Inode)
        )

    def discard(self) -> None:
        """Nobody needs it any more: its bytes and descriptors go now, not when the last open file does.

        Names stay as long as the storage: a thread that is still at work with them meets no error.
        """
        for _, node in walk(self._root):
            if isinstance(node, Inode):
                node.content = MemoryContent(self.spill_bytes)

    def check(self, operation: str, path: str) -> None:
        error = self.fail(operation, path) if self.fail is not None else None
        if error is not None:
            raise error

    # -- the protocol

    def open(self, path: str, *, create: bool) -> MemoryFile:
        if self.fail is not None:
            self.check("open", path)
        parent, name = self._parent(path)
        node = parent.entries.get(name)
        if node is None:
            if not create:
                raise _error(errno.ENOENT, path)
            if self.fail is not None:
                self.check("create", path)
            node = parent.entries[name] = Inode(MemoryContent(self.spill_bytes), self.now_ms())
        elif type(node) is Directory:
            raise _error(errno.EISDIR, path)
        assert isinstance(node, Inode)
        return MemoryFile(self, node, path)

    def rename(self, source: str, target: str) -> None:
        if self.fail is not None:
            self.check("rename", source)
        parent, name = self._parent(source)
        other, new_name = self._parent(target)
        node = parent.entries.get(name)
        if node is None:
            raise _error(errno.ENOENT, source)
        there = other.entries.get(new_name)
        if there is node:
            return
        if isinstance(node, Directory):
            if target.startswith(source + "/"):
                raise _error(errno.EINVAL, target)
            if isinstance(there, Inode):
                raise _error(errno.ENOTDIR, target)
            if there is not None and there.entries:
                raise _error(errno.ENOTEMPTY, target)
        elif isinstance(there, Directory):
            raise _error(errno.EISDIR, target)
        del parent.entries[name]
        other.entries[new_name] = node

    def unlink(self, path: str) -> None:
        if self.fail is not None:
            self.check("unlink", path)
        parent, name = self._parent(path)
        node = parent.entries.get(name)
        if node is None:
            raise _error(errno.ENOENT, path)
        if isinstance(node, Directory):
            raise _error(errno.EISDIR, path)
        del parent.entries[name]

    def mkdir(self, path: str) -> None:
        if self.fail is not None:
            self.check("mkdir", path)
        parent, name = self._parent(path)
        if name and name not in parent.entries:
            parent.entries[name] = Directory()

    def rmdir(self, path: str) -> None:
        if self.fail is not None:
            self.check("rmdir", path)
        parent, name = self._parent(path)
        node = parent.entries.get(name)
        if node is None:
            raise _error(errno.ENOENT, path)
        if not isinstance(node, Directory):
            raise _error(errno.ENOTDIR, path)
        if node.entries:
            raise _error(errno.ENOTEMPTY, path)
        del parent.entries[name]

    def list_dir(self, path: str) -> list[str]:
        if self.fail is not None:
            self.check("list", path)
        node = self._node(path)
        if not isinstance(node, Directory):
            raise _error(errno.ENOTDIR, path)
        return list(node.entries)

    def exists(self, path: str) -> bool:
        return self._find(path) is not None

    def is_dir(self, path: str) -> bool:
        return isinstance(self._find(path), Directory)

    def size(self, path: str) -> int:
        node = self._node(path)
        return node.content.size if isinstance(node, Inode) else 0

    def modified_ms(self, path: str) -> int:
        node = self._node(path)
        return node.modified_ms if isinstance(node, Inode) else 0

    def set_modified_ms(self, path: str, modified_ms: int) -> None:
        node = self._node(path)
        if isinstance(node, Inode):
            node.modified_ms = modified_ms

    def sync_dir(self, path: str) -> None:
        if self.fail is not None:
            self.check("sync_dir", path)
        self._node(path)

    def sync_all(self, path: str) -> None:
        if self.fail is not None:
            self.check("sync", path)
        self._node(path)

    def try_lock(self, path: str) -> object | None:
        if path in self._locked:
            return None
        self.open(path, create=True)
        token = self._locked[path] = _Lock()
        return token

    # -- the tree

    def _parent(self, path: str) -> tuple[Directory, str]:
        head, _, name = path.rpartition("/")
        node = self._node(head)
        if not isinstance(node, Directory):
            raise _error(errno.ENOTDIR, path)
        return node, name

    def _node(self, path: str) -> Inode | Directory:
        node = self._find(path)
        if node is None:
            raise _error(errno.ENOENT, path)
        return node

    def _find(self, path: str) -> Inode | Directory | None:
        node: Inode | Directory | None = self._root
        for part in path.split("/"):
            if part:
                if type(node) is not Directory:
                    return None
                node = node.entries.get(part)
        return node


def walk(directory: Directory, path: str = "") -> Iterator[tuple[str, Inode | Directory]]:
    """Everything below a directory, by path, parents first."""
    for name, node in sorted(directory.entries.items()):
        yield f"{path}/{name}", node
        if isinstance(node, Directory):
            yield from walk(node, f"{path}/{name}")


def _error(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)
