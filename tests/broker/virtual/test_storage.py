"""The storage that begins in memory, against a plain dict, with clones that must not see each other."""

from __future__ import annotations

import errno
import os
import resource
import tempfile
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from broker.virtual.content import DiskContent, MemoryContent
from broker.virtual.storage import Directory, Inode, MemoryFile, MemoryStorage, walk
from log.storage import FileRange, LogFile, RealStorage, remove_tree, write_file


def storage(spill_bytes: int = 1 << 20) -> MemoryStorage:
    return MemoryStorage(lambda: 7, tempfile.gettempdir(), spill_bytes=spill_bytes)


def contents(of: MemoryStorage) -> dict[str, bytes | None]:
    """Every path with its bytes; None for directories."""
    return {
        path: node.content.read(node.content.size, 0) if isinstance(node, Inode) else None
        for path, node in walk(of.clone_tree())
    }


NAMES = st.sampled_from(["/a", "/b", "/d", "/d/a", "/d/b", "/d/e", "/d/e/a"])
Model = dict[str, bytearray | None]


class StorageMachine(RuleBasedStateMachine):
    """Random operations on several storages that began as clones of each other; a model beside each."""

    worlds = Bundle("worlds")

    def __init__(self) -> None:
        super().__init__()
        self.pairs: list[tuple[MemoryStorage, Model]] = []

    @rule(target=worlds)
    def new(self) -> tuple[MemoryStorage, Model]:
        pair: tuple[MemoryStorage, Model] = (storage(spill_bytes=48), {})
        self.pairs.append(pair)
        return pair

    @rule(target=worlds, world=worlds)
    def clone(self, world: tuple[MemoryStorage, Model]) -> tuple[MemoryStorage, Model]:
        of, model = world
        twin = MemoryStorage(lambda: 8, of.spill_directory, of.clone_tree(), spill_bytes=48)
        copied: Model = {path: None if data is None else bytearray(data) for path, data in model.items()}
        self.pairs.append((twin, copied))
        return twin, copied

    @rule(world=worlds, path=NAMES, data=st.binary(min_size=1, max_size=40), position=st.integers(0, 60))
    def write(self, world: tuple[MemoryStorage, Model], path: str, data: bytes, position: int) -> None:
        of, model = world
        there = self.file(model, path)
        try:
            of.open(path, create=True).pwrite(data, position)
        except OSError:
            assert there is None
            return
        assert there is not None
        there.extend(bytes(max(0, position - len(there))))
        there[position : position + len(data)] = data
        model[path] = there

    @rule(world=worlds, path=NAMES, size=st.integers(0, 100))
    def truncate(self, world: tuple[MemoryStorage, Model], path: str, size: int) -> None:
        of, model = world
        there = model.get(path)
        try:
            of.open(path, create=False).truncate(size)
        except OSError:
            assert there is None
            return
        assert there is not None
        del there[size:]
        there.extend(bytes(size - len(there)))

    @rule(world=worlds, path=NAMES)
    def mkdir(self, world: tuple[MemoryStorage, Model], path: str) -> None:
        of, model = world
        try:
            of.mkdir(path)
        except OSError:
            assert not self.has_parent(model, path)
            return
        assert self.has_parent(model, path)
        model.setdefault(path, None)

    @rule(world=worlds, path=NAMES)
    def remove(self, world: tuple[MemoryStorage, Model], path: str) -> None:
        of, model = world
        if path in model and model[path] is None:
            empty = not any(each.startswith(path + "/") for each in model)
            self.refused_unless(empty, lambda: of.rmdir(path))
            if empty:
                del model[path]
        else:
            self.refused_unless(path in model, lambda: of.unlink(path))
            model.pop(path, None)

    @rule(world=worlds, source=NAMES, onto=NAMES)
    def rename(self, world: tuple[MemoryStorage, Model], source: str, onto: str) -> None:
        (of, model), target = world, onto
        fine = source in model and self.has_parent(model, target)
        if fine and source != target:
            if model[source] is None:
                fine = not target.startswith(source + "/") and (
                    target not in model
                    or (model[target] is None and not any(each.startswith(target + "/") for each in model))
                )
            else:
                fine = model.get(target, b"") is not None
        self.refused_unless(fine, lambda: of.rename(source, target))
        if fine and source != target:
            for path in [each for each in model if each == source or each.startswith(source + "/")]:
                model[target + path[len(source) :]] = model.pop(path)

    @staticmethod
    def has_parent(model: Model, path: str) -> bool:
        parent = path.rpartition("/")[0]
        return not parent or (parent in model and model[parent] is None)

    def file(self, model: Model, path: str) -> bytearray | None:
        """What a write to this path begins with; None where there can be no file."""
        if not self.has_parent(model, path) or (path in model and model[path] is None):
            return None
        return model.get(path) or bytearray()

    @staticmethod
    def refused_unless(fine: bool, operation: Any) -> None:
        if fine:
            operation()
        else:
            with pytest.raises(OSError, match="Errno"):
                operation()

    @invariant()
    def all_as_the_models_say(self) -> None:
        for of, model in self.pairs:
            assert contents(of) == {path: None if data is None else bytes(data) for path, data in model.items()}


TestStorageMachine = StorageMachine.TestCase
TestStorageMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_a_preallocated_index_takes_no_memory() -> None:
    file = storage().open("/index", create=True)
    file.truncate(10 << 20)
    file.pwrite(b"12345678", 0)
    assert file.size() == 10 << 20
    assert file.pread(16, 0) == b"12345678" + bytes(8)
    assert file.pread(16, (10 << 20) - 8) == bytes(8)
    assert isinstance(file._inode.content, MemoryContent)
    assert len(file._inode.content.data) == 8


def test_a_large_file_is_in_a_file_without_a_name_and_its_clone_stays_as_it_was() -> None:
    with tempfile.TemporaryDirectory() as directory:
        of = MemoryStorage(lambda: 7, directory, spill_bytes=1000)
        file = of.open("/log", create=True)
        assert file.fd == -1
        for number in range(50):
            file.pwrite(bytes([number]) * 100, number * 100)
        assert file.fd >= 0
        assert os.listdir(directory) == []
        kept = FileRange(file, 200, 100)
        twin = MemoryStorage(lambda: 7, directory, of.clone_tree(), spill_bytes=1000)
        shared = twin.open("/log", create=False)
        assert shared.fd == file.fd
        shared.pwrite(b"changed", 0)
        assert shared.fd != file.fd
        file.pwrite(b"tail", 5000)
        assert file.pread(7, 0) == bytes(7)
        assert shared.size() == 5000
        assert kept.read() == b"\2" * 100
        shared.truncate(0)
        assert file.size() == 5004
        assert os.listdir(directory) == []


def test_a_clone_that_is_gone_costs_no_copy() -> None:
    of = storage()
    file = of.open("/log", create=True)
    file.pwrite(b"abc", 0)
    content = id(file._inode.content)  # no reference, which would count as another inode
    twin = of.clone_tree()
    del twin
    file.pwrite(b"d", 3)
    assert id(file._inode.content) == content
    assert not file._inode.shared


def test_holes_stay_holes_in_a_copy() -> None:
    content = DiskContent(tempfile.gettempdir())
    content.write(b"head", 0)
    content.truncate(1 << 30)
    twin = content.copy()
    assert twin.size == 1 << 30
    assert twin.read(8, 0) == b"head" + bytes(4)
    assert os.fstat(twin.fd).st_blocks * 512 < 1 << 20


def test_without_descriptors_the_bytes_stay_in_memory() -> None:
    of = storage(spill_bytes=10)
    file = of.open("/log", create=True)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        file.pwrite(b"x" * 100, 0)
        assert file.fd == -1
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    file.pwrite(b"y" * 100, 100)
    assert file.pread(200, 0) == b"x" * 100 + b"y" * 100
    file.pwrite(b"z" * 100, 200)
    assert file.fd >= 0


def test_an_open_file_outlives_its_name() -> None:
    of = storage()
    of.mkdir("/d")
    file = LogFile(of, "/d/log", create=True)
    file.opened().pwrite(b"kept", 0)
    opened = file.opened()
    of.rename("/d", "/e")
    remove_tree(of, "/e")
    assert opened.pread(4, 0) == b"kept"
    assert contents(of) == {}


def test_faults_are_asked_for_and_nothing_is_done() -> None:
    of = storage(spill_bytes=4)
    file = of.open("/log", create=True)
    file.pwrite(b"0123456789", 0)
    asked: list[str] = []

    def fail(operation: str, path: str) -> OSError | None:
        asked.append(f"{operation} {path}")
        return OSError(errno.ENOSPC, "full") if operation == "write" else None

    of.fail = fail
    assert file.fd == -1  # or reads would pass by the fault
    with pytest.raises(OSError, match="full"):
        file.pwrite(b"x", 0)
    file.pread(1, 0)
    file.sync()
    of.sync_dir("/")
    of.list_dir("/")
    assert asked == ["write /log", "read /log", "sync /log", "sync_dir /", "list /"]
    of.fail = None
    assert file.pread(3, 0) == b"012"
    assert file.fd >= 0


def test_one_lock_at_a_time() -> None:
    of = storage()
    token = of.try_lock("/.lock")
    assert token is not None
    assert of.try_lock("/.lock") is None
    del token
    assert of.try_lock("/.lock") is not None


@pytest.mark.parametrize(
    ("operation", "number"),
    [
        (lambda of, at: of.open(f"{at}/none", create=False), errno.ENOENT),
        (lambda of, at: of.open(f"{at}/none/file", create=True), errno.ENOENT),
        (lambda of, at: of.unlink(f"{at}/none"), errno.ENOENT),
        (lambda of, at: of.rmdir(f"{at}/full"), errno.ENOTEMPTY),
        (lambda of, at: of.rmdir(f"{at}/file"), errno.ENOTDIR),
        (lambda of, at: of.list_dir(f"{at}/file"), errno.ENOTDIR),
        (lambda of, at: of.size(f"{at}/none"), errno.ENOENT),
        (lambda of, at: of.rename(f"{at}/none", f"{at}/x"), errno.ENOENT),
        (lambda of, at: of.rename(f"{at}/full", f"{at}/full/in/it"), errno.EINVAL),
        (lambda of, at: of.sync_dir(f"{at}/none"), errno.ENOENT),
    ],
)
def test_errors_are_those_of_a_real_file_system(operation: Any, number: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        for of, at in ((RealStorage(), directory), (storage(), "")):
            of.mkdir(f"{at}/full")
            of.mkdir(f"{at}/full/in")
            write_file(of, f"{at}/file", b"data", sync=True)
            with pytest.raises(OSError, match="Errno") as raised:
                operation(of, at)
            assert raised.value.errno == number


def test_types_of_the_tree() -> None:
    of = storage()
    assert isinstance(of.open("/f", create=True), MemoryFile)
    of.set_modified_ms("/f", 5)
    assert of.modified_ms("/f") == 5
    assert isinstance(of.clone_tree(), Directory)
    assert of.exists("/f")
    assert not of.is_dir("/f")
    assert of.is_dir("/")
