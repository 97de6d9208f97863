"""`kwire cluster`: virtual clusters of a running kwire; `kwire export`: one's data for Apache Kafka."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from broker.cli.control import ControlDoor, control_options
from broker.cli.output import Column, CommandError, Output, output_options, shown_bytes

_CLUSTERS: Final = "/v1/clusters"
_COLUMNS: Final = (
    Column("name", "Cluster", style="bold"),
    Column("bootstrap_servers", "Bootstrap servers"),
    Column("nodes", "Nodes", right=True, show=lambda nodes: str(len(nodes))),
    Column("topics", "Topics", right=True),
    Column("storage_bytes", "In memory", right=True, show=shown_bytes),
    Column("snapshots", "Snapshots"),
    Column("forked_from", "Forked from"),
)
_SNAPSHOT_COLUMNS: Final = (
    Column("name", "Snapshot", style="bold"),
    Column("cluster", "Cluster"),
    Column("topics", "Topics", right=True),
    Column("nodes", "Nodes", right=True),
    Column("forks", "Forks", right=True),
    Column("storage_bytes", "Size", right=True, show=shown_bytes),
)


@click.group()
def cluster() -> None:
    """Virtual clusters: many isolated clusters in one kwire, made in milliseconds.

    \b
    kwire cluster create orders --nodes 3 --topic orders:6
    kwire cluster snapshot orders seeded
    kwire cluster fork orders --snapshot seeded
    kwire cluster export orders --kafka /tmp/kafka-logs
    kwire cluster delete orders
    """


def _named(command: Any) -> Any:
    return click.argument("name", required=False)(control_options(output_options(command)))


def _of(door: ControlDoor, name: str | None) -> ControlDoor:
    """The door to the cluster that is named, else that of --cluster and KWIRE_CLUSTER."""
    if name is not None:
        door.cluster = name
    return door


@cluster.command("list")
@control_options
@output_options
def list_clusters(door: ControlDoor, output: Output) -> None:
    """All clusters."""
    output.rows(door.request("GET", _CLUSTERS)["clusters"], _COLUMNS)


@cluster.command()
@click.argument("name", required=False)
@click.option("--nodes", type=click.IntRange(1), default=1, show_default=True, help="How many nodes.")
@click.option("--rack", "racks", multiple=True, help="Racks, dealt out to the nodes in turn; may be repeated.")
@click.option(
    "--topic",
    "topics",
    multiple=True,
    metavar="NAME[:PARTITIONS[:KEY=VALUE,...]]",
    help="A topic to begin with; may be repeated.",
)
@click.option(
    "--contents",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Topics, records and offsets to begin with: a YAML or JSON file.",
)
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="A broker setting; may be repeated.")
@click.option("--as-version", metavar="RELEASE", help="The Kafka to be like: 2.8.")
@click.option("--seed", type=click.IntRange(0), help="Of all that is random in it.")
@click.option("--host", help="Where its nodes listen, 127.0.0.1 by default.")
@click.option("--port", "ports", type=click.IntRange(0, 65535), multiple=True, help="Of the nodes, in their order.")
@control_options
@output_options
def create(
    name: str | None,
    nodes: int,
    racks: Sequence[str],
    topics: Sequence[str],
    contents: Path | None,
    settings: Sequence[str],
    as_version: str | None,
    seed: int | None,
    host: str | None,
    ports: Sequence[int],
    door: ControlDoor,
    output: Output,
) -> None:
    """Make a cluster, NAME or one that is free. Prints where it listens."""
    body: dict[str, Any] = {
        "name": name,
        "nodes": nodes,
        "racks": list(racks) or None,
        "configs": _settings(settings) or None,
        "as_version": as_version,
        "seed": seed,
        "host": host,
        "ports": list(ports) or None,
        **_declared(topics, contents),
    }
    made = door.request("POST", _CLUSTERS, {key: value for key, value in body.items() if value is not None})
    output.done(f"{made['name']} serves at {made['bootstrap_servers']}", made)


@cluster.command()
@_named
def describe(name: str | None, door: ControlDoor, output: Output) -> None:
    """One cluster."""
    found = _of(door, name).get()
    if output.as_json:
        output.record(found)
        return
    nodes = [
        f"{each['node_id']} {each['state']} {each['host']}:{each['port']}"
        + (f" rack {each['rack']}" * bool(each["rack"]))
        for each in found["nodes"]
    ]
    size = found["storage_bytes"]
    output.record({**found, "nodes": nodes, "storage_bytes": None if size is None else shown_bytes(size)})


@cluster.command()
@click.argument("names", nargs=-1, required=True)
@control_options
@output_options
def delete(names: Sequence[str], door: ControlDoor, output: Output) -> None:
    """Delete clusters with all that is in them."""
    for name in names:
        _of(door, name).delete()
        output.done(f"{name} is deleted", {"name": name, "deleted": True})


@cluster.command()
@click.argument("name")
@click.argument("snapshot", required=False)
@click.option("--list", "listed", is_flag=True, help="List them.")
@click.option("--delete", "deleted", is_flag=True, help="Forget SNAPSHOT; its forks stay.")
@control_options
@output_options
def snapshot(name: str, snapshot: str | None, listed: bool, deleted: bool, door: ControlDoor, output: Output) -> None:
    """Keep what cluster NAME is now as SNAPSHOT."""
    door = _of(door, name)
    if listed and deleted:
        raise click.UsageError("--list or --delete: one of the two")
    if listed:
        output.rows(door.get("snapshots")["snapshots"], _SNAPSHOT_COLUMNS)
    elif deleted:
        if snapshot is None:
            raise click.UsageError("which snapshot? kwire cluster snapshot NAME SNAPSHOT --delete")
        door.delete("snapshots", snapshot)
        output.done(f"snapshot {snapshot} of {name} is forgotten", {"name": snapshot, "deleted": True})
    else:
        taken = door.post("snapshots", body={} if snapshot is None else {"name": snapshot})
        output.done(f"snapshot {taken['name']} of {name}: {shown_bytes(taken['storage_bytes'])}", taken)


@cluster.command()
@click.argument("name")
@click.argument("new_name", required=False)
@click.option("--snapshot", help="One of its snapshots; left out: as it is now.")
@click.option("--seed", type=click.IntRange(0), help="Of all that is random in it.")
@control_options
@output_options
def fork(
    name: str, new_name: str | None, snapshot: str | None, seed: int | None, door: ControlDoor, output: Output
) -> None:
    """Make NEW_NAME with the data of NAME."""
    body = {"name": new_name, "snapshot": snapshot, "seed": seed}
    made = _of(door, name).post("fork", body={key: value for key, value in body.items() if value is not None})
    output.done(f"{made['name']} serves at {made['bootstrap_servers']}", made)


@cluster.command()
@click.argument("name")
@click.argument("snapshot")
@control_options
@output_options
def restore(name: str, snapshot: str, door: ControlDoor, output: Output) -> None:
    """Put NAME back to SNAPSHOT; its addresses stay."""
    found = _of(door, name).post("restore", body={"snapshot": snapshot})
    output.done(f"{name} is what it was in {snapshot}, at {found['bootstrap_servers']}", found)


@cluster.command("import")
@click.argument("directory", type=click.Path(file_okay=False))
@click.argument("name", required=False)
@control_options
@output_options
def import_snapshot(directory: str, name: str | None, door: ControlDoor, output: Output) -> None:
    """Make a cluster of what `kwire cluster export NAME --to DIRECTORY` wrote."""
    body = {"path": os.path.abspath(directory), "name": name}
    made = door.request(
        "POST", "/v1/snapshots/import", {key: value for key, value in body.items() if value is not None}
    )
    output.done(f"{made['name']} serves at {made['bootstrap_servers']}", made)


@click.command()
@click.argument("name", required=False)
@click.option(
    "--kafka",
    "kafka",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="As the log directory of one node, which Apache Kafka (and kwire serve --data-dir) opens.",
)
@click.option(
    "--to", "to", type=click.Path(file_okay=False), metavar="DIR", help="In kwire's form, for `kwire cluster import`."
)
@click.option("--snapshot", help="One of its snapshots; left out: as it is now.")
@control_options
@output_options
def export(
    name: str | None, kafka: str | None, to: str | None, snapshot: str | None, door: ControlDoor, output: Output
) -> None:
    """Write the data of cluster NAME to DIR, on the machine where kwire runs; empty or not there yet."""
    target = kafka if kafka is not None else to
    if target is None or (kafka is not None and to is not None):
        raise click.UsageError("where to? --kafka DIR for Apache Kafka, --to DIR for kwire: one of the two")
    body = {"path": os.path.abspath(target), "format": "kafka" if kafka is not None else "kwire", "snapshot": snapshot}
    written = _of(door, name).post("export", body={key: value for key, value in body.items() if value is not None})
    output.done(
        f"{written['path']}: {written['files']} files, {shown_bytes(written['size_bytes'])}",
        written,
    )


cluster.add_command(export)


def _settings(given: Sequence[str]) -> dict[str, str]:
    found = {}
    for each in given:
        key, equals, value = each.partition("=")
        if not equals or not key.strip():
            raise click.BadParameter(f"{each!r}: KEY=VALUE, as in --set num.partitions=6")
        found[key.strip()] = value.strip()
    return found


def _declared(topics: Sequence[str], contents: Path | None) -> dict[str, Any]:
    """`topics` and `groups` of the request; mistakes in the file are told with their lines."""
    if contents is None:
        return {"topics": list(topics) or None}
    from broker.contents.files import load_yaml, read_contents
    from broker.contents.model import ContentsError

    try:
        read_contents(contents)
        text = contents.read_text(encoding="utf-8")
        declared: Mapping[str, Any] = (json.loads(text) if contents.suffix == ".json" else load_yaml(text)) or {}
    except (ContentsError, OSError) as error:
        raise CommandError(str(error)) from None
    listed = declared.get("topics") or []
    if isinstance(listed, Mapping):
        listed = [
            {"name": name, **(each if isinstance(each, Mapping) else {"partitions": each})}
            for name, each in listed.items()
        ]
    return {"topics": [*listed, *topics], "groups": declared.get("groups")}
