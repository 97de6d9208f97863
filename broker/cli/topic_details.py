"""What `kwire topics describe`, `offsets` and `trim` ask and show."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from attrs import frozen

from broker.cli.metadata import EARLIEST, LATEST, Metadata, list_offsets, offsets_and_times, partitions_of
from broker.cli.output import Column, Output, counted, plain_text
from broker.cli.when import shown_time


@frozen
class PartitionFilter:
    """Which partitions to show; none of them: all."""

    under_replicated: bool = False
    unavailable: bool = False
    under_min_isr: bool = False

    def wanted(self, partition: Metadata, min_isr: int) -> bool:
        """Whether any of the conditions asked for holds."""
        replicas, in_sync = len(partition["replica_nodes"]), len(partition["isr_nodes"])
        if not (self.under_replicated or self.unavailable or self.under_min_isr):
            return True
        return (
            (self.under_replicated and in_sync < replicas)
            or (self.unavailable and partition["leader_id"] < 0)
            or (self.under_min_isr and in_sync < min_isr)
        )


def details(admin: Any, topics: Sequence[Metadata], wanted: PartitionFilter, *, offsets: bool) -> list[dict[str, Any]]:
    """An object for each topic, with its configs and partitions."""
    configs = _configs(admin, topics)
    places = partitions_of(topics) if offsets else []
    first, last = list_offsets(admin, places, EARLIEST), list_offsets(admin, places, LATEST)
    found = []
    for topic in topics:
        name = topic["name"]
        own = configs.get(name, {})
        min_isr = int(own.get("min.insync.replicas", {}).get("value") or 1)
        partitions = []
        for partition in sorted(topic["partitions"], key=lambda each: int(each["partition_index"])):
            if not wanted.wanted(partition, min_isr):
                continue
            index = partition["partition_index"]
            shown = {
                "partition": index,
                "leader": partition["leader_id"] if partition["leader_id"] >= 0 else None,
                "leader_epoch": partition.get("leader_epoch"),
                "replicas": list(partition["replica_nodes"]),
                "isr": list(partition["isr_nodes"]),
                "offline": list(partition.get("offline_replicas") or ()),
            }
            if offsets:
                shown["start_offset"] = first.get((name, index))
                shown["end_offset"] = last.get((name, index))
            partitions.append(shown)
        found.append(
            {
                "topic": name,
                "topic_id": None if topic.get("topic_id") is None else str(topic["topic_id"]),
                "internal": topic["is_internal"],
                "partition_count": len(topic["partitions"]),
                "replication_factor": max((len(each["replica_nodes"]) for each in topic["partitions"]), default=0),
                "configs": {key: each["value"] for key, each in own.items() if _overridden(each)},
                "partitions": partitions,
            }
        )
    return found


def _overridden(config: Metadata) -> bool:
    return config.get("config_source") == "DYNAMIC_TOPIC_CONFIG"


def _configs(admin: Any, topics: Sequence[Metadata]) -> dict[str, Any]:
    from kafka.admin import ConfigResource

    if not topics:
        return {}
    asked = [ConfigResource("TOPIC", topic["name"]) for topic in topics]
    found: dict[str, Any] = admin.describe_configs(asked, config_filter="all").get("topic", {})
    return found


def print_details(described: Sequence[dict[str, Any]], output: Output) -> None:
    """A line of JSON for each topic, or its summary and a table of its partitions."""
    if output.as_json or not described:
        output.rows(
            described, [], empty="There is no such partition." if described else "There is nothing to describe."
        )
        return
    columns = [
        Column("partition", "Partition", right=True),
        Column("leader", "Leader", right=True, show=lambda leader: "none" if leader is None else str(leader)),
        Column("replicas", "Replicas"),
        Column("isr", "In sync"),
    ]
    for topic in described:
        more = list(columns)
        if any(partition["offline"] for partition in topic["partitions"]):
            more.append(Column("offline", "Offline"))
        if topic["partitions"] and "start_offset" in topic["partitions"][0]:
            more += [Column("start_offset", "Start", right=True), Column("end_offset", "End", right=True)]
        output.line(
            f"{topic['topic']}: {counted(topic['partition_count'], 'partition')}, "
            f"{counted(topic['replication_factor'], 'replica')}"
            + (f", id {topic['topic_id']}" if topic["topic_id"] else "")
        )
        if topic["configs"]:
            output.line(f"  {plain_text(topic['configs'])}")
        output.rows(topic["partitions"], more, empty="  no partition")
        output.line("")


def offset_rows(
    admin: Any, topics: Sequence[Metadata], only: Collection[int], timestamp: int | None
) -> tuple[list[dict[str, Any]], list[Column]]:
    """Rows and columns: first and last offsets, or those at a time."""
    places = partitions_of(topics, only)
    columns = [Column("topic", "Topic"), Column("partition", "Partition", right=True)]
    if timestamp is None:
        first, last = list_offsets(admin, places, EARLIEST), list_offsets(admin, places, LATEST)
        rows = []
        for topic, index, _ in places:
            start, end = first.get((topic, index)), last.get((topic, index))
            count = None if start is None or end is None else end - start
            rows.append(
                {"topic": topic, "partition": index, "start_offset": start, "end_offset": end, "records": count}
            )
        columns += [
            Column("start_offset", "Start", right=True),
            Column("end_offset", "End", right=True),
            Column("records", "Records", right=True),
        ]
        return rows, columns
    found = offsets_and_times(admin, places, timestamp)
    rows = []
    for topic, index, _ in places:
        offset, at_ms = found.get((topic, index), (None, -1))
        rows.append(
            {
                "topic": topic,
                "partition": index,
                "offset": None if offset is None or offset < 0 else offset,
                "timestamp_ms": at_ms if at_ms >= 0 else None,
            }
        )
    columns += [
        Column("offset", "Offset", right=True),
        Column("timestamp_ms", "Time", show=lambda each: shown_time(each)),
    ]
    return rows, columns


def trim_rows(
    admin: Any, topics: Sequence[Metadata], only: Collection[int], offset: int | None
) -> Iterator[dict[str, Any]]:
    """Delete the records before `offset` (None: all) and give the new first offsets."""
    from kafka import TopicPartition

    wanted = {
        TopicPartition(topic, index): -1 if offset is None else offset
        for topic, index, _ in partitions_of(topics, only)
    }
    answers = admin.delete_records(wanted)
    for place in sorted(answers):
        yield {"topic": place.topic, "partition": place.partition, "start_offset": answers[place]["low_watermark"]}
