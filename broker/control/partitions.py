"""`/v1/clusters/{cluster}/partitions/{topic}/{partition}`: its replicas; choose its leader, lose its tail."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from broker.cluster import Cluster
from broker.control.nodes import find_node
from broker.control.plane import cluster_of
from broker.http.endpoint import Call, Endpoint
from broker.nodes import lifecycle


class ReplicaView(msgspec.Struct):
    """A replica. log_end_offset: how far it has come. eligible: may lead although it is not in sync (KIP-966)."""

    node: int
    rack: str | None
    in_sync: bool
    eligible: bool
    log_end_offset: int


class PartitionView(msgspec.Struct):
    """A partition. leader: null when nobody leads. replicas: the preferred leader first.

    adding, removing: replicas of a reassignment under way.
    """

    topic: str
    partition: int
    leader: int | None
    leader_epoch: int
    log_start_offset: int
    log_end_offset: int
    high_watermark: int
    replicas: list[ReplicaView]
    isr: list[int]
    adding: list[int]
    removing: list[int]


class LoseTail(msgspec.Struct, forbid_unknown_fields=True):
    """records: at least how many offsets to cut off; whole batches go."""

    records: Annotated[int, Meta(ge=1, le=2**62)]


class Leader(msgspec.Struct, forbid_unknown_fields=True):
    """node: which replica shall lead. unclean: also when it is not in sync; what it does not have is lost then."""

    node: Annotated[int, Meta(ge=0, le=2**31 - 1)]
    unclean: bool = False


def view(cluster: Cluster, topic_name: str, index: int) -> PartitionView:
    """Raises ApiError(UNKNOWN_TOPIC_OR_PARTITION)."""
    topic = lifecycle.find_topic(cluster, topic_name, index)
    described = topic.partitions[index]
    log = cluster.open_log(topic, index) if (topic_name, index) in cluster.manager else None
    end = 0 if log is None else log.log_end_offset
    brokers = cluster.controller.image.brokers
    return PartitionView(
        topic=topic_name,
        partition=index,
        leader=None if described.leader < 0 else described.leader,
        leader_epoch=described.leader_epoch,
        log_start_offset=0 if log is None else log.log_start_offset,
        log_end_offset=end,
        high_watermark=0 if log is None else log.high_watermark,
        replicas=[
            ReplicaView(
                node=replica,
                rack=brokers[replica].rack if replica in brokers else None,
                in_sync=replica in described.isr,
                eligible=replica in described.elr,
                log_end_offset=end if cluster.replicas is None else cluster.replicas.end_of(topic_name, index, replica),
            )
            for replica in described.replicas
        ],
        isr=list(described.isr),
        adding=list(described.adding_replicas),
        removing=list(described.removing_replicas),
    )


def show_partition(call: Call) -> PartitionView:
    return view(cluster_of(call).cluster, call.path["topic"], call.number("partition"))


def lose_tail(call: Call, body: LoseTail) -> PartitionView:
    cluster = cluster_of(call).cluster
    lifecycle.lose_tail(cluster, call.path["topic"], call.number("partition"), body.records)
    return show_partition(call)


async def set_leader(call: Call, body: Leader) -> PartitionView:
    cluster = cluster_of(call).cluster
    topic, index = call.path["topic"], call.number("partition")
    lifecycle.find_topic(cluster, topic, index)
    find_node(cluster, body.node, status=400)
    await call.wait(lifecycle.elect(cluster, topic, index, body.node, unclean=body.unclean))
    return show_partition(call)


_PARTITION = "/v1/clusters/{cluster}/partitions/{topic}/{partition:int}"

endpoints = [
    Endpoint(
        "GET", _PARTITION, show_partition, answer=PartitionView, summary="A partition and its replicas", tag="nodes"
    ),
    Endpoint(
        "POST",
        f"{_PARTITION}/lose-tail",
        lose_tail,
        body=LoseTail,
        answer=PartitionView,
        summary="Lose the end of a partition's log, as an unclean election does",
        description="The leader stays, its epoch rises: consumers find by OffsetForLeaderEpoch where the log diverges"
        " from what they have read. Records that were acknowledged are lost on purpose.",
        tag="nodes",
    ),
    Endpoint(
        "PUT",
        f"{_PARTITION}/leader",
        set_leader,
        body=Leader,
        answer=PartitionView,
        summary="Let a replica lead, whichever is preferred",
        description="Unclean: a replica that is behind may be chosen; the log is cut to its end.",
        tag="nodes",
    ),
]
