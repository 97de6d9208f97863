"""Java clients that go on working while their broker is killed or restarted."""

import pytest

from compat_tests.java_clients.clients import Java, eventually
from compat_tests.targets import OwnBroker

pytestmark = pytest.mark.client("Java clients")

COUNT = 3000
# Short pauses between attempts, so that a test does not wait for the clients' patience.
QUICK = {"reconnect_backoff_ms": "50", "reconnect_backoff_max_ms": "200", "retry_backoff_max_ms": "200"}


@pytest.mark.capability("restart: kill -9 under an idempotent producer")
def test_nothing_lost_or_twice_when_the_broker_is_killed(java_restartable: Java, restartable_broker: OwnBroker) -> None:
    java = java_restartable
    topic = java.create_topic(partitions=2)
    producer = java.producer(linger_ms="1", batch_size="500", enable_idempotence="true", **QUICK)
    sending = producer.send_many(topic, "", COUNT, keyed=True, pause_every=2)
    reader = java.consumer(**QUICK)
    reader.assign((topic, 0), (topic, 1))
    before = reader.values(COUNT // 10)
    assert not sending.done(), "the broker is to be killed while records are on their way"
    restartable_broker.kill()
    restartable_broker.start()
    assert sending.result(60) == {"acknowledged": COUNT, "error": None}
    values = before + reader.values(COUNT - len(before), timeout_ms=30000)
    assert sorted(int(value or -1) for value in values) == list(range(COUNT))
    assert reader.values(1, timeout_ms=300) == []


@pytest.mark.capability("restart: stopped and started under running clients")
def test_group_goes_on_after_a_restart(java_restartable: Java, restartable_broker: OwnBroker) -> None:
    java = java_restartable
    topic, group = java.create_topic(partitions=2), java.fresh_name("group")
    consumer = java.consumer(group, heartbeat_interval_ms="300", session_timeout_ms="6000", **QUICK)
    consumer.subscribe(topic)
    consumer.wait_for_assignment(2)
    producer = java.producer(**QUICK)
    producer.send_values(topic, "before", partition=0)
    assert consumer.values(1) == ["before"]
    consumer.do("commit")
    member = consumer.do("group_metadata")
    restartable_broker.stop()
    restartable_broker.start()
    producer.send_values(topic, "after", partition=0)
    assert consumer.values(1, timeout_ms=30000) == ["after"]
    consumer.do("commit")
    assert consumer.do("group_metadata") == member
    consumer.close()
    assert java.admin("group_offsets", group=group)[f"{topic}:0"]["offset"] == 2
    eventually(lambda: java.admin("describe_groups", groups=[group])[group]["state"], "Empty")
