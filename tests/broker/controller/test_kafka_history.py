"""The same history as on Apache Kafka 4.3.1 gives the same records, in the same order.

`data/kafka_4_3_1_metadata_log.jsonl` is what Kafka's dump tool printed for it, without NoOps, with topics by name, and
without what differs from run to run (epochs, ids, endpoints). Where Kafka's order is that of a hash table (configs of
one change, partitions of a broker, topics of a request), both are sorted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from attrs import evolve

from broker.controller.controller import (
    AlterOp,
    ConfigResource,
    Controller,
    FeatureUpdate,
    MorePartitions,
    NewTopic,
    Reassignment,
)
from broker.controller.ports import ConfigRules
from kwire.internal import decode_metadata_record
from kwire.internal.metadata_records import TopicRecord
from tests.broker.controller.controller_world import FewRules, MemoryLog, make_controller, registration, run

DUMP = Path(__file__).parent / "data" / "kafka_4_3_1_metadata_log.jsonl"
LEVELS = {
    "metadata.version": 30,
    "eligible.leader.replicas.version": 1,
    "group.version": 1,
    "share.version": 1,
    "streams.version": 1,
    "transaction.version": 2,
}
SORTED = {"CONFIG_RECORD", "PARTITION_CHANGE_RECORD", "REMOVE_TOPIC_RECORD"}
# Not compared: they differ from run to run.
VARYING = {"incarnation_id", "broker_epoch", "end_points", "features", "zk_migration_ready", "is_migrating_zk_broker"}

Line = tuple[str, int, str]


class AnyConfig(FewRules):
    """Kafka checked the values of this history."""

    def validate(self, resource: ConfigResource, configs: Mapping[str, str], existing: Mapping[str, str]) -> None:
        pass


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def kafkas() -> list[Line]:
    return [
        line(each["type"], each["version"], {snake(key): value for key, value in each["data"].items()})
        for each in map(json.loads, DUMP.read_text().splitlines())
    ]


def line(kind: str, version: int, data: dict[str, Any]) -> Line:
    return kind, version, json.dumps(data, sort_keys=True)


def ours(log: MemoryLog) -> Iterator[Line]:
    """As the dump has it: fields that have a tag are left out at their default."""
    names: dict[bytes, str] = {}
    for _, batch in log.batches:
        for raw in batch:
            record, version = decode_metadata_record(raw)
            kind = snake(type(record).__name__).upper()
            if isinstance(record, TopicRecord):
                names[record.topic_id] = record.name
            blank = type(record)()
            shown: dict[str, Any] = {}
            for field in type(record).struct_fields:
                key, value = field.name, getattr(record, field.name)
                if key in VARYING or not field.in_version(version):
                    continue
                if field.tag is not None and value == getattr(blank, key):
                    continue
                if key == "topic_id":
                    value = names[value]
                elif key in ("directories", "log_dirs"):
                    value = ["D"] * len(value)
                shown[key] = value
            yield line(kind, version, shown)


def comparable(lines: list[Line]) -> list[Line]:
    result: list[Line] = []
    for kind, group in groupby(lines, key=lambda each: each[0]):
        run_of_kind = list(group)
        result += sorted(run_of_kind) if kind in SORTED else run_of_kind
    return result


def start(log: MemoryLog, *, clean: bool) -> Controller:
    rules: ConfigRules = AnyConfig()
    controller, _ = make_controller(
        log,
        bootstrap_features=LEVELS,
        supported_features={name: (0, level) for name, level in LEVELS.items()},
    )
    controller._rules = controller._tools.rules = rules
    controller.load()
    controller.become_leader()
    before = controller.image.brokers.get(1)
    epoch = before.epoch if before is not None and clean else -1
    features = {name: (0, level) for name, level in LEVELS.items()}
    controller.register_broker(evolve(registration(1, previous_epoch=epoch), features=features))
    return controller


def history(log: MemoryLog) -> None:
    controller = start(log, clean=True)

    def change(kind: int, name: str, *ops: tuple[str, AlterOp, str | None]) -> None:
        assert list(run(controller.incremental_alter_configs({ConfigResource(kind, name): ops})).values()) == [None]

    def create(*topics: NewTopic) -> None:
        assert [each.error for each in run(controller.create_topics(topics))] == [None] * len(topics)

    create(NewTopic("a", 2, 1))
    configs = [("retention.ms", "1000"), ("cleanup.policy", "compact"), ("compression.type", "gzip")]
    create(NewTopic("b", 1, 1, configs=configs))
    create(NewTopic("c"))
    create(NewTopic("m", assignments=[(0, [1]), (1, [1])]))
    create(*(NewTopic(name, 1, 1, configs=[("retention.ms", "5")]) for name in ("z1", "y1")))
    run(controller.create_topics([NewTopic("v", 1, 1)], validate_only=True))
    run(controller.create_partitions([MorePartitions("a", 4)]))
    change(2, "a", ("retention.ms", AlterOp.SET, "2000"), ("segment.bytes", AlterOp.SET, "1048576"))
    change(2, "a", ("retention.ms", AlterOp.DELETE, None), ("flush.ms", AlterOp.DELETE, None))
    change(2, "a", ("segment.bytes", AlterOp.SET, "1048576"))
    change(2, "a", ("cleanup.policy", AlterOp.APPEND, "compact"))
    change(2, "a", ("cleanup.policy", AlterOp.SUBTRACT, "delete"))
    change(4, "", ("log.retention.ms", AlterOp.SET, "100000"))
    change(4, "1", ("log.cleaner.threads", AlterOp.SET, "2"))
    change(32, "g", ("consumer.session.timeout.ms", AlterOp.SET, "50000"))
    run(controller.alter_configs({ConfigResource(2, "b"): {"retention.ms": "3000", "max.message.bytes": "2000000"}}))
    change(2, "a", ("min.insync.replicas", AlterOp.SET, "2"))
    run(controller.alter_reassignments([Reassignment("a", 0, (1,))]))
    for name, level, how in (("group.version", 1, 1), ("share.version", 0, 2), ("share.version", 1, 1)):
        run(controller.update_features([FeatureUpdate(name, level, how)]))
    image = controller.image
    doomed = [topic.topic_id for topic in map(image.topic_by_name, ("b", "a")) if topic is not None]
    run(controller.delete_topics(doomed))
    controller.create_missing_topic("x1")
    run(controller.allocate_producer_ids(1))
    controller.shut_down_broker(1)
    start(log, clean=True)
    # Killed, and started again.
    start(log, clean=False)


def test_the_records_are_kafkas() -> None:
    log = MemoryLog()
    history(log)
    mine, theirs = comparable(list(ours(log))), comparable(kafkas())
    for position, (one, other) in enumerate(zip(mine, theirs, strict=False)):
        assert one == other, f"record {position} of {len(theirs)}"
    assert len(mine) == len(theirs)
