"""What `kwire top` shows: samples of any Kafka, and the rates between two of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import field, frozen

from broker.cli.group_details import READ_TYPES, committed, described_groups, listed_groups
from broker.cli.metadata import EARLIEST, LATEST, all_topics, list_offsets, partitions_of

Place = tuple[str, int]


@frozen
class Sample:
    """One look. now_ms: monotonic."""

    now_ms: float
    cluster_id: str
    controller: int
    brokers: Sequence[Mapping[str, Any]]
    topics: Sequence[Mapping[str, Any]]
    starts: Mapping[Place, int]
    ends: Mapping[Place, int]
    groups: Sequence[Mapping[str, Any]]
    offsets: Mapping[str, Mapping[Place, int]] = field(factory=dict)


def sample(admin: Any, now_ms: float, *, internal: bool) -> Sample:
    """Ask for everything once."""
    cluster = admin.describe_cluster()
    topics = [topic for topic in all_topics(admin) if internal or not topic["is_internal"]]
    names = [group["group"] for group in listed_groups(admin) if group["type"] in READ_TYPES]
    groups = described_groups(admin, names)
    offsets = {group["group"]: committed(admin, group["group"]) for group in groups}
    places = partitions_of(topics)
    known = {(topic, index) for topic, index, _ in places}
    return Sample(
        now_ms,
        str(cluster["cluster_id"]),
        int(cluster["controller_id"]),
        sorted(cluster["brokers"], key=lambda each: int(each["broker_id"])),
        topics,
        list_offsets(admin, places, EARLIEST),
        list_offsets(admin, places, LATEST),
        groups,
        {name: {place: each for place, each in found.items() if place in known} for name, found in offsets.items()},
    )


def snapshot(now: Sample, before: Sample | None) -> dict[str, Any]:
    """Topics by rate, groups by lag, brokers; rates are per second, None at the first look."""
    seconds = None if before is None else max((now.now_ms - before.now_ms) / 1000, 1e-3)

    def rate(after: int, earlier: int | None) -> float | None:
        return None if seconds is None or earlier is None else round(max(after - earlier, 0) / seconds, 1)

    topics = []
    for topic in now.topics:
        name = topic["name"]
        places = [(name, each["partition_index"]) for each in topic["partitions"]]
        end = sum(now.ends.get(place, 0) for place in places)
        earlier = None
        if before is not None:
            # A partition that is new since then began empty.
            earlier = sum(before.ends.get(place, 0) for place in places)
        topics.append(
            {
                "topic": name,
                "partitions": len(places),
                "records": end - sum(now.starts.get(place, 0) for place in places),
                "records_per_s": rate(end, earlier),
                "under_replicated": sum(
                    len(each["isr_nodes"]) < len(each["replica_nodes"]) for each in topic["partitions"]
                ),
            }
        )
    topics.sort(key=lambda each: (-(each["records_per_s"] or 0), -each["records"], each["topic"]))
    groups = []
    for group in now.groups:
        name = group["group"]
        offsets = now.offsets.get(name, {})
        earlier_offsets = None if before is None else before.offsets.get(name)
        consumed = sum(offsets.values())
        earlier = None
        if earlier_offsets is not None:
            earlier = sum(earlier_offsets.get(place, offset) for place, offset in offsets.items())
        groups.append(
            {
                "group": name,
                "state": group["state"],
                "members": len(group["members"]),
                "lag": sum(max(now.ends[place] - offset, 0) for place, offset in offsets.items() if place in now.ends),
                "records_per_s": rate(consumed, earlier),
            }
        )
    groups.sort(key=lambda each: (-each["lag"], each["group"]))
    leads = [each["leader_id"] for topic in now.topics for each in topic["partitions"]]
    brokers = [
        {
            "broker": broker["broker_id"],
            "address": f"{broker['host']}:{broker['port']}",
            "rack": broker.get("rack"),
            "leads": leads.count(broker["broker_id"]),
            "controller": broker["broker_id"] == now.controller,
            "fenced": bool(broker.get("is_fenced")),
        }
        for broker in now.brokers
    ]
    return {"cluster_id": now.cluster_id, "brokers": brokers, "topics": topics, "groups": groups}
