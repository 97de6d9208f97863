"""Random rules over random produce requests, against a model: who gets which answer, and what is appended."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio

from kwire.error_codes import ErrorCode
from kwire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from tests.broker.cluster_helpers import batch
from tests.broker.faults.fault_helpers import Faulty, faulty

PARTITIONS = [("t", 0), ("t", 1), ("other", 0), ("other", 1)]
CODES = [ErrorCode.NOT_LEADER_OR_FOLLOWER, ErrorCode.KAFKA_STORAGE_ERROR, ErrorCode.TOPIC_AUTHORIZATION_FAILED]
Place = tuple[str, int]


class _Model:
    """What rules of errors mean, said once more and simply."""

    def __init__(self) -> None:
        self.rules: dict[int, dict[str, Any]] = {}
        self.matched: dict[int, int] = {}
        self.fired: dict[int, int] = {}

    def produce(self, wanted: list[Place]) -> tuple[dict[Place, int], list[Place]]:
        """The codes, and what is appended."""
        codes: dict[Place, int] = {}
        kept = list(wanted)
        for number, rule in self.rules.items():
            if rule.get("times") is not None and self.fired[number] >= rule["times"]:
                continue
            places = [place for place in wanted if place not in codes and _fits(rule, place)]
            if not places:
                continue
            self.matched[number] += 1
            up = self.matched[number] - rule.get("skip", 0)
            if up <= 0 or (up - 1) % rule.get("every", 1):
                continue
            self.fired[number] += 1
            for place in places:
                codes[place] = int(ErrorCode[rule["error"]])
                if rule["when"] == "before":
                    kept.remove(place)
        return {place: codes.get(place, 0) for place in wanted}, kept


def _fits(rule: dict[str, Any], place: Place) -> bool:
    topic = rule.get("topic")
    if topic is not None and topic.rstrip("*") != (place[0] if not topic.endswith("*") else place[0][: len(topic) - 1]):
        return False
    return "partition" not in rule or place[1] in rule["partition"]


@pytest.mark.parametrize("seed", range(6))
def test_errors_by_rules(tmp_path: Path, seed: int) -> None:
    async def main() -> None:
        async with faulty(tmp_path, in_memory=True) as plane:
            await _walk(plane, Random(seed))

    trio.run(main)


async def _walk(plane: Faulty, random: Random) -> None:
    model = _Model()
    appended: dict[Place, list[bytes]] = {place: [] for place in PARTITIONS}
    for step in range(60):
        if random.random() < 0.25 and len(model.rules) < 5:
            given = _rule(random)
            number = plane.faults.add(given).id
            model.rules[number], model.matched[number], model.fired[number] = given, 0, 0
        elif model.rules and random.random() < 0.1:
            number = random.choice(list(model.rules))
            rule = plane.faults.remove(number)
            assert (rule.matched, rule.fired) == (model.matched[number], model.fired[number])
            del model.rules[number]
        wanted = random.sample(PARTITIONS, random.randint(1, 4))
        value = b"%d" % step
        version = random.choice([3, 8, 9, 12])
        codes, kept = model.produce(wanted)
        topics: dict[str, TopicProduceData] = {}
        for topic, index in wanted:
            data = PartitionProduceData(index=index, records=batch(value))
            topics.setdefault(topic, TopicProduceData(name=topic)).partition_data.append(data)
        answer = await plane.client.send(
            ProduceRequest(acks=1, timeout_ms=9, topic_data=list(topics.values())), version
        )
        told = {(t.name, p.index): p.error_code for t in answer.responses for p in t.partition_responses}
        assert told == codes, f"step {step}: {model.rules}"
        assert [t.name for t in answer.responses] == list(topics), "in the request's order"
        for place in kept:
            appended[place].append(value)
    for place, values in appended.items():
        plane.faults.clear()
        assert await plane.client.values(*place) == values


def _rule(random: Random) -> dict[str, Any]:
    given: dict[str, Any] = {
        "api": "Produce",
        "error": random.choice(CODES).name,
        "when": random.choice(["before", "after"]),
        "skip": random.randint(0, 2),
        "every": random.randint(1, 3),
        "times": random.choice([None, 1, 2, 5]),
    }
    if random.random() < 0.7:
        given["topic"] = random.choice(["t", "other", "o*"])
    if random.random() < 0.5:
        given["partition"] = random.choice([[0], [1], [0, 1]])
    return given
