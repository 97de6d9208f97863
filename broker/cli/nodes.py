"""`kwire nodes`: a cluster's simulated nodes, listed, stopped, started, cut off, held back; leaders, lost tails."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import click

from broker.cli.control import ControlDoor, control_options
from broker.cli.output import Column, Output, output_options

_COLUMNS: Final = (
    Column("node", "Node", right=True),
    Column("rack", "Rack"),
    Column("state", "State"),
    Column("address", "Address"),
    Column("leads", "Leads", right=True),
    Column("replicas", "Replicas", right=True),
    Column("in_sync", "In sync", right=True),
    Column("controller", "Controller"),
)
_REPLICAS: Final = (
    Column("node", "Node", right=True),
    Column("rack", "Rack"),
    Column("role", "Role"),
    Column("in_sync", "In sync"),
    Column("log_end_offset", "Log end offset", right=True),
)


@click.group()
def nodes() -> None:
    """A cluster's nodes, as its clients see them. Simulated: nothing protects against a machine's loss.

    \b
    kwire nodes list
    kwire nodes stop 2
    kwire nodes start 2
    kwire nodes freeze 3
    kwire nodes partition orders 0
    """


@nodes.command("list")
@control_options
@output_options
def list_nodes(door: ControlDoor, output: Output) -> None:
    """All of them, with how many partitions they lead."""
    rows = [_row(each) for each in door.get("nodes")["nodes"]]
    if not output.as_json:
        rows = [{**row, "state": _state(row), "controller": row["controller"] or None} for row in rows]
    racks = any(row["rack"] for row in rows)
    output.rows(rows, [column for column in _COLUMNS if racks or column.key != "rack"])


@nodes.command()
@click.argument("node", type=click.IntRange(min=0))
@click.option("--kill", is_flag=True, help="Do not let others lead first; come back as after a crash.")
@control_options
@output_options
def stop(node: int, kill: bool, door: ControlDoor, output: Output) -> None:
    """Refuse and cut connections to NODE; other replicas lead."""
    _tell(door.post("nodes", str(node), "stop", body={"kill": kill}), output)


@nodes.command()
@click.argument("node", type=click.IntRange(min=0))
@control_options
@output_options
def start(node: int, door: ControlDoor, output: Output) -> None:
    """Bring a stopped NODE back, on the ports it had."""
    _tell(door.post("nodes", str(node), "start"), output)


@nodes.command()
@click.argument("node", type=click.IntRange(min=0))
@control_options
@output_options
def isolate(node: int, door: ControlDoor, output: Output) -> None:
    """Cut NODE off from the other nodes; clients reach it still, and are told that it leads nothing."""
    _tell(door.post("nodes", str(node), "isolate"), output)


@nodes.command()
@click.argument("node", type=click.IntRange(min=0))
@control_options
@output_options
def heal(node: int, door: ControlDoor, output: Output) -> None:
    """End the isolation of NODE."""
    _tell(door.post("nodes", str(node), "heal"), output)


@nodes.command()
@click.argument("node", type=click.IntRange(min=0))
@control_options
@output_options
def freeze(node: int, door: ControlDoor, output: Output) -> None:
    """Let the replicas of NODE follow nobody: producers that wait for all replicas wait for it."""
    _tell(door.put("nodes", str(node), "replication", body={"state": "frozen"}), output)


@nodes.command()
@click.argument("node", type=click.IntRange(min=0))
@control_options
@output_options
def run(node: int, door: ControlDoor, output: Output) -> None:
    """Let the replicas of NODE catch up and follow again."""
    _tell(door.put("nodes", str(node), "replication", body={"state": "running"}), output)


@nodes.command()
@click.argument("topic")
@click.argument("partition", type=click.IntRange(min=0))
@control_options
@output_options
def partition(topic: str, partition: int, door: ControlDoor, output: Output) -> None:
    """Who leads a partition, who is in sync, how far each replica has come."""
    _show(door.get("partitions", topic, str(partition)), output)


@nodes.command("lead")
@click.argument("topic")
@click.argument("partition", type=click.IntRange(min=0))
@click.argument("node", type=click.IntRange(min=0))
@click.option("--unclean", is_flag=True, help="Also a replica that is behind; what it does not have is lost.")
@control_options
@output_options
def lead(topic: str, partition: int, node: int, unclean: bool, door: ControlDoor, output: Output) -> None:
    """Let NODE lead a partition that it has a replica of."""
    body = {"node": node, "unclean": unclean}
    _show(door.put("partitions", topic, str(partition), "leader", body=body), output)


@nodes.command("lose-tail")
@click.argument("topic")
@click.argument("partition", type=click.IntRange(min=0))
@click.argument("records", type=click.IntRange(min=1))
@control_options
@output_options
def lose_tail(topic: str, partition: int, records: int, door: ControlDoor, output: Output) -> None:
    """Lose at least the last RECORDS offsets of a partition, as an unclean election does. On purpose, and for good."""
    _show(door.post("partitions", topic, str(partition), "lose-tail", body={"records": records}), output)


def _row(node: Mapping[str, Any]) -> dict[str, Any]:
    first = node["listeners"][0]
    return {**node, "address": f"{first['host']}:{first['port']}"}


def _state(node: Mapping[str, Any]) -> str:
    return str(node["state"]) + (", its replication frozen" if node["replication"] == "frozen" else "")


def _tell(node: Mapping[str, Any], output: Output) -> None:
    output.done(f"node {node['node']} is {_state(node)}; it leads {node['leads']} partitions", node)


def _show(found: Mapping[str, Any], output: Output) -> None:
    if output.as_json:
        output.record(found)
        return
    leader = found["leader"]
    title = (
        f"{found['topic']}-{found['partition']}: "
        + ("no leader" if leader is None else f"led by {leader}")
        + f" in epoch {found['leader_epoch']}, high watermark {found['high_watermark']}"
    )
    rows = [{**each, "role": "leader" if each["node"] == leader else "follower"} for each in found["replicas"]]
    output.rows(rows, _REPLICAS, title=title)
