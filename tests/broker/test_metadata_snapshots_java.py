"""Kafka's dump tool reads our snapshots of the metadata as it reads its own."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.broker.controller.test_kafka_history_java import JARS, dump
from tests.broker.snapshot_world import EVERY, KEPT, World, formatted_for_a_dynamic_quorum

pytestmark = [
    pytest.mark.java,
    pytest.mark.skipif(shutil.which("java") is None, reason="no java in PATH"),
    pytest.mark.skipif(not JARS.is_dir(), reason=f"Kafka's jars are not there: {JARS}"),
]


def test_kafka_dumps_our_snapshot(tmp_path: Path) -> None:
    formatted_for_a_dynamic_quorum(tmp_path)
    world = World(tmp_path)
    world.create("a", "b")
    world.configure("b", "77")
    for record in KEPT:
        world.controller.image.replay(record)
    world.generator.stop()
    world.generate = EVERY
    world.generator._settings = EVERY
    world.generator._stopped = False
    world.generator.start()
    world.settle()
    text = dump(world.directory / world.names()[-1])
    records = [json.loads(each) for each in re.findall(r"payload: (\{.*)", text)]
    assert [record["type"] for record in records if record["type"] != "PARTITION_RECORD"] == [
        "FEATURE_LEVEL_RECORD",
        "FEATURE_LEVEL_RECORD",
        "FEATURE_LEVEL_RECORD",
        "REGISTER_BROKER_RECORD",
        "REGISTER_CONTROLLER_RECORD",
        "TOPIC_RECORD",
        "TOPIC_RECORD",
        "CONFIG_RECORD",
        "CONFIG_RECORD",
        "CLIENT_QUOTA_RECORD",
        "ACCESS_CONTROL_ENTRY_RECORD",
        "USER_SCRAM_CREDENTIAL_RECORD",
        "DELEGATION_TOKEN_RECORD",
    ]
    assert sum(record["type"] == "PARTITION_RECORD" for record in records) == 6
    for words in ("SnapshotHeader", "KRaftVersion", "KRaftVoters", "SnapshotFooter"):
        assert words in text
    assert "isvalid: false" not in text
