"""``meta.properties``: which cluster, node and directory a log directory belongs to  (Kafka: MetaProperties, KIP-858).

A Java properties file, version 1: two comment lines, then ``cluster.id``, ``directory.id``, ``node.id``, ``version``.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define

from kwire import uuids
from log.filenames import META_PROPERTIES
from log.storage import Storage, read_file, write_file


class MetaPropertiesError(Exception):
    """A directory's identity is unreadable or is not this node's. The message names file, value and what was
    expected.
    """


@define(slots=True, frozen=True)
class MetaProperties:
    """``directory_id`` is None in files of Kafka before 3.7; it is then chosen and written."""

    cluster_id: str
    node_id: int
    directory_id: bytes | None = None


def read_meta_properties(storage: Storage, directory: str) -> MetaProperties | None:
    """The identity of a directory, None when it has none yet. Raises ``MetaPropertiesError`` for a file that is
    damaged.
    """
    path = f"{directory}/{META_PROPERTIES}"
    raw = read_file(storage, path)
    if raw is None:
        return None
    values = _parse(raw.decode("latin-1"))
    version = values.get("version")
    if version == "0":
        raise MetaPropertiesError(
            f"{path} has version 0: the directory is that of a broker with ZooKeeper. Migrate it to KRaft with Kafka "
            "3.9 first."
        )
    if version != "1":
        raise MetaPropertiesError(f"{path}: version is {version!r}, expected 1")
    cluster_id = values.get("cluster.id")
    if not cluster_id:
        raise MetaPropertiesError(f"{path}: cluster.id is missing")
    try:
        node_id = int(values.get("node.id", ""))
    except ValueError:
        raise MetaPropertiesError(f"{path}: node.id is {values.get('node.id')!r}, expected a number") from None
    directory_text = values.get("directory.id")
    try:
        directory_id = uuids.from_string(directory_text) if directory_text else None
    except ValueError as error:
        raise MetaPropertiesError(f"{path}: directory.id: {error}") from None
    return MetaProperties(cluster_id, node_id, directory_id)


def write_meta_properties(storage: Storage, directory: str, properties: MetaProperties, date: str) -> None:
    """Write the file, durable on return. ``date`` goes into its second comment line as Java prints one."""
    lines = ["#", f"#{date}", f"cluster.id={_escape(properties.cluster_id)}"]
    if properties.directory_id is not None:
        lines.append(f"directory.id={uuids.to_string(properties.directory_id)}")
    lines += [f"node.id={properties.node_id}", "version=1"]
    write_file(storage, f"{directory}/{META_PROPERTIES}", ("\n".join(lines) + "\n").encode("latin-1"), sync=True)


def verify(found: Sequence[tuple[str, MetaProperties | None]], *, cluster_id: str | None, node_id: int) -> str | None:
    """Check that all directories belong to one node of one cluster; returns that cluster's id, None for fresh ones.

    Raises ``MetaPropertiesError`` on another node id, on differing cluster ids, on a directory id met twice.
    """
    seen: dict[bytes, str] = {}
    for directory, properties in found:
        if properties is None:
            continue
        path = f"{directory}/{META_PROPERTIES}"
        if cluster_id is None:
            cluster_id = properties.cluster_id
        if properties.cluster_id != cluster_id:
            raise MetaPropertiesError(
                f"Invalid cluster.id in: {path}. Expected {cluster_id}, but read {properties.cluster_id}"
            )
        if properties.node_id != node_id:
            raise MetaPropertiesError(
                f"Stored node id {properties.node_id} doesn't match previous node id {node_id} in {path}. "
                "If you moved your data, make sure your configured node id matches. If you intend to create a new "
                "node, you should remove all data in your data directories."
            )
        if properties.directory_id is not None:
            other = seen.setdefault(properties.directory_id, directory)
            if other != directory:
                text = uuids.to_string(properties.directory_id)
                raise MetaPropertiesError(f"directory.id {text} is in both {other} and {directory}")
    return cluster_id


def _parse(text: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for line in text.splitlines():
        line = line.strip()
        if not line or line[0] in "#!":
            continue
        name, _, value = line.partition("=")
        values[name.strip()] = value.strip().replace("\\:", ":").replace("\\=", "=").replace("\\\\", "\\")
    return values


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("=", "\\=").replace(":", "\\:")
