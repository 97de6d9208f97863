"""The controller as a whole: first start, restart, FIFO, commits, failures."""

from __future__ import annotations

import pytest

from broker.controller import records as r
from broker.controller.controller import NewTopic
from broker.controller.image import ImageChange
from broker.deferred import start
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from tests.broker.controller.controller_world import MemoryLog, make_controller, registration, run, running


def kinds(log: MemoryLog) -> list[str]:
    return [type(record).__name__.removesuffix("Record") for record in log.records()]


def test_a_fresh_log_begins_as_kafkas() -> None:
    controller, log = running()
    assert kinds(log) == [
        "BeginTransaction",
        "FeatureLevel",
        "FeatureLevel",
        "FeatureLevel",
        "Config",
        "EndTransaction",
        "RegisterController",
        "RegisterBroker",
        "BrokerRegistrationChange",
        "BrokerRegistrationChange",
    ]
    assert controller.image.features == {
        "metadata.version": 30,
        "eligible.leader.replicas.version": 1,
        "group.version": 1,
    }
    assert controller.image.configs(4, "") == {"min.insync.replicas": "1"}
    assert controller.image.is_active(1)
    # The broker epoch is the offset of its registration; offset 0 is the LeaderChange.
    assert controller.image.brokers[1].epoch == 8


def test_topics_survive_a_restart_with_a_raised_leader_epoch() -> None:
    controller, log = running()
    created = run(controller.create_topics([NewTopic("a", 2, 1, configs=[("retention.ms", "5")])]))[0]
    assert created.error is None
    controller.shut_down_broker(1)

    again, _ = running(log)
    topic = again.image.topic_by_name("a")
    assert topic is not None
    assert topic.topic_id == created.topic_id
    assert topic.configs == {"retention.ms": "5"}
    assert again.leader_epoch == 2
    # As in Kafka: once for losing the leader, once for getting it back.
    assert [p.leader_epoch for p in topic.partitions] == [2, 2]
    assert [(p.leader, p.isr, p.elr, p.last_known_elr) for p in topic.partitions] == [(1, (1,), (), ())] * 2
    assert [p.leader_recovery_state for p in topic.partitions] == [0, 0]


def test_a_crash_is_an_unclean_shutdown_as_in_kafka() -> None:
    controller, log = running()
    run(controller.create_topics([NewTopic("a", 1, 1)]))
    again, _ = make_controller(log)
    again.load()
    again.become_leader()
    assert again.image.is_active(1)
    before = len(log.records())
    again.register_broker(registration(1))
    written = log.records()[before:]
    topic_id = again.image.topic_by_name("a").topic_id  # type: ignore[union-attr]
    change = r.PartitionChangeRecord
    assert written[0] == change(
        partition_id=0, topic_id=topic_id, isr=[], leader=-1, eligible_leader_replicas=[1], last_known_elr=[1]
    )
    assert written[1] == r.BrokerRegistrationChangeRecord(broker_id=1, broker_epoch=8, fenced=1)
    # It may have lost the end of its log, so it is not eligible any longer.
    assert written[2] == change(partition_id=0, topic_id=topic_id, eligible_leader_replicas=[])
    assert type(written[3]) is r.RegisterBrokerRecord
    assert written[-1] == change(
        partition_id=0, topic_id=topic_id, isr=[1], leader=1, leader_recovery_state=1, last_known_elr=[]
    )


def test_the_answer_waits_for_the_commit_and_the_image_does_not() -> None:
    controller, log = running()
    log.hold = True
    answer = start(controller.create_topics([NewTopic("a", 1, 1)]))
    assert not answer.done
    assert controller.image.topic_by_name("a") is not None
    log.release()
    assert answer.result()[0].error is None


def test_a_failed_append_changes_nothing() -> None:
    controller, log = running()
    log.fail_appends = True
    with pytest.raises(ApiError) as failed:
        run(controller.create_topics([NewTopic("a", 1, 1)]))
    assert failed.value.code is ErrorCode.KAFKA_STORAGE_ERROR
    assert controller.image.topic_by_name("a") is None
    log.fail_appends = False
    assert run(controller.create_topics([NewTopic("a", 1, 1)]))[0].error is None


def test_nothing_is_written_after_a_failed_commit() -> None:
    controller, log = running()
    log.hold = True
    answer = start(controller.create_topics([NewTopic("a", 1, 1)]))
    log.waiting[0][1].fail(OSError("the disk is gone"))
    with pytest.raises(ApiError) as failed:
        answer.result()
    assert failed.value.code is ErrorCode.KAFKA_STORAGE_ERROR
    end = log.end_offset
    with pytest.raises(ApiError):
        run(controller.create_topics([NewTopic("b", 1, 1)]))
    assert log.end_offset == end
    # A start takes up what the disk kept, here all of it.
    again, _ = running(log)
    assert again.image.topic_by_name("a") is not None


def test_answers_come_in_the_order_of_their_records() -> None:
    controller, log = running()
    log.hold = True
    order: list[str] = []
    for name in ("a", "b"):
        answer = start(controller.create_topics([NewTopic(name, 1, 1)]))
        answer.add_callback(lambda _done, name=name: order.append(name))
    assert order == []
    log.release()
    assert order == ["a", "b"]


def test_followers_learn_what_changed() -> None:
    controller, _ = running()
    changes: list[ImageChange] = []
    controller.on_change(changes.append)
    created = run(controller.create_topics([NewTopic("a", 2, 1, configs=[("retention.ms", "5")])]))[0]
    run(controller.delete_topics([created.topic_id]))
    assert [topic.name for topic in changes[0].created_topics] == ["a"]
    assert changes[0].partitions[created.topic_id][1] == {0, 1}
    assert {(each.type, each.name) for each in changes[0].configs} == {(2, "a")}
    assert [topic.name for topic in changes[1].deleted_topics] == ["a"]
    assert len(changes) == 2


def test_validate_only_writes_nothing() -> None:
    controller, log = running()
    end = log.end_offset
    answer = run(controller.create_topics([NewTopic("a", 1, 1)], validate_only=True))[0]
    assert answer.error is None
    assert answer.topic_id != bytes(16)
    assert log.end_offset == end
    assert controller.image.topic_by_name("a") is None


def test_a_transaction_left_open_is_dropped_at_the_next_start() -> None:
    _, log = running()
    log.append([r.BeginTransactionRecord(name="x"), r.TopicRecord(name="half", topic_id=b"h" * 16)], 0)
    again, _ = running(log)
    assert again.image.topic_by_name("half") is None
    assert "AbortTransaction" in kinds(log)
    third, _ = running(log)
    assert third.image.topic_by_name("half") is None


def test_an_internal_topic_is_created_as_configured() -> None:
    controller, _ = running()
    answer = controller.create_missing_topic("__consumer_offsets").result()[0]
    assert answer.error is None
    topic = controller.image.topic_by_name("__consumer_offsets")
    assert topic is not None
    assert topic.is_internal
    assert len(topic.partitions) == 50
    assert topic.configs == {"cleanup.policy": "compact", "compression.type": "producer"}


def test_producer_ids_come_in_blocks() -> None:
    controller, log = running()
    assert run(controller.allocate_producer_ids(1)) == range(1000)
    assert run(controller.allocate_producer_ids(1)) == range(1000, 2000)
    again, _ = running(log)
    assert run(again.allocate_producer_ids(1)) == range(2000, 3000)
