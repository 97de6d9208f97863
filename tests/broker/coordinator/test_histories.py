"""The same requests give the same answers and the same records as on Apache Kafka 4.3.1.

What Kafka said is in data/histories.json, made by record_histories.py. Histories that fit must be told apart from those
where kwire differs on purpose: there are none of the latter.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from broker.group.config import GroupConfig
from tests.broker.coordinator.group_world import World
from tests.broker.coordinator.histories import HISTORIES, TOPICS, play
from tests.broker.coordinator.transcripts import WorldDriver

KAFKA: dict[str, Any] = json.loads((Path(__file__).parent / "data" / "histories.json").read_text())


@pytest.mark.parametrize("name", HISTORIES)
def test_as_on_kafka(name: str) -> None:
    world = World(GroupConfig(), **TOPICS)
    world.id_format = "{:036}"  # as long as a uuid
    played = play(name, WorldDriver(world), world.records)
    # Through JSON, as Kafka's were.
    ours = json.loads(json.dumps(played))
    theirs = KAFKA[name]
    for position, (answer, expected) in enumerate(zip(ours["answers"], theirs["answers"], strict=True)):
        assert answer == expected, f"answer {position}"
    for position, (record, expected) in enumerate(zip(ours["records"], theirs["records"], strict=False)):
        assert record == expected, f"record {position}"
    assert len(ours["records"]) == len(theirs["records"])
