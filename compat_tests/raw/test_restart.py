"""What a restart keeps, orderly or by kill -9: topics, configs, records, groups with their generation, producer ids."""

from collections.abc import Callable, Iterator

import pytest

from compat_tests.raw.batches import batch, headers
from compat_tests.raw.groups import LOADING, Member, described, stable, wait_for_coordinator
from compat_tests.raw.wire import Wire, eventually
from compat_tests.targets import OwnBroker

END = {"kill -9": OwnBroker.kill, "stop": OwnBroker.stop}


@pytest.fixture(params=list(END))
def restart(restartable_broker: OwnBroker, request: pytest.FixtureRequest) -> Callable[[], Wire]:
    """Ends the broker in each way, starts it, and gives a new connection."""

    def run() -> Wire:
        END[request.param](restartable_broker)
        restartable_broker.start()
        return Wire(restartable_broker.address)

    return run


@pytest.fixture
def before(restartable_broker: OwnBroker) -> Iterator[Wire]:
    """A connection to the broker before its restart."""
    with Wire(restartable_broker.address) as wire:
        yield wire


def test_restart_keeps(
    before: Wire, restart: Callable[[], Wire], topic: str, group: str, request: pytest.FixtureRequest
) -> None:
    """One restart for all that has to outlive it."""
    topic_id = before.create(topic, 3, {"retention.ms": "7654321"})
    before.ask("CreatePartitions", 3, topics=[{"name": topic, "count": 4, "assignments": None}], timeout_ms=5000)
    before.wait_for_topic(topic, 4)
    deleted = f"{topic}-deleted"
    before.create(deleted)
    assert before.ask("DeleteTopics", 5, topic_names=[deleted], timeout_ms=5000).responses[0].error_code == 0

    for value in (b"a", b"b", b"c"):
        assert before.produce(topic, batch(value)).error_code == 0
    assert before.delete_records(topic, 1).error_code == 0
    producer_id = before.producer_id()
    idempotent = batch(b"once", producer_id=producer_id, producer_epoch=0, base_sequence=0)
    assert before.produce(topic, idempotent, partition=1).base_offset == 0

    wait_for_coordinator(before, group)
    member = stable(before, group, instance="static-member")
    assert member.commit(topic, 2) == 0
    simple = Member(before, f"{group}-simple")
    eventually(lambda: simple.commit(topic, 7), lambda e: e not in LOADING, "the simple group's coordinator")

    with restart() as after:
        after.wait_for_topic(topic, 4)
        assert after.topic_id(topic) == topic_id
        assert after.metadata(deleted).error_code == 3
        resource = {"resource_type": 2, "resource_name": topic, "configuration_keys": ["retention.ms"]}
        (config,) = after.ask("DescribeConfigs", 4, resources=[resource]).results[0].configs
        assert (config.value, config.config_source) == ("7654321", 1)

        start, end = after.start_and_end(topic)
        assert end == 3
        # A log start is checkpointed once a minute: what DeleteRecords did just before a kill may be undone.
        assert start == 1 or (start == 0 and request.node.callspec.id == "kill -9")
        after.produce(topic, batch(b"d"))
        fetched = headers(after.fetch(topic, 1).records)
        assert [(h.base_offset, h.crc_ok) for h in fetched] == [(1, True), (2, True), (3, True)]
        current = after.metadata(topic).partitions[0].leader_epoch
        assert [h.leader_epoch for h in fetched] == [0, 0, current], "the epoch may be raised, not what is written"
        again = after.produce(topic, idempotent, partition=1)
        assert (again.error_code, again.base_offset) == (0, 0), "a batch sent again is recognised"
        assert after.start_and_end(topic, 1) == (0, 1)
        following = batch(b"next", producer_id=producer_id, producer_epoch=0, base_sequence=1)
        assert after.produce(topic, following, partition=1).base_offset == 1
        assert after.producer_id() > producer_id

        wait_for_coordinator(after, group)
        member.wire = after
        assert member.heartbeat() == 0, "member, generation and session go on"
        assert bytes(member.sync().assignment) == b"mine"
        found = described(after, group)
        assert (found.group_state, [m.group_instance_id for m in found.members]) == ("Stable", ["static-member"])
        for name, offset in ((group, 2), (simple.group, 7)):
            wait_for_coordinator(after, name)
            groups = [{"group_id": name, "topics": [{"name": topic, "partition_indexes": [0]}]}]
            answer = after.ask("OffsetFetch", 8, groups=groups).groups[0].topics[0].partitions[0]
            assert (answer.error_code, answer.committed_offset) == (0, offset)
