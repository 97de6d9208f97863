"""Command line: see the package's docstring."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from tools.codegen import schemas
from tools.codegen.model import MessageModel, build, empty, merge, snake
from tools.codegen.write import write_api, write_records

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests/kwire/data/schemas.json.xz"

# Module: what it says of itself, and the names (or their beginnings) of its records.
RECORD_MODULES: dict[str, tuple[str, tuple[str, ...]]] = {
    "group_offsets": (
        "Records of classic groups and of committed offsets in `__consumer_offsets`.",
        ("OffsetCommit", "LegacyOffsetCommit", "GroupMetadata"),
    ),
    "consumer_groups": ("Records of consumer groups (KIP-848) in `__consumer_offsets`.", ("ConsumerGroup",)),
    "share_groups": ("Records of share groups (KIP-932) in `__consumer_offsets`.", ("ShareGroup",)),
    "streams_groups": ("Records of streams groups (KIP-1071) in `__consumer_offsets`.", ("StreamsGroup",)),
    "transaction_state": ("Records of `__transaction_state`.", ("TransactionLog",)),
    "share_group_state": ("Records of `__share_group_state` (KIP-932).", ("ShareSnapshot", "ShareUpdate")),
    "consumer_protocol": (
        "What consumers of classic groups tell each other in JoinGroup and SyncGroup.",
        ("ConsumerProtocol",),
    ),
    "control_records": (
        "Keys and values of control records: transaction markers, and those of the metadata log.",
        (
            "ControlRecordTypeSchema",
            "EndTxnMarker",
            "LeaderChangeMessage",
            "SnapshotHeaderRecord",
            "SnapshotFooterRecord",
            "KRaftVersionRecord",
            "VotersRecord",
        ),
    ),
    "remote_log": ("Records of `__remote_log_metadata` (KIP-405).", ("RemoteLog", "RemotePartition")),
    "producer_snapshot": ("The `.snapshot` file of a partition's producer state.", ("ProducerSnapshot",)),
    "principal": ("A principal as brokers pass it on in Envelope requests.", ("DefaultPrincipalData",)),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.codegen", description=__doc__)
    parser.add_argument("--jars", type=Path, help="directory of the current release's jars")
    parser.add_argument("--jars-version", default="4.3.1")
    parser.add_argument("--old-jar", type=Path, help="kafka-clients jar of the last 3.x")
    options = parser.parse_args()
    if options.jars:
        new = schemas.read_release(options.jars, options.jars_version)
        old = schemas.read_jar(options.old_jar)
        schemas.save(DATA, {options.jars_version: new, options.old_jar.stem.removeprefix("kafka-clients-"): old})
    releases = schemas.load(DATA)
    past, current = sorted(releases)
    models = {}
    for name, schema in releases[current].items():
        old_schema = releases[past].get(name)
        models[name] = merge(build(schema), build(old_schema) if old_schema else None)
    written = [*write_apis(models), *write_internal(models)]
    subprocess.run([sys.executable, "-m", "ruff", "format", "-q", *map(str, written)], check=True)
    subprocess.run([sys.executable, "-m", "ruff", "check", "-q", "--fix", *map(str, written)], check=True)


def write_apis(models: dict[str, MessageModel]) -> list[Path]:
    directory = ROOT / "kwire/messages"
    written = []
    for name, request in models.items():
        if request.type == "request":
            stem = snake(name.removesuffix("Request"))
            response = models[name.removesuffix("Request") + "Response"]
            first = str(request.flexible[0]) if not empty(request.flexible) else "none"
            write_api(directory, stem, request, response, first)
            written.append(directory / f"{stem}.py")
    return written


def write_internal(models: dict[str, MessageModel]) -> list[Path]:
    directory = ROOT / "kwire/internal"
    written = []
    taken: set[str] = set()

    def family(prefixes: tuple[str, ...]) -> list[MessageModel]:
        found = [
            model
            for model in models.values()
            if model.type not in ("request", "response", "header")
            and model.name not in taken
            and model.name.startswith(prefixes)
        ]
        taken.update(model.name for model in found)
        kinds = {"coordinator-key": 0, "coordinator-value": 1}
        return sorted(found, key=lambda m: (m.number if m.number is not None else -1, kinds.get(m.type, 0), m.name))

    for stem, (title, prefixes) in RECORD_MODULES.items():
        write_records(directory / f"{stem}.py", title, family(prefixes))
        written.append(directory / f"{stem}.py")
    write_records(
        directory / "metadata_records.py", "Records of the metadata log, `__cluster_metadata`.", family(("",))
    )
    return [*written, directory / "metadata_records.py"]


if __name__ == "__main__":
    main()
