"""Classic consumer groups with KafkaConsumer and the Admin client."""

from concurrent.futures import Future
from typing import Any

import pytest

from compat_tests.java_clients.clients import Consumer, Java, eventually
from compat_tests.java_clients.jvm import JavaError

pytestmark = pytest.mark.client("Java clients")

COOPERATIVE = "org.apache.kafka.clients.consumer.CooperativeStickyAssignor"
ASSIGNORS = [f"org.apache.kafka.clients.consumer.{name}Assignor" for name in ("Range", "RoundRobin", "Sticky")]
QUICK = {"session_timeout_ms": "6000", "heartbeat_interval_ms": "300"}


def settle(*expected: tuple[Consumer, int]) -> None:
    """Poll all consumers together until all have their number of partitions."""
    consumers = [consumer for consumer, _ in expected]
    counts = [count for _, count in expected]
    polling = keep_polling(*consumers)
    try:
        eventually(lambda: [consumer.assigned_now() for consumer in consumers], counts)
    finally:
        stop_polling(consumers, polling)


def keep_polling(*consumers: Consumer) -> list["Future[Any]"]:
    return [consumer.start("poll_until_stopped") for consumer in consumers]


def stop_polling(consumers: list[Consumer], futures: list["Future[Any]"]) -> list[list[str]]:
    """What each consumer saw since `keep_polling`."""
    for consumer in consumers:
        consumer.stop_polling()
    return [future.result(20) for future in futures]


@pytest.mark.capability("group: join and leave")
@pytest.mark.parametrize("assignor", ASSIGNORS, ids=["range", "roundrobin", "sticky"])
def test_two_members_share(java: Java, assignor: str) -> None:
    topic, group = java.create_topic(partitions=4), java.fresh_name("group")
    first = java.consumer(group, partition_assignment_strategy=assignor, **QUICK)
    second = java.consumer(group, partition_assignment_strategy=assignor, **QUICK)
    first.subscribe(topic)
    first.wait_for_assignment(4)
    second.subscribe(topic)
    settle((first, 2), (second, 2))
    described = java.admin("describe_groups", groups=[group])[group]
    assert described["state"] == "Stable"
    assert described["assignor"] == assignor.rpartition(".")[2].removesuffix("Assignor").lower()
    assert sorted(len(member["assignment"]) for member in described["members"]) == [2, 2]
    assert all(member["host"] == "/127.0.0.1" for member in described["members"])
    second.close()
    first.wait_for_assignment(4)
    assert [event[0] for event in first.do("events")] == ["assigned", "revoked", "assigned", "revoked", "assigned"]


@pytest.mark.capability("group: cooperative rebalance")
def test_cooperative_members_keep_what_they_have(java: Java) -> None:
    topic, group = java.create_topic(partitions=4), java.fresh_name("group")
    first = java.consumer(group, partition_assignment_strategy=COOPERATIVE, **QUICK)
    first.subscribe(topic)
    first.wait_for_assignment(4)
    second = java.consumer(group, partition_assignment_strategy=COOPERATIVE, **QUICK)
    second.subscribe(topic)
    settle((first, 2), (second, 2))
    revoked = [len(partitions) for kind, partitions in first.do("events") if kind == "revoked"]
    assert sum(revoked) == 2, "only what moves is revoked"
    second.close()
    first.wait_for_assignment(4)


@pytest.mark.capability("group: cooperative rebalance")
def test_change_from_eager_to_cooperative(java: Java) -> None:
    topic, group = java.create_topic(partitions=2), java.fresh_name("group")
    both = f"{COOPERATIVE},{ASSIGNORS[0]}"
    first = java.consumer(group, partition_assignment_strategy=ASSIGNORS[0], **QUICK)
    second = java.consumer(group, partition_assignment_strategy=both, **QUICK)
    for consumer in (first, second):
        consumer.subscribe(topic)
    settle((first, 1), (second, 1))
    assert java.admin("describe_groups", groups=[group])[group]["assignor"] == "range"
    first.close()
    third = java.consumer(group, partition_assignment_strategy=both, **QUICK)
    third.subscribe(topic)
    settle((second, 1), (third, 1))
    assert java.admin("describe_groups", groups=[group])[group]["assignor"] == "cooperative-sticky"


@pytest.mark.capability("group: assignors")
def test_no_common_assignor(java: Java) -> None:
    topic, group = java.create_topic(partitions=2), java.fresh_name("group")
    first = java.consumer(group, partition_assignment_strategy=ASSIGNORS[0], **QUICK)
    first.subscribe(topic)
    first.wait_for_assignment(2)
    second = java.consumer(group, partition_assignment_strategy=ASSIGNORS[1], **QUICK)
    second.subscribe(topic)
    with pytest.raises(JavaError) as caught:
        second.poll(1, timeout_ms=5000)
    assert caught.value.kind == "InconsistentGroupProtocolException"


@pytest.mark.capability("group: static member")
@pytest.mark.parametrize("assignor", [ASSIGNORS[0], COOPERATIVE], ids=["range", "cooperative"])
def test_static_member_comes_back_without_a_rebalance(java: Java, assignor: str) -> None:
    topic, group = java.create_topic(partitions=4), java.fresh_name("group")
    settings = {**QUICK, "partition_assignment_strategy": assignor}
    first = java.consumer(group, group_instance_id="one", **settings)
    second = java.consumer(group, group_instance_id="two", **settings)
    for consumer in (first, second):
        consumer.subscribe(topic)
    settle((first, 2), (second, 2))
    held = second.do("assignment")
    generation = first.do("group_metadata")["generation"]
    second.close()
    again = java.consumer(group, group_instance_id="two", **settings)
    again.subscribe(topic)
    settle((first, 2), (again, 2))
    assert again.do("assignment") == held
    metadata = again.do("group_metadata")
    assert (metadata["generation"], metadata["instance_id"]) == (generation, "two")
    members = java.admin("describe_groups", groups=[group])[group]["members"]
    assert sorted(member["instance_id"] for member in members) == ["one", "two"]


@pytest.mark.capability("group: static member")
def test_second_client_with_the_same_instance_fences_the_first(java: Java) -> None:
    topic, group = java.create_topic(), java.fresh_name("group")
    first = java.consumer(group, group_instance_id="same", **QUICK)
    first.subscribe(topic)
    first.wait_for_assignment(1)
    second = java.consumer(group, group_instance_id="same", **QUICK)
    second.subscribe(topic)
    second.wait_for_assignment(1)
    with pytest.raises(JavaError) as caught:
        first.poll(1, timeout_ms=10000)
    assert caught.value.kind == "FencedInstanceIdException"


@pytest.mark.capability("group: static member")
def test_admin_removes_a_static_member(java: Java) -> None:
    topic, group = java.create_topic(partitions=2), java.fresh_name("group")
    first = java.consumer(group, group_instance_id="stays", **QUICK)
    second = java.consumer(group, group_instance_id="goes", **QUICK)
    for consumer in (first, second):
        consumer.subscribe(topic)
    settle((first, 1), (second, 1))
    second.close()
    java.admin("remove_members", group=group, instances=["goes"])
    first.wait_for_assignment(2)


@pytest.mark.capability("group: crash of a member")
def test_silent_member_is_replaced(java: Java) -> None:
    topic, group = java.create_topic(partitions=2), java.fresh_name("group")
    silent = java.consumer(group, max_poll_interval_ms="1000", session_timeout_ms="6000", heartbeat_interval_ms="300")
    silent.subscribe(topic)
    silent.wait_for_assignment(2)
    other = java.consumer(group, **QUICK)
    other.subscribe(topic)
    other.wait_for_assignment(2)
    assert len(java.admin("describe_groups", groups=[group])[group]["members"]) == 1


@pytest.mark.capability("consume: subscriptions")
def test_pattern_subscription(java: Java) -> None:
    stem, group = java.fresh_name("pattern"), java.fresh_name("group")
    topics = [java.create_topic(f"{stem}-{letter}") for letter in "ab"]
    consumer = java.consumer(group, metadata_max_age_ms="300", **QUICK)
    consumer.do("subscribe", pattern=f"{stem}-.*")
    consumer.wait_for_assignment(2)
    topics.append(java.create_topic(f"{stem}-c"))
    consumer.wait_for_assignment(3)
    assert sorted(topic for topic, _ in consumer.do("assignment")) == sorted(topics)


@pytest.mark.capability("consume: subscriptions")
def test_new_partitions_are_taken_up(java: Java) -> None:
    topic, group = java.create_topic(partitions=1), java.fresh_name("group")
    consumer = java.consumer(group, metadata_max_age_ms="300", **QUICK)
    consumer.subscribe(topic)
    consumer.wait_for_assignment(1)
    assert java.admin("create_partitions", counts={topic: 3}) == {topic: None}
    consumer.wait_for_assignment(3)


@pytest.mark.capability("offsets: commit, resume, lag")
def test_commits(java: Java) -> None:
    topic, group = java.create_topic(partitions=2), java.fresh_name("group")
    java.producer().send_values(topic, *"abcdef", partition=0)
    consumer = java.consumer(group, max_poll_records="4")
    consumer.subscribe(topic)
    assert consumer.values(4) == ["a", "b", "c", "d"]
    consumer.do("commit")
    assert consumer.do("committed", partitions=[(topic, 0)])[f"{topic}:0"]["offset"] == 4
    consumer.close()
    again = java.consumer(group)
    again.subscribe(topic)
    assert again.values(2) == ["e", "f"]
    again.do("commit", offsets=[(topic, 0, 5, "note"), (topic, 1, 0)])
    assert again.do("commit", offsets=[(topic, 1, 0, "later")], **{"async": True}) == 1
    committed = again.do("committed", partitions=[(topic, 0), (topic, 1)])
    assert committed == {
        f"{topic}:0": {"offset": 5, "metadata": "note", "leader_epoch": None},
        f"{topic}:1": {"offset": 0, "metadata": "later", "leader_epoch": None},
    }


@pytest.mark.capability("offsets: commit, resume, lag")
def test_automatic_commit_on_close(java: Java) -> None:
    topic, group = java.create_topic(), java.fresh_name("group")
    java.producer().send_values(topic, "a", "b", "c")
    consumer = java.consumer(group, enable_auto_commit="true")
    consumer.subscribe(topic)
    assert consumer.values(3) == ["a", "b", "c"]
    consumer.close()
    assert java.admin("group_offsets", group=group)[f"{topic}:0"]["offset"] == 3


@pytest.mark.capability("offsets: commit, resume, lag")
def test_commit_without_membership(java: Java) -> None:
    topic, group = java.create_topic(), java.fresh_name("group")
    alone = java.consumer(group)
    alone.assign((topic, 0))
    alone.do("commit", offsets=[(topic, 0, 7)])
    assert java.admin("group_offsets", group=group)[f"{topic}:0"]["offset"] == 7
    listed = java.admin("list_groups")[group]
    assert (listed["state"], listed["simple"], listed["type"]) == ("Empty", True, "Classic")
    member = java.consumer(group, **QUICK)
    member.subscribe(topic)
    member.wait_for_assignment(1)
    with pytest.raises(JavaError) as caught:
        alone.do("commit", offsets=[(topic, 0, 8)])
    assert caught.value.kind in ("CommitFailedException", "UnknownMemberIdException")


@pytest.mark.capability("admin: groups and offsets")
def test_group_administration(java: Java) -> None:
    topic, group = java.create_topic(partitions=2), java.fresh_name("group")
    java.producer().send_values(topic, "a", "b", partition=0)
    consumer = java.consumer(group, client_id="the-client", **QUICK)
    consumer.subscribe(topic)
    consumer.values(2)
    consumer.do("commit")
    assert java.admin("list_groups")[group] == {
        "type": "Classic",
        "protocol": "consumer",
        "state": "Stable",
        "simple": False,
    }
    with pytest.raises(JavaError) as caught:
        java.admin("alter_group_offsets", group=group, offsets=[(topic, 0, 1)])
    assert caught.value.kind == "UnknownMemberIdException"
    with pytest.raises(JavaError) as caught:
        java.admin("delete_group_offsets", group=group, partitions=[(topic, 0)])
    assert caught.value.kind == "GroupSubscribedToTopicException"
    assert java.admin("delete_groups", groups=[group])[group]["class"] == "GroupNotEmptyException"
    consumer.close()
    java.admin("alter_group_offsets", group=group, offsets=[(topic, 0, 1)])
    assert java.admin("group_offsets", group=group)[f"{topic}:0"]["offset"] == 1
    java.admin("delete_group_offsets", group=group, partitions=[(topic, 0)])
    assert list(java.admin("group_offsets", group=group)) == [f"{topic}:1"]
    assert java.admin("delete_groups", groups=[group]) == {group: None}
    assert group not in java.admin("list_groups")
    missing = java.fresh_name("missing")
    assert java.admin("delete_groups", groups=[missing])[missing]["class"] == "GroupIdNotFoundException"
    assert java.admin("describe_groups", groups=[missing])[missing]["error"]["class"] == "GroupIdNotFoundException"


@pytest.mark.capability("admin: groups and offsets")
def test_all_members_removed(java: Java) -> None:
    topic, group = java.create_topic(partitions=2), java.fresh_name("group")
    consumer = java.consumer(group, **QUICK)
    consumer.subscribe(topic)
    consumer.wait_for_assignment(2)
    java.admin("remove_members", group=group, instances=[])
    assert java.admin("describe_groups", groups=[group])[group]["members"] == []
    consumer.do("events")
    consumer.do("poll", count=1, timeout_ms=2000)
    assert [event[0] for event in consumer.do("events")][:2] == ["lost", "assigned"]


@pytest.mark.capability("group: many members under load")
def test_nothing_is_missed_over_rebalances(java: Java) -> None:
    topic, group = java.create_topic(partitions=4), java.fresh_name("group")
    settings = {"partition_assignment_strategy": COOPERATIVE, "enable_auto_commit": "true", **QUICK}
    consumers = [java.consumer(group, auto_commit_interval_ms="200", **settings) for _ in range(3)]
    sending = java.producer(linger_ms="1").send_many(topic, "", 4000, keyed=True, pause_every=5)
    polling = []
    for consumer in consumers:
        consumer.subscribe(topic)
        polling += keep_polling(consumer)
    assert sending.result(60)["acknowledged"] == 4000
    ends = java.admin("list_offsets", specs=[(topic, p, "latest") for p in range(4)])
    assert sum(each["offset"] for each in ends.values()) == 4000
    seen = stop_polling(consumers[:1], polling[:1])
    consumers[0].close()
    wait_until_caught_up(java, group, ends)
    seen += stop_polling(consumers[1:], polling[1:])
    assert {int(value) for values in seen for value in values} == set(range(4000))


def wait_until_caught_up(java: Java, group: str, ends: dict[str, dict[str, int]]) -> None:
    """Until the group committed every end offset."""

    def committed() -> dict[str, int]:
        offsets = java.admin("group_offsets", group=group)
        return {key: (offsets.get(key) or {"offset": 0})["offset"] for key in ends}

    eventually(committed, {key: end["offset"] for key, end in ends.items()})
