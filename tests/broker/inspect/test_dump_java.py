"""`kwire dump` beside Kafka's own dump tool on the same files."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from broker.cli.dump import Selection, select
from broker.inspect.entries import DumpOptions

JARS = Path(os.environ.get("KAFKA_JARS", Path(__file__).parents[3] / ".cache/kafka-4.3.1"))

pytestmark = [
    pytest.mark.java,
    pytest.mark.skipif(shutil.which("java") is None, reason="no java in PATH"),
    pytest.mark.skipif(not JARS.is_dir(), reason=f"Kafka's jars are not there: {JARS}"),
]


def kafka_dump(files: list[Path], *options: str) -> dict[str, list[str]]:
    """The lines Kafka's tool prints, by file."""
    classpath = ":".join(str(jar) for jar in sorted(JARS.glob("*.jar")))
    command = ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", classpath]
    command += ["org.apache.kafka.tools.DumpLogSegments", *options, "--files", ",".join(map(str, files))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, errors="replace")
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        if line.startswith("Dumping "):
            found[line.removeprefix("Dumping ")] = now = []
        else:
            now.append(line)
    return found


def ours(files: list[Path], *, records: bool = True) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {str(file): [] for file in files}
    for entry in select([str(file) for file in files], Selection(DumpOptions(records))):
        if entry["type"] != "file":
            found[entry["file"]].append(entry)
    return found


def words(line: str) -> dict[str, str]:
    return dict(re.findall(r"(\w+): (\S+)", line.replace("OptionalLong.empty", "None")))


BATCH = {
    "baseOffset": "base_offset",
    "lastOffset": "last_offset",
    "count": "count",
    "baseSequence": "base_sequence",
    "lastSequence": "last_sequence",
    "producerId": "producer_id",
    "producerEpoch": "producer_epoch",
    "partitionLeaderEpoch": "leader_epoch",
    "isTransactional": "transactional",
    "isControl": "control",
    "position": "position",
    "CreateTime": "max_timestamp",
    "size": "size",
    "magic": "magic",
    "compresscodec": "codec",
    "crc": "crc",
    "isvalid": "crc_ok",
    "deleteHorizonMs": "delete_horizon",
}
OTHERS: dict[str, dict[str, str]] = {
    "index": {"offset": "offset", "position": "position"},
    "timeindex": {"timestamp": "timestamp", "offset": "offset"},
    "txnindex": {
        "version": "version",
        "producerId": "producer_id",
        "firstOffset": "first_offset",
        "lastOffset": "last_offset",
        "lastStableOffset": "last_stable_offset",
    },
    "producer": {
        "producerId": "producer_id",
        "producerEpoch": "producer_epoch",
        "coordinatorEpoch": "coordinator_epoch",
        "currentTxnFirstOffset": "transaction_first_offset",
        "lastTimestamp": "last_timestamp",
        "firstSequence": "first_sequence",
        "lastSequence": "last_sequence",
        "lastOffset": "last_offset",
        "offsetDelta": "offset_delta",
    },
}


def in_kafkas_words(entry: dict[str, Any], names: dict[str, str]) -> dict[str, str]:
    return {
        theirs: str(entry[name]).lower() if isinstance(entry[name], bool) else str(entry[name])
        for theirs, name in names.items()
    }


def test_all_files_of_a_partition(partition_original: Path) -> None:
    files = [path for path in sorted(partition_original.iterdir()) if path.suffix and path.stat().st_size]
    files = [path for path in files if path.suffix in (".log", ".index", ".timeindex", ".txnindex", ".snapshot")]
    theirs = kafka_dump(files, "--deep-iteration")
    found = ours(files)
    assert theirs.keys() == found.keys()
    compared = 0
    for name, lines in theirs.items():
        lines = [line for line in lines if ": " in line and not line.startswith("Log starting")]
        assert len(lines) == len(found[name]), name
        for line, entry in zip(lines, found[name], strict=True):
            said = words(line)
            if entry["type"] == "record":
                assert said["offset"] == str(entry["offset"])
                assert said["CreateTime"] == str(entry["timestamp"])
                assert said["sequence"] == str(entry.get("sequence", -1))
                if entry.get("kind"):
                    assert said["endTxnMarker"] == entry["kind"]
                    assert said["coordinatorEpoch"] == str(entry["fields"]["coordinator_epoch"])
                else:
                    assert said["headerKeys"] == "[" + ",".join(key for key, _ in entry["headers"]) + "]"
            else:
                names = BATCH if entry["type"] == "batch" else OTHERS[entry["type"]]
                expected = in_kafkas_words(entry, names)
                assert {key: said.get(key) for key in expected} == expected, line
            compared += 1
    assert compared > 400


def snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def agrees(theirs: Any, our: Any) -> bool:
    """Whether all that Kafka prints of a message is in ours; fields its version lacks are only in ours."""
    if isinstance(theirs, dict) and isinstance(our, dict):
        return all(agrees(value, our.get(snake(name))) for name, value in theirs.items())
    if isinstance(theirs, list) and isinstance(our, list):
        return len(theirs) == len(our) and all(map(agrees, theirs, our))
    if isinstance(our, dict) and our.keys() == {"base64"}:
        return bool(theirs == our["base64"])
    return bool(theirs == our)


def test_the_metadata_log_and_snapshots(clean_original: Path) -> None:
    files = [*sorted((clean_original / "__cluster_metadata-0").glob("*.log")), clean_original / "bootstrap.checkpoint"]
    theirs = kafka_dump(files, "--cluster-metadata-decoder")
    found = ours(files)
    compared = 0
    for name, lines in theirs.items():
        payloads = [json.loads(line.partition("payload: ")[2]) for line in lines if "payload: {" in line]
        records = [entry for entry in found[name] if entry["type"] == "record" and entry["kind"].endswith("Record")]
        assert len(payloads) == len(records)
        for payload, record in zip(payloads, records, strict=True):
            assert snake(record["kind"]).upper() == payload["type"]
            assert record["version"] == payload["version"]
            assert agrees(payload["data"], record["fields"]), (payload, record)
            compared += 1
    assert compared > 10


def test_committed_offsets(clean_original: Path) -> None:
    files = [path for path in sorted(clean_original.glob("__consumer_offsets-*/*.log")) if path.stat().st_size]
    theirs = kafka_dump(files, "--offsets-decoder")
    found = ours(files)
    compared = 0
    for name, lines in theirs.items():
        texts = [line for line in lines if " key: {" in line]
        records = [entry for entry in found[name] if entry["type"] == "record"]
        for text, record in zip(texts, records, strict=True):
            key, _, payload = text.partition(" key: ")[2].partition(" payload: ")
            assert agrees(json.loads(key)["data"], record["key"]), (text, record)
            value = json.loads(payload)
            assert str(value["version"]) == str(record["version"])
            assert agrees(value["data"], record["value"]), (text, record)
            compared += 1
    assert compared == 3
