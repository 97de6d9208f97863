"""Config changes: what is written, what is refused and how, as measured on Kafka."""

from __future__ import annotations

import pytest

from broker.controller import records as r
from broker.controller.controller import AlterOp, ConfigResource, Controller, NewTopic
from kwire.errors import ApiError
from tests.broker.controller.controller_world import MemoryLog, run, running

TOPIC = ConfigResource(2, "t")
Op = tuple[str, AlterOp, str | None]


@pytest.fixture
def world() -> tuple[Controller, MemoryLog]:
    controller, log = running()
    run(controller.create_topics([NewTopic("t", 1, 1)]))
    return controller, log


def change(
    world: tuple[Controller, MemoryLog], *ops: Op, resource: ConfigResource = TOPIC
) -> tuple[ApiError | None, list[r.Record]]:
    controller, log = world
    before = len(log.records())
    (error,) = run(controller.incremental_alter_configs({resource: ops})).values()
    return error, log.records()[before:]


def record(name: str, value: str | None, resource: ConfigResource = TOPIC) -> r.ConfigRecord:
    return r.ConfigRecord(resource_type=resource.type, resource_name=resource.name, name=name, value=value)


def test_set_and_delete(world: tuple[Controller, MemoryLog]) -> None:
    assert change(world, ("retention.ms", AlterOp.SET, "5")) == (None, [record("retention.ms", "5")])
    assert world[0].image.configs(2, "t") == {"retention.ms": "5"}
    topic = world[0].image.topic_by_name("t")
    assert topic is not None
    assert topic.configs == {"retention.ms": "5"}
    # Nothing new, nothing written.
    assert change(world, ("retention.ms", AlterOp.SET, "5")) == (None, [])
    assert change(world, ("retention.ms", AlterOp.DELETE, None)) == (None, [record("retention.ms", None)])
    assert change(world, ("retention.ms", AlterOp.DELETE, None)) == (None, [])
    assert change(world, ("no.such.key", AlterOp.DELETE, None)) == (None, [])
    assert world[0].image.configs(2, "t") == {}


def test_lists(world: tuple[Controller, MemoryLog]) -> None:
    key = "cleanup.policy"
    assert change(world, (key, AlterOp.APPEND, "compact")) == (None, [record(key, "delete,compact")])
    assert change(world, (key, AlterOp.APPEND, "compact,delete")) == (None, [])
    assert change(world, (key, AlterOp.SUBTRACT, "delete")) == (None, [record(key, "compact")])
    assert change(world, (key, AlterOp.SUBTRACT, "delete")) == (None, [])
    assert change(world, (key, AlterOp.SUBTRACT, "compact")) == (None, [record(key, "")])


def test_a_value_no_record_can_hold(world: tuple[Controller, MemoryLog]) -> None:
    key = "cleanup.policy"
    error, written = change(world, (key, AlterOp.APPEND, "x" * 32767))  # behind what is there
    assert error is not None
    assert (error.code, written) == (40, [])
    assert error.message == (
        "The configuration value cannot be added because it exceeds the maximum value size of 32767 bytes."
    )
    (created,) = run(world[0].create_topics([NewTopic("u", 1, 1, configs=[(key, "\u20ac" * 11000)])]))
    assert created.error is not None
    assert created.error.code == 40


@pytest.mark.parametrize(
    ("resource", "op", "code", "message"),
    [
        (
            TOPIC,
            ("retention.ms", AlterOp.APPEND, "1"),
            40,
            "Can't APPEND to key retention.ms because its type is not LIST.",
        ),
        (
            TOPIC,
            ("retention.ms", AlterOp.SUBTRACT, "1"),
            40,
            "Can't SUBTRACT to key retention.ms because its type is not LIST.",
        ),
        (TOPIC, ("foo", AlterOp.SET, "1"), 40, "Unknown topic config name: foo"),
        (
            TOPIC,
            ("retention.ms", AlterOp.SET, "x"),
            40,
            "Invalid value x for configuration retention.ms: Not a number of type LONG",
        ),
        (
            ConfigResource(2, "nope"),
            ("retention.ms", AlterOp.SET, "1"),
            3,
            "The topic 'nope' does not exist.",
        ),
        (
            ConfigResource(4, "1"),
            ("min.insync.replicas", AlterOp.SET, "2"),
            40,
            "Broker-level min.insync.replicas cannot be altered while ELR is enabled.",
        ),
        (
            ConfigResource(4, ""),
            ("min.insync.replicas", AlterOp.DELETE, None),
            40,
            "Cluster-level min.insync.replicas cannot be removed while ELR is enabled.",
        ),
    ],
)
def test_refusals(
    world: tuple[Controller, MemoryLog], resource: ConfigResource, op: Op, code: int, message: str
) -> None:
    error, written = change(world, op, resource=resource)
    assert error is not None
    assert (error.code, error.message) == (code, message)
    assert written == []


def test_a_resource_changes_as_a_whole_or_not_at_all(world: tuple[Controller, MemoryLog]) -> None:
    error, written = change(world, ("retention.ms", AlterOp.SET, "5"), ("foo", AlterOp.SET, "1"))
    assert error is not None
    assert written == []


def test_min_isr_clears_what_it_made_eligible(world: tuple[Controller, MemoryLog]) -> None:
    _, written = change(world, ("min.insync.replicas", AlterOp.SET, "2"))
    assert written == [record("min.insync.replicas", "2"), r.ClearElrRecord(topic_name="t")]
    cluster = ConfigResource(4, "")
    _, written = change(world, ("min.insync.replicas", AlterOp.SET, "2"), resource=cluster)
    assert written == [record("min.insync.replicas", "2", cluster), r.ClearElrRecord(topic_name="")]


def test_replacing_all(world: tuple[Controller, MemoryLog]) -> None:
    controller, log = world
    change(world, ("retention.ms", AlterOp.SET, "5"), ("cleanup.policy", AlterOp.SET, "compact"))
    before = len(log.records())
    wanted = {TOPIC: {"retention.ms": "6", "compression.type": "gzip"}}
    assert run(controller.alter_configs(wanted, validate_only=True)) == {TOPIC: None}
    assert len(log.records()) == before
    assert run(controller.alter_configs(wanted)) == {TOPIC: None}
    assert log.records()[before:] == [
        record("retention.ms", "6"),
        record("compression.type", "gzip"),
        record("cleanup.policy", None),
    ]
    assert controller.image.configs(2, "t") == {"retention.ms": "6", "compression.type": "gzip"}
    assert controller.image.config_resources(2) == [TOPIC]


def test_a_new_topic_with_a_min_isr(world: tuple[Controller, MemoryLog]) -> None:
    controller, log = world
    before = len(log.records())
    configs = [("min.insync.replicas", "1"), ("retention.ms", "5")]
    run(controller.create_topics([NewTopic("n", 1, 1, configs=configs)]))
    kinds = [type(each) for each in log.records()[before:]]
    assert kinds == [r.TopicRecord, r.ConfigRecord, r.ConfigRecord, r.ClearElrRecord, r.PartitionRecord]


def test_clearing_comes_last(world: tuple[Controller, MemoryLog]) -> None:
    controller, log = world
    run(controller.create_topics([NewTopic("n", 1, 1)]))
    before = len(log.records())
    change = [("min.insync.replicas", AlterOp.SET, "2")]
    run(controller.incremental_alter_configs({TOPIC: change, ConfigResource(2, "n"): change}))
    kinds = [type(each) for each in log.records()[before:]]
    assert kinds == [r.ConfigRecord, r.ConfigRecord, r.ClearElrRecord, r.ClearElrRecord]
