"""Whether a data directory is one that this node can carry on with: one combined node's, whole, and of this time.

A directory that is not is refused with the reason, before anything in it is changed: half of a cluster served as if it
were all of it would answer for records that are elsewhere.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from broker.controller.decisions.features import METADATA_VERSION
from broker.controller.image import ClusterImage
from broker.controller.names import CLUSTER_METADATA_TOPIC
from broker.metadata_log import MetadataLogFile
from kwire import uuids
from log.filenames import META_PROPERTIES, parse_partition_dir, partition_dir
from log.storage import Storage

_METADATA_DIR: Final = partition_dir(CLUSTER_METADATA_TOPIC, 0)
_SHOWN: Final = 3
_ROLES: Final = {"broker", "controller"}


class DirectoryRefusedError(Exception):
    """The text says what the directory is, and what to do."""


def check_settings(roles: Sequence[str], voters: Sequence[str], node_id: int) -> None:
    """process.roles and controller.quorum.voters (``ID@HOST:PORT``) of one combined node. Raises
    DirectoryRefusedError.
    """
    if roles and set(roles) != _ROLES:
        raise DirectoryRefusedError(
            f"process.roles is {','.join(roles)}: kwire is broker and controller in one. Give broker,controller, or "
            "leave it out."
        )
    ids = [int(head) for head in (voter.partition("@")[0].strip() for voter in voters) if head.isdecimal()]
    if ids:
        _check_voters(ids, node_id)


def check_layout(storage: Storage, directories: Sequence[str]) -> None:
    """What can be seen from the names alone. Raises DirectoryRefusedError, OSError."""
    with_metadata: list[str] = []
    with_partitions: list[str] = []
    for directory in directories:
        names = storage.list_dir(directory)
        partitions = [name for name in names if (found := parse_partition_dir(name)) is not None and not found.mark]
        if _METADATA_DIR in partitions:
            with_metadata.append(directory)
        if partitions:
            with_partitions.append(directory)
            if META_PROPERTIES not in names:
                raise DirectoryRefusedError(
                    f"{directory} holds {partitions[0]}, but no {META_PROPERTIES}: which cluster it belongs to cannot "
                    "be told. Restore that file, or choose another directory."
                )
    if len(with_metadata) > 1:
        raise DirectoryRefusedError(
            f"{_METADATA_DIR} is in {' and in '.join(with_metadata)}: only one of them can be this node's. Move the "
            "one that is not out of the directory."
        )
    if with_partitions and not with_metadata:
        raise DirectoryRefusedError(
            f"{with_partitions[0]} holds partitions, and none of log.dirs holds {_METADATA_DIR}, which says what they "
            "are. If it is in a directory of its own (metadata.log.dir), move it into the first of log.dirs; if one of "
            "several log.dirs is left out, name it too."
        )


def check_quorum(metadata: MetadataLogFile, node_id: int, directory_id: bytes | None) -> None:
    """This node is the only voter. directory_id: of the directory that holds the metadata log.

    Raises DirectoryRefusedError.
    """
    quorum, state = metadata.quorum, metadata.quorum_state
    if quorum.kraft_version >= 1 and quorum.voters is not None:
        voters = {voter.voter_id: voter.voter_directory_id for voter in quorum.voters.voters}
        _check_voters(list(voters), node_id)
        if directory_id is not None and voters[node_id] not in (directory_id, uuids.ZERO):
            raise DirectoryRefusedError(
                f"the controller {node_id} of this cluster has the directory.id {uuids.to_string(voters[node_id])}, "
                f"and the directory with its metadata log has {uuids.to_string(directory_id)}: {META_PROPERTIES} was "
                "changed, or it is a copy for another node. Put the former id back."
            )
    elif state is not None and state.voters:
        _check_voters(state.voters, node_id)


def _check_voters(voters: Collection[int], node_id: int) -> None:
    if node_id not in voters:
        raise DirectoryRefusedError(
            f"node {node_id} is a broker only: its controllers are {_listed(voters)}. Only the directory of a node "
            "that is broker and controller (process.roles=broker,controller) can be taken over."
        )
    if len(voters) > 1:
        raise DirectoryRefusedError(
            f"node {node_id} is one of several controllers ({_listed(voters)}). Only the directory of a cluster of one "
            "node can be taken over."
        )


def check_level(image: ClusterImage, supported: tuple[int, int]) -> None:
    """metadata.version is one we write. Raises DirectoryRefusedError."""
    level = image.features.get(METADATA_VERSION)
    if level is None:
        return
    if level > supported[1]:
        raise DirectoryRefusedError(
            f"the directory has metadata.version {level}, written by a newer Kafka; up to {supported[1]} (4.3) is "
            "known here. Lower it with kafka-features.sh downgrade there, where that Kafka allows it."
        )
    if level < supported[0]:
        raise DirectoryRefusedError(
            f"the directory has metadata.version {level}; at least {supported[0]} (3.3) is needed. Upgrade it with "
            "Kafka 3.9 and kafka-features.sh upgrade first."
        )


def check_image(
    image: ClusterImage,
    node_id: int,
    directory_ids: Collection[bytes],
    *,
    all_there: bool,
    node_ids: Collection[int] = (),
) -> None:
    """The cluster is this node, and each of its replicas lies in a directory that is there.

    node_ids: the nodes simulated beside it, which share its directories. directory_ids: of the directories at hand.
    all_there: False when one of log.dirs has failed (what lies there is offline then, as in Kafka). Raises
    DirectoryRefusedError.
    """
    if image.controllers and node_id not in image.controllers:
        _check_voters(image.controllers, node_id)
    if image.brokers and node_id not in image.brokers:
        raise DirectoryRefusedError(
            f"node {node_id} is a controller only: the brokers of its cluster are {_listed(image.brokers)}. Only the "
            "directory of a node that is broker and controller can be taken over."
        )
    others = [broker_id for broker_id in image.brokers if broker_id != node_id and broker_id not in node_ids]
    if others:
        raise DirectoryRefusedError(
            f"the cluster has more brokers than this one: {_listed(others)}. Move their partitions to broker {node_id} "
            "and unregister them (kafka-reassign-partitions.sh, kafka-cluster.sh unregister) first. If kwire simulated "
            f"them, start with as many as before: --set kwire.nodes={len(image.brokers)}."
        )
    if not all_there:
        return
    missing: dict[bytes, list[str]] = {}
    for topic in image.topics():
        for index, partition in enumerate(topic.partitions):
            lies_in = partition.directory_of(node_id)
            if lies_in is not None and not uuids.is_reserved(lies_in) and lies_in not in directory_ids:
                missing.setdefault(lies_in, []).append(f"{topic.name}-{index}")
    for directory_id, partitions in missing.items():
        text = uuids.to_string(directory_id)
        more = f" and {len(partitions) - _SHOWN} more" if len(partitions) > _SHOWN else ""
        raise DirectoryRefusedError(
            f"{', '.join(partitions[:_SHOWN])}{more} lie in the directory with directory.id {text}, which is none of "
            f"log.dirs. Name it in log.dirs. If it is lost and they may begin empty, name a new directory with "
            f"directory.id={text} in its {META_PROPERTIES}."
        )


def _listed(ids: Collection[int]) -> str:
    return ", ".join(map(str, sorted(ids)))
