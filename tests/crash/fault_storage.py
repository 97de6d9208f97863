"""A file system in memory that stops, tears, forgets and fails: the twin of ``log.storage.RealStorage``.

What is written is in the page cache (``data``, ``entries``); what is synced is on the disk (``durable``). In between
lie the pending operations, in order: writes and truncations of a file until it is synced, creations, renames and
removals of names until their directory is. The model is strict: syncing a file says nothing about its name.

- ``crash_at=n``: the n-th change raises ``Crash`` instead of happening; with ``torn`` a write happens by half first.
- ``after_kill()``: what a new process finds when only the process died: everything.
- ``after_power_loss(random)``: what it finds when the machine died: of the pending operations any subset, writes cut
  anywhere.
- ``fail``: called before each operation; the ``OSError`` it returns is raised. A sync that fails loses what it should
have
  synced: the cached pages stay, clean (as Linux does it).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from random import Random
from typing import Any
from weakref import WeakValueDictionary

from attrs import define, field

from log.storage import Bytes, FileCache


class Crash(BaseException):
    """The process died here."""


class _Lock:
    """Holds a lock while it lives."""


@define(slots=True, eq=False)
class Inode:
    data: bytearray = field(factory=bytearray)
    durable: bytes = b""
    pending: list[tuple[Any, ...]] = field(factory=list)


@define(slots=True, eq=False)
class Directory:
    entries: dict[str, Inode | Directory] = field(factory=dict)
    durable: dict[str, Inode | Directory] = field(factory=dict)
    pending: list[tuple[Any, ...]] = field(factory=list)


@define(slots=True, eq=False)
class FaultFile:
    storage: FaultStorage
    inode: Inode
    path: str

    @property
    def fd(self) -> int:
        return -1

    def pwrite(self, data: Bytes, position: int) -> None:
        content = bytes(data)
        error = self.storage.failure("write", self.path)
        if error is not None:
            self._write(content[: len(content) // 2], position)
            raise error
        if self.storage.step("write", self.path, half=bool(content)):
            self._write(content[: len(content) // 2], position)
            raise Crash
        self._write(content, position)

    def _write(self, content: bytes, position: int) -> None:
        _put(self.inode.data, content, position)
        self.inode.pending.append(("write", position, content))

    def pread(self, size: int, position: int) -> bytes:
        self.storage.check("read", self.path)
        return bytes(self.inode.data[position : position + size])

    def size(self) -> int:
        return len(self.inode.data)

    def truncate(self, size: int) -> None:
        self.storage.change("truncate", self.path)
        _resize(self.inode.data, size)
        self.inode.pending.append(("truncate", size))

    def sync(self) -> None:
        error = self.storage.failure("sync", self.path)
        if error is not None:
            self.inode.pending.clear()
            raise error
        self.storage.change("sync", self.path)
        content = bytearray(self.inode.durable)
        for operation in self.inode.pending:
            _replay(content, operation)
        self.inode.durable = bytes(content)
        self.inode.pending.clear()

    def drop_cache(self) -> None:
        content = bytearray(self.inode.durable)
        for operation in self.inode.pending:
            _replay(content, operation)
        self.inode.data[:] = content


class FaultStorage:
    """See the module. Paths are absolute; ``/`` exists."""

    def __init__(self, root: Directory | None = None, *, open_limit: int = 1000) -> None:
        self.cache = FileCache(open_limit)
        self.root = root if root is not None else Directory()
        self.steps = 0
        self.crash_at: int | None = None
        self.torn = False
        self.fail: Callable[[str, str], OSError | None] | None = None
        self.trace: list[str] = []
        self.dead = False
        self.can_sync_all = True
        self._locked: WeakValueDictionary[str, _Lock] = WeakValueDictionary()

    # Faults

    def failure(self, operation: str, path: str) -> OSError | None:
        if self.dead:
            raise Crash
        return self.fail(operation, path) if self.fail is not None else None

    def check(self, operation: str, path: str) -> None:
        error = self.failure(operation, path)
        if error is not None:
            raise error

    def step(self, operation: str, path: str, *, half: bool = False) -> bool:
        """Count a change. True: it is to happen by half, and then the process dies."""
        self.steps += 1
        self.trace.append(f"{operation} {path}")
        if self.steps == self.crash_at:
            self.dead = True
            if half and self.torn:
                return True
            raise Crash
        return False

    def change(self, operation: str, path: str) -> None:
        self.check(operation, path)
        self.step(operation, path)

    # The storage protocol

    def open(self, path: str, *, create: bool) -> FaultFile:
        self.check("open", path)
        parent, name = self._parent(path)
        node = parent.entries.get(name)
        if node is None:
            if not create:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
            self.change("create", path)
            node = Inode()
            parent.entries[name] = node
            parent.pending.append(("link", name, node))
        assert isinstance(node, Inode), f"{path} is a directory"
        return FaultFile(self, node, path)

    def rename(self, source: str, target: str) -> None:
        self.change("rename", f"{source} {target}")
        parent, name = self._parent(source)
        other, new_name = self._parent(target)
        assert parent is other, "renames stay within a directory"
        node = parent.entries.pop(name)
        parent.entries[new_name] = node
        parent.pending.append(("rename", name, new_name, node))

    def unlink(self, path: str) -> None:
        parent, name = self._parent(path)
        if name not in parent.entries:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        self.change("unlink", path)
        del parent.entries[name]
        parent.pending.append(("unlink", name))

    def mkdir(self, path: str) -> None:
        parent, name = self._parent(path)
        if name in parent.entries:
            return
        self.change("mkdir", path)
        node = Directory()
        parent.entries[name] = node
        parent.pending.append(("link", name, node))

    def rmdir(self, path: str) -> None:
        parent, name = self._parent(path)
        node = parent.entries[name]
        assert isinstance(node, Directory)
        if node.entries:
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), path)
        self.change("rmdir", path)
        del parent.entries[name]
        parent.pending.append(("unlink", name))

    def list_dir(self, path: str) -> list[str]:
        self.check("list", path)
        node = self._node(path)
        assert isinstance(node, Directory)
        return list(node.entries)

    def exists(self, path: str) -> bool:
        try:
            self._node(path)
        except FileNotFoundError:
            return False
        return True

    def is_dir(self, path: str) -> bool:
        return self.exists(path) and isinstance(self._node(path), Directory)

    def size(self, path: str) -> int:
        node = self._node(path)
        assert isinstance(node, Inode)
        return len(node.data)

    def modified_ms(self, path: str) -> int:
        self._node(path)
        return 0

    def set_modified_ms(self, path: str, modified_ms: int) -> None:
        self._node(path)

    def sync_dir(self, path: str) -> None:
        self.change("sync_dir", path)
        node = self._node(path)
        assert isinstance(node, Directory)
        for operation in node.pending:
            _relink(node.durable, operation)
        node.pending.clear()

    def sync_all(self, path: str) -> None:
        error = self.failure("sync", path)
        if error is not None:
            raise error
        self.change("sync_all", path)
        _sync_tree(self.root)

    def try_lock(self, path: str) -> object | None:
        if self._locked.get(path) is not None:
            return None
        self.open(path, create=True)
        token = _Lock()
        self._locked[path] = token
        return token

    # After the end

    def after_kill(self) -> FaultStorage:
        """The process died; the page cache is whole. Pending operations stay pending."""
        return FaultStorage(self.root, open_limit=self.cache.limit)

    def after_power_loss(self, random: Random, *, keep: float = 0.5) -> FaultStorage:
        """The machine died: each pending operation survives with probability ``keep``, writes also in part."""
        return FaultStorage(_survivor(self.root, random, keep, {}), open_limit=self.cache.limit)

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Every file with its content, for messages of failing tests."""
        yield from _walk(self.root, "")

    def _parent(self, path: str) -> tuple[Directory, str]:
        head, _, name = path.rpartition("/")
        node = self._node(head or "/")
        assert isinstance(node, Directory), f"{head} is a file"
        return node, name

    def _node(self, path: str) -> Inode | Directory:
        if self.dead:
            raise Crash
        node: Inode | Directory = self.root
        for part in path.split("/"):
            if part:
                if not isinstance(node, Directory) or part not in node.entries:
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
                node = node.entries[part]
        return node


def _walk(directory: Directory, path: str) -> Iterator[tuple[str, bytes]]:
    for name, node in sorted(directory.entries.items()):
        if isinstance(node, Directory):
            yield from _walk(node, f"{path}/{name}")
        else:
            yield f"{path}/{name}", bytes(node.data)


def _sync_tree(directory: Directory) -> None:
    directory.durable = dict(directory.entries)
    directory.pending.clear()
    for node in directory.entries.values():
        if isinstance(node, Directory):
            _sync_tree(node)
        else:
            node.durable = bytes(node.data)
            node.pending.clear()


def _put(data: bytearray, content: bytes, position: int) -> None:
    if len(data) < position:
        data.extend(bytes(position - len(data)))
    data[position : position + len(content)] = content


def _resize(data: bytearray, size: int) -> None:
    if size <= len(data):
        del data[size:]
    else:
        data.extend(bytes(size - len(data)))


def _replay(data: bytearray, operation: tuple[Any, ...]) -> None:
    if operation[0] == "write":
        _put(data, operation[2], operation[1])
    else:
        _resize(data, operation[1])


def _relink(entries: dict[str, Inode | Directory], operation: tuple[Any, ...]) -> None:
    kind = operation[0]
    if kind == "link":
        entries[operation[1]] = operation[2]
    elif kind == "unlink":
        entries.pop(operation[1], None)
    else:
        _, name, new_name, node = operation
        if entries.get(name) is node:
            del entries[name]
        entries[new_name] = node


def _survivor(directory: Directory, random: Random, keep: float, seen: dict[int, Inode | Directory]) -> Directory:
    survivor = Directory()
    entries = dict(directory.durable)
    for operation in directory.pending:
        if random.random() < keep:
            _relink(entries, operation)
    for name, node in entries.items():
        copy = seen.get(id(node))
        if copy is None:
            if isinstance(node, Directory):
                copy = _survivor(node, random, keep, seen)
            else:
                content = _surviving_content(node, random, keep)
                copy = Inode(bytearray(content), content)
            seen[id(node)] = copy
        survivor.entries[name] = copy
    survivor.durable = dict(survivor.entries)
    return survivor


def _surviving_content(inode: Inode, random: Random, keep: float) -> bytes:
    data = bytearray(inode.durable)
    for operation in inode.pending:
        if random.random() >= keep:
            continue
        if operation[0] == "write" and random.random() < 0.3:
            _, position, content = operation
            start, end = sorted((random.randint(0, len(content)), random.randint(0, len(content))))
            _put(data, content[start:end], position + start)
        else:
            _replay(data, operation)
    return bytes(data)
