"""What `kwire top` and `kwire topics describe` make of what they were told; without a broker."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from broker.cli.sampling import Sample, snapshot
from broker.cli.top import drawn
from broker.cli.topic_details import PartitionFilter


def partition(index: int, leader: int = 1, replicas: tuple[int, ...] = (1,), isr: tuple[int, ...] = (1,)) -> Any:
    return {"partition_index": index, "leader_id": leader, "replica_nodes": list(replicas), "isr_nodes": list(isr)}


def sample_at(now_ms: float, ends: dict[tuple[str, int], int], committed: int = 0) -> Sample:
    topics: dict[str, list[Any]] = {}
    for name, index in ends:
        topics.setdefault(name, []).append(partition(index))
    return Sample(
        now_ms,
        "cluster-id",
        1,
        [{"broker_id": 1, "host": "h", "port": 9, "rack": None}],
        [{"name": name, "partitions": partitions} for name, partitions in topics.items()],
        dict.fromkeys(ends, 0),
        ends,
        [{"group": "g", "state": "Stable", "members": [1, 2]}],
        {"g": {("quiet", 0): committed}},
    )


def test_rates_and_lag() -> None:
    before = sample_at(1000, {("busy", 0): 10, ("quiet", 0): 100}, committed=50)
    now = sample_at(3000, {("busy", 0): 30, ("busy", 1): 10, ("quiet", 0): 100}, committed=90)
    view = snapshot(now, before)
    assert [(each["topic"], each["records"], each["records_per_s"]) for each in view["topics"]] == [
        ("busy", 40, 15.0),
        ("quiet", 100, 0.0),
    ]
    assert view["groups"] == [{"group": "g", "state": "Stable", "members": 2, "lag": 10, "records_per_s": 20.0}]
    assert view["brokers"][0]["leads"] == 3
    # The first look has no rates; what was deleted and made anew does not go backwards.
    assert snapshot(now, None)["topics"][0]["records_per_s"] is None
    assert snapshot(before, now)["topics"][0]["records_per_s"] == 0.0


@pytest.mark.parametrize(("width", "height"), [(80, 24), (60, 10), (120, 60)])
def test_it_keeps_to_the_terminal(width: int, height: int) -> None:
    ends = {(f"topic-{'x' * 30}-{number}", 0): number for number in range(100)}
    console = Console(width=width, height=height, record=True, file=None, force_terminal=False)
    with console.capture() as captured:
        console.print(drawn(snapshot(sample_at(0, ends), None), height))
    lines = captured.get().splitlines()
    assert max(map(len, lines)) <= width
    assert "and" in captured.get()
    assert len(lines) <= max(height, 24)


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({}, [0, 1, 2, 3]),
        ({"under_replicated": True}, [1, 2, 3]),
        ({"unavailable": True}, [3]),
        ({"under_min_isr": True}, [2, 3]),
        ({"unavailable": True, "under_min_isr": True}, [2, 3]),
    ],
)
def test_which_partitions_are_shown(conditions: dict[str, bool], expected: list[int]) -> None:
    partitions = [
        partition(0, 1, (1, 2, 3), (1, 2, 3)),
        partition(1, 1, (1, 2, 3), (1, 2)),
        partition(2, 1, (1, 2, 3), (1,)),
        partition(3, -1, (1, 2, 3), ()),
    ]
    wanted = PartitionFilter(**conditions)
    assert [each["partition_index"] for each in partitions if wanted.wanted(each, 2)] == expected
