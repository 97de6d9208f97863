"""How a node is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, evolve

if TYPE_CHECKING:
    from broker.config.broker_config import BrokerConfig


@define(slots=True, frozen=True)
class NodeSpec:
    """One node of a cluster that is to be made.

    host, port: where its first listener is bound; None: as the settings say for the first node, and for the others
    the settings' host with any free port (which `port=0` asks for, too).
    """

    node_id: int
    rack: str | None = None
    host: str | None = None
    port: int | None = None


def configured_nodes(config: BrokerConfig) -> list[NodeSpec]:
    """The nodes of a process's own cluster, by `kwire.nodes` and `kwire.racks`; none for the usual one.

    They listen on ports one above the other, or on any free ones where the settings' port is 0.
    """
    count = config.get_int("kwire.nodes")
    if count == 1:
        return []
    racks = config.get_list("kwire.racks")
    port = config.listeners[0].port
    return [
        evolve(spec, port=port + index if port else 0)
        for index, spec in enumerate(node_specs(count, racks, first_id=config.node_id))
    ]


def node_specs(count: int, racks: list[str] | None = None, *, first_id: int = 1) -> list[NodeSpec]:
    """`count` nodes numbered from `first_id`; racks are dealt out in turn."""
    return [NodeSpec(first_id + index, racks[index % len(racks)] if racks else None) for index in range(count)]
