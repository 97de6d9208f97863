"""Snapshots in directories: kwire's own form, which can be read again, and Kafka's, which a broker opens.

kwire's: `manifest.json` (format, versions, how the cluster was asked for, every file with its size and CRC-32) and
`data/`. Kafka's: the log directory of one combined node. Both are written beside their place and then renamed, so a
directory is whole or not there. All of it may run in a thread: what a snapshot holds is never changed.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import zlib
from random import Random
from typing import TYPE_CHECKING, Any, Final

from attrs import evolve, frozen

from broker.cli.version import KAFKA_VERSION, kwire_version
from broker.cluster import Cluster
from broker.config.broker_config import BrokerConfig
from broker.controller.image_records import image_records
from broker.deferred import Deferred
from broker.driven_clock import ClockError, DrivenClock
from broker.nodes.spec import NodeSpec
from broker.virtual.errors import ExportError, InvalidSpecError, SnapshotRefusedError
from broker.virtual.snapshot import ClockState, Snapshot, close_cleanly
from broker.virtual.spec import DATA_DIRECTORY, ClusterSpec, check
from broker.virtual.storage import Directory, walk

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.virtual.content import Content
    from broker.virtual.storage import MemoryStorage

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
_DATA: Final = "data"
_MANIFEST_LIMIT_BYTES: Final = 256 << 20
_CHUNK_BYTES: Final = 1 << 20
_LOCK: Final = ".lock"
_PROPERTIES: Final = "meta.properties"
_LONGEST_VERSION: Final = 100


@frozen
class Written:
    """path: where it is. files, size_bytes: what it holds."""

    path: str
    files: int
    size_bytes: int


def check_target(path: str) -> None:
    """Whether a directory can be made at `path`. Raises ExportError; nothing is done."""
    if not os.path.isabs(path):
        raise ExportError(f"{path!r} is no absolute path: the broker's own directory means nothing to who asks")
    if os.path.isdir(path):
        try:
            found = os.listdir(path)
        except OSError as error:
            raise ExportError(f"cannot look into {path}: {error.strerror}") from None
        if found:
            raise ExportError(f"{path} is not empty: name a directory that is empty or not there yet")
    elif os.path.lexists(path):
        raise ExportError(f"{path} is no directory: name one that is empty or not there yet")
    elif not os.path.isdir(os.path.dirname(path.rstrip("/")) or "/"):
        raise ExportError(f"{os.path.dirname(path)} is not there: make it first")


def write_kafka(taken: Snapshot, path: str) -> Written:
    """The log directory of one node, as Kafka has it. taken: clean, and of one node (`of_one_node`)."""
    return _write(path, lambda directory: _write_tree(_data_of(taken.root), directory))


def write_snapshot(taken: Snapshot, path: str) -> Written:
    """kwire's own form. taken: clean."""

    def fill(directory: str) -> None:
        data = f"{directory}/{_DATA}"
        os.mkdir(data)
        files = _write_tree(_data_of(taken.root), data)
        manifest = {
            "format": FORMAT,
            "kwire": kwire_version(),
            "kafka": KAFKA_VERSION,
            "cluster": taken.cluster,
            "cluster_id": taken.cluster_id,
            "snapshot": taken.name,
            "taken_ms": taken.taken_ms,
            "topics": taken.topics,
            "clock": {"now_ms": taken.clock.now_ms, "frozen": taken.clock.frozen, "rate": taken.clock.rate},
            "nodes": [{"node_id": node.node_id, "rack": node.rack} for node in taken.nodes],
            "configs": dict(taken.spec.configs),
            "as_version": taken.spec.as_version,
            "seed": taken.spec.seed,
            "files": files,
        }
        with open(f"{directory}/{MANIFEST}", "w", encoding="utf-8") as file:
            json.dump(manifest, file, indent=1)

    return _write(path, fill)


def read_snapshot(path: str, storage: MemoryStorage) -> Snapshot:
    """What `write_snapshot` wrote. storage: an empty one. Raises SnapshotRefusedError with what is allowed."""
    manifest = _manifest(path)
    try:
        return _read(path, manifest, storage)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SnapshotRefusedError(f"{path}/{MANIFEST} is damaged: {type(error).__name__}: {error}") from None
    except (ClockError, InvalidSpecError) as error:
        raise SnapshotRefusedError(f"{path}/{MANIFEST} is damaged: {error}") from None
    except OSError as error:
        raise SnapshotRefusedError(f"cannot read the snapshot: {error}") from None


def of_one_node(
    taken: Snapshot, config: BrokerConfig, spill_directory: str, run_in_thread: Callable[..., Deferred[Any]]
) -> Snapshot:
    """The same data, and metadata of its first node alone; every partition has one replica. taken: clean."""
    if len(taken.nodes) == 1:
        return taken
    storage = taken.storage(spill_directory)
    clock = DrivenClock(taken.taken_ms, frozen=True)
    cluster = Cluster(config, clock, Random(0), run_in_thread, storage, None, taken.nodes)
    cluster.open()
    properties = cluster.manager.online_directories[0].properties
    assert properties is not None
    assert properties.directory_id is not None
    cluster.controller.become_one_node(cluster.node_id, properties.directory_id)
    # Without the history: Kafka does not take it that several brokers had the same directory.
    cluster.metadata.begin_anew(image_records(cluster.controller.image.contents()), taken.taken_ms)
    close_cleanly(cluster)
    root = storage.clone_tree()
    storage.discard()
    return Snapshot(
        name=taken.name,
        cluster=taken.cluster,
        spec=taken.spec,
        nodes=taken.nodes[:1],
        clock=taken.clock,
        taken_ms=taken.taken_ms,
        cluster_id=taken.cluster_id,
        topics=taken.topics,
        root=root,
        clean=True,
    )


# -- writing


def _data_of(root: Directory) -> Directory:
    data = root.entries[DATA_DIRECTORY.strip("/")]
    assert isinstance(data, Directory)
    return data


def _write(path: str, fill: Callable[[str], Any]) -> Written:
    check_target(path)
    path = path.rstrip("/") or "/"
    beside = f"{path}.{os.getpid()}.part"
    try:
        os.mkdir(beside)
        try:
            fill(beside)
            os.rename(beside, path)
        except BaseException:
            shutil.rmtree(beside, ignore_errors=True)
            raise
    except OSError as error:
        raise ExportError(f"cannot write {path}: {error}") from None
    files = size_bytes = 0
    for directory, _, names in os.walk(path):
        files += len(names)
        size_bytes += sum(os.stat(f"{directory}/{name}").st_size for name in names)
    return Written(path, files, size_bytes)


def _write_tree(root: Directory, directory: str) -> list[dict[str, Any]]:
    """Every file, with its size and CRC-32."""
    files: list[dict[str, Any]] = []
    for path, node in walk(root):
        target = directory + path
        if isinstance(node, Directory):
            os.mkdir(target)
        elif path != f"/{_LOCK}":
            crc = _write_file(node.content, target)
            os.utime(target, ns=(node.modified_ms * 1_000_000, node.modified_ms * 1_000_000))
            files.append({"path": path[1:], "size": os.stat(target).st_size, "crc32": crc})
    return files


def _write_file(content: Content, target: str) -> int:
    crc, position = 0, 0
    size = content.size
    with open(target, "wb") as file:
        while position < size:
            data = content.read(min(_CHUNK_BYTES, size - position), position)
            if not data:
                raise OSError(f"a file of {size} bytes ends after {position}")
            if data.count(0) == len(data):
                file.seek(len(data), os.SEEK_CUR)  # a hole
            else:
                file.write(data)
            crc = zlib.crc32(data, crc)
            position += len(data)
        file.truncate(size)
    return crc


# -- reading


def _manifest(path: str) -> dict[str, Any]:
    name = f"{path}/{MANIFEST}"
    if not os.path.isabs(path):
        raise SnapshotRefusedError(
            f"{path!r} is no absolute path: the broker's own directory means nothing to who asks"
        )
    try:
        with open(name, "rb", opener=_regular) as file:
            text = file.read(_MANIFEST_LIMIT_BYTES + 1)
        manifest = json.loads(text) if len(text) <= _MANIFEST_LIMIT_BYTES else None
    except FileNotFoundError:
        raise SnapshotRefusedError(
            f"{path} holds no exported snapshot ({MANIFEST} is missing); a directory in Kafka's form is opened with"
            " kwire serve --data-dir"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise SnapshotRefusedError(f"cannot read {name}: {error}") from None
    if not isinstance(manifest, dict) or type(manifest.get("format")) is not int:
        raise SnapshotRefusedError(f"{name} is no manifest of a snapshot")
    of = manifest.get("kwire")
    if manifest["format"] != FORMAT:
        raise SnapshotRefusedError(
            f"{path} was exported in format {manifest['format']} by kwire {of}; this is kwire {kwire_version()}, which"
            f" reads format {FORMAT}. Import it with the version that wrote it, or export it there with --kafka.",
            allowed=[str(FORMAT)],
        )
    if not isinstance(of, str) or not 0 < len(of) <= _LONGEST_VERSION:
        raise SnapshotRefusedError(f"{name} does not tell which kwire wrote it")
    if _ordinal(of) > _ordinal(kwire_version()):
        raise SnapshotRefusedError(
            f"{path} was exported by kwire {of}, which is newer than this one ({kwire_version()}): import it with {of}"
            " or later, or export it there with --kafka",
            allowed=[f"{kwire_version()} and earlier"],
        )
    return manifest


def _ordinal(version: str) -> tuple[int, ...]:
    """Of `1.2.3`, without what follows the numbers."""
    numbers = []
    for part in version.split(".")[:3]:
        digits = "".join(each for each in part if each.isdecimal() and each.isascii())
        numbers.append(int(digits or "0"))
    return tuple(numbers)


def _read(path: str, manifest: dict[str, Any], storage: MemoryStorage) -> Snapshot:
    nodes = [NodeSpec(_whole(each["node_id"]), _text_or_none(each["rack"])) for each in manifest["nodes"]]
    if not nodes or len({node.node_id for node in nodes}) != len(nodes):
        raise ValueError("its nodes differ in their ids")
    configs = {str(name): str(text) for name, text in manifest["configs"].items()}
    seed = manifest["seed"]
    clock = manifest["clock"]
    now_ms = clock["now_ms"]
    spec = ClusterSpec(
        nodes=len(nodes),
        racks=[node.rack for node in nodes if node.rack is not None],
        configs=configs,
        as_version=_text_or_none(manifest["as_version"]),
        seed=None if seed is None else _whole(seed),
        now_ms=None if now_ms is None else _whole(now_ms),
    )
    check(spec)
    clock_state = ClockState(spec.now_ms, clock["frozen"] is True, float(clock["rate"]))
    DrivenClock(clock_state.now_ms, frozen=clock_state.frozen, rate=clock_state.rate)
    storage.mkdir(DATA_DIRECTORY)
    listed: set[str] = set()
    for each in manifest["files"]:
        name = each["path"]
        parts = name.split("/")
        if any(part in ("", ".", "..") for part in parts) or name in listed:
            raise ValueError(f"{name!r} is no name of a file")
        listed.add(name)
        for depth in range(1, len(parts)):
            storage.mkdir(f"{DATA_DIRECTORY}/{'/'.join(parts[:depth])}")
        _read_file(f"{path}/{_DATA}/{name}", f"{DATA_DIRECTORY}/{name}", each, storage)
    if _PROPERTIES not in listed:
        raise ValueError(f"{_PROPERTIES} is missing")
    return Snapshot(
        name=str(manifest["snapshot"]),
        cluster=str(manifest["cluster"]),
        spec=evolve(spec, now_ms=None),
        nodes=nodes,
        clock=clock_state,
        taken_ms=_whole(manifest["taken_ms"]),
        cluster_id=str(manifest["cluster_id"]),
        topics=_whole(manifest["topics"]),
        root=storage.clone_tree(),
        clean=True,
    )


def _read_file(source: str, target: str, listed: dict[str, Any], storage: MemoryStorage) -> None:
    size, crc = _whole(listed["size"]), 0
    opened = storage.open(target, create=True)
    with open(source, "rb", opener=_regular) as file:
        found = os.fstat(file.fileno())
        if found.st_size != size:
            raise ValueError(f"{source} has {found.st_size} bytes and was written with {size}")
        position = 0
        while data := file.read(min(_CHUNK_BYTES, size - position)):
            if data.count(0) != len(data):
                opened.pwrite(data, position)
            crc = zlib.crc32(data, crc)
            position += len(data)
        opened.truncate(size)
    if crc != listed["crc32"]:
        raise ValueError(f"{source} is not what was written: its CRC-32 is {crc}, not {listed['crc32']}")
    storage.set_modified_ms(target, found.st_mtime_ns // 1_000_000)


def _regular(path: str, flags: int) -> int:
    """For open(): only a file that has an end, no pipe or device. Raises OSError."""
    fd = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(f"{path} is no regular file")
    return fd


def _text_or_none(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    return value


def _whole(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no whole number of 0 or more")
    return value
