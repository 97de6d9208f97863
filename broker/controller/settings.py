"""What the controller is told once, at start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import define, field

from broker.controller.image import Endpoint


@define(slots=True, frozen=True)
class InternalTopic:
    """How one of the broker's own topics is created when first needed."""

    num_partitions: int
    replication_factor: int
    configs: Mapping[str, str]


@define(slots=True, frozen=True)
class ControllerSettings:
    """Settings of a node that is broker and controller in one.

    cluster_id: Kafka's 22 characters. bootstrap_features: levels a fresh log begins with, metadata.version among them.
    supported_features: what this node can do. internal_topics: by name. controller_endpoints: how the controller
    registers itself; DescribeQuorum v2 answers them. lenient_factor: a replication factor above the number of nodes is
    taken for that number.
    """

    cluster_id: str
    node_id: int
    bootstrap_features: Mapping[str, int]
    supported_features: Mapping[str, tuple[int, int]]
    num_partitions: int = 1
    replication_factor: int = 1
    auto_create_topics: bool = True
    delete_topics: bool = True
    max_describe_partitions: int = 2000
    internal_topics: Mapping[str, InternalTopic] = field(factory=dict)
    controller_endpoints: Sequence[Endpoint] = ()
    min_insync_replicas: int = 1
    unclean_leader_election: bool = False
    lenient_factor: bool = False
