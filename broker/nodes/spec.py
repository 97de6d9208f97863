"""How a node is asked for."""

from __future__ import annotations

from attrs import define


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


def node_specs(count: int, racks: list[str] | None = None, *, first_id: int = 1) -> list[NodeSpec]:
    """`count` nodes numbered from `first_id`; racks are dealt out in turn."""
    return [NodeSpec(first_id + index, racks[index % len(racks)] if racks else None) for index in range(count)]
