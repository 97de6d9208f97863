"""Kafka's dump tool reads our metadata log on disk, and prints for it what it prints for Kafka's own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, cast

import pytest

from broker.controller.bootstrap import feature_records
from broker.deferred import Deferred, resolved
from broker.metadata_log import BOOTSTRAP, METADATA_TOPIC_ID, MetadataLogFile, write_bootstrap
from log.config import LogConfig
from log.partition_log import PartitionLog
from log.storage import RealStorage
from tests.broker.controller.controller_world import MemoryLog, settings
from tests.broker.controller.test_kafka_history import DUMP, LEVELS, SORTED, comparable, history, kafkas, line, snake

JARS = Path(os.environ.get("KAFKA_JARS", Path(__file__).parents[3] / ".cache/kafka-4.3.1"))
NOW = 1_700_000_000_000
VARYING = {"incarnationId", "brokerEpoch", "endPoints", "features", "zkMigrationReady", "isMigratingZkBroker"}

pytestmark = [
    pytest.mark.java,
    pytest.mark.skipif(shutil.which("java") is None, reason="no java in PATH"),
    pytest.mark.skipif(not JARS.is_dir(), reason=f"Kafka's jars are not there: {JARS}"),
]


def dump(*files: Path) -> str:
    classpath = ":".join(str(jar) for jar in sorted(JARS.glob("*.jar")))
    command = ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", classpath]
    command += ["org.apache.kafka.tools.DumpLogSegments", "--cluster-metadata-decoder"]
    command += ["--files", ",".join(map(str, files))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def here_and_now(fn: Any) -> Deferred[None]:
    fn()
    return resolved(None)


def payloads(text: str) -> list[dict[str, Any]]:
    found = []
    names: dict[str, str] = {}
    for each in re.findall(r"payload: (\{.*)", text):
        record = json.loads(each)
        data = {key: value for key, value in record["data"].items() if key not in VARYING}
        if record["type"] == "TOPIC_RECORD":
            names[data["topicId"]] = data["name"]
        if "topicId" in data:
            data["topicId"] = names[data["topicId"]]
        for key in ("directories", "logDirs"):
            if key in data:
                data[key] = ["D"] * len(data[key])
        found.append({**record, "data": data})
    return found


def test_kafka_reads_the_same_in_both(tmp_path: Path) -> None:
    storage = RealStorage()
    directory = tmp_path / "__cluster_metadata-0"
    config = LogConfig(cleanup_policy=(), segment_bytes=2**30, max_message_bytes=2**31 - 1)
    log = PartitionLog.open(
        storage,
        str(directory),
        "__cluster_metadata",
        0,
        config,
        now_ms=NOW,
        topic_id=METADATA_TOPIC_ID,
        clean_shutdown=True,
    )
    history(cast(MemoryLog, MetadataLogFile(log, storage, 1, here_and_now)))
    write_bootstrap(storage, str(tmp_path), feature_records(settings(bootstrap_features=LEVELS)), NOW)
    log.close(NOW)

    text = dump(directory / "00000000000000000000.log", tmp_path / BOOTSTRAP)
    assert "isvalid: false" not in text
    of_log, of_bootstrap = text.split(f"Dumping {tmp_path / BOOTSTRAP}")
    changes = re.findall(r"LeaderChange: (.*)", of_log)
    voter = '"voters":[{"voterId":1}],"grantingVoters":[{"voterId":1}]'
    assert changes == [f'{{"version":0,"leaderId":1,{voter}}}'] * 3
    assert re.findall(r"partitionLeaderEpoch: (\d+)", of_log)[-1] == "3"
    ours = [
        line(each["type"], each["version"], {snake(key): value for key, value in each["data"].items()})
        for each in payloads(of_log)
    ]
    assert comparable(ours) == comparable(kafkas())
    assert "SnapshotHeader" in of_bootstrap
    assert "SnapshotFooter" in of_bootstrap
    features = [record for record in map(json.loads, DUMP.read_text().splitlines()) if record["type"] not in SORTED][
        1:7
    ]
    assert payloads(of_bootstrap) == features
    state = json.loads((directory / "quorum-state").read_text())
    assert state == {
        "clusterId": "",
        "leaderId": 1,
        "leaderEpoch": 3,
        "votedId": -1,
        "appliedOffset": 0,
        "currentVoters": [{"voterId": 1}],
        "data_version": 0,
    }
