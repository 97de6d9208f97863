"""`kwire groups rebalance`, `evict`, `move-coordinator`: what only kwire does to a group, over its HTTP door."""

from __future__ import annotations

import click

from broker.cli.control import ControlDoor, control_options
from broker.cli.output import Output, output_options


def _path(door: ControlDoor, group: str, *rest: str) -> str:
    return door.path("groups", group, *rest)


@click.command()
@click.argument("group")
@control_options
@output_options
def rebalance(group: str, door: ControlDoor, output: Output) -> None:
    """Let a GROUP's members join again. kwire only (--http)."""
    answer = door.request("POST", _path(door, group, "rebalance"))
    begun = "begins to rebalance" if answer["begun"] else "is rebalancing already"
    output.done(f"{group} {begun} (generation {answer['generation']})", {"group": group, **answer})


@click.command()
@click.argument("group")
@click.argument("member")
@control_options
@output_options
def evict(group: str, member: str, door: ControlDoor, output: Output) -> None:
    """Put a MEMBER out of a GROUP, given by member id or group.instance.id. kwire only (--http)."""
    answer = door.request("DELETE", _path(door, group, "members", member))
    output.done(
        f"{answer['member_id']} is out of {group}, {answer['members']} left, the group is {answer['state']}",
        {"group": group, **answer},
    )


@click.command("move-coordinator")
@click.argument("group")
@click.option("--node", type=click.IntRange(min=0), help="Which node; without it the next one that may.")
@control_options
@output_options
def move_coordinator(group: str, node: int | None, door: ControlDoor, output: Output) -> None:
    """Let another node coordinate a GROUP, or the same anew where there is one. kwire only (--http)."""
    answer = door.request("PUT", _path(door, group, "coordinator"), {"node": node})
    output.done(
        f"node {answer['coordinator']} coordinates {group}, which node {answer['before']} did before"
        f" (leader epoch {answer['leader_epoch']})",
        answer,
    )


COMMANDS = (rebalance, evict, move_coordinator)
