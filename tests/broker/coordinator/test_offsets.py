"""OffsetCommit, OffsetFetch, OffsetDelete, and how long offsets live."""

from __future__ import annotations

import pytest

from broker.deferred import start
from broker.group.config import GroupConfig
from broker.handlers.groups.offset_commit import offset_commit
from broker.handlers.groups.offset_fetch import offset_fetch
from kwire.api_keys import ApiKey
from kwire.error_codes import ErrorCode
from kwire.messages.offset_commit import OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic
from kwire.messages.offset_fetch import OffsetFetchRequest, OffsetFetchRequestTopic
from tests.broker.coordinator.group_world import FixedTopics, World, subscription, value

DAY_MS = 24 * 3600 * 1000


@pytest.fixture
def world() -> World:
    return World(t=3, u=2)


class TestCommit:
    def test_by_a_member(self, world: World) -> None:
        (member,) = world.stable()
        assert world.commit({("t", 0): 5, ("t", 2): 7}, member, 1) == [0, 0]
        assert world.fetch({"t": [0, 1, 2]}) == {("t", 0): 5, ("t", 1): -1, ("t", 2): 7}

    def test_without_a_group(self, world: World) -> None:
        assert world.commit({("t", 0): 5}) == [0]
        described = world.describe()
        assert (described.group_state, described.protocol_type, described.error_code) == ("Empty", "", 0)
        assert world.group_records("g") == []

    def test_to_the_group_without_a_name(self, world: World) -> None:
        assert world.commit({("t", 0): 5}, group="") == [0]
        assert world.fetch({"t": [0]}, "") == {("t", 0): 5}

    def test_simple_commit_to_an_empty_group(self, world: World) -> None:
        (member,) = world.stable()
        assert world.commit({("t", 0): 5}) == [ErrorCode.UNKNOWN_MEMBER_ID]
        world.leave((member, None))
        assert world.commit({("t", 0): 5}) == [0]

    def test_refusals(self, world: World) -> None:
        (member,) = world.stable()
        assert world.commit({("t", 0): 5}, member, 2) == [ErrorCode.ILLEGAL_GENERATION]
        assert world.commit({("t", 0): 5}, "who", 1) == [ErrorCode.UNKNOWN_MEMBER_ID]
        assert world.commit({("t", 0): 5}, member, 1, instance="i") == [ErrorCode.UNKNOWN_MEMBER_ID]
        assert world.offset_records("g") == []

    @pytest.mark.parametrize(("version", "code"), [(8, 22), (9, 69), (10, 69)])
    def test_a_generation_of_an_unknown_group(self, world: World, version: int, code: int) -> None:
        assert world.commit({("t", 0): 5}, "m", 0, version=version) == [code]

    def test_during_a_rebalance(self, world: World) -> None:
        (member,) = world.stable()
        world.join_known()
        assert world.commit({("t", 0): 5}, member, 1) == [0]
        world.join(member=member)
        assert world.commit({("t", 0): 5}, member, 2) == [ErrorCode.REBALANCE_IN_PROGRESS]

    def test_a_commit_keeps_the_session_up(self, world: World) -> None:
        (member,) = world.stable(session_ms=10_000)
        world.clock.advance(9_000)
        world.commit({("t", 0): 5}, member, 1)
        world.clock.advance(9_000)
        assert world.heartbeat(member, 1) is ErrorCode.NONE

    def test_what_does_not_exist(self, world: World) -> None:
        assert world.commit({("t", 0): 1, ("nope", 0): 1, ("t", 3): 1}) == [3, 0, 3]
        assert world.commit({("nope", 0): 1}, group="other") == [3]
        assert world.fetch(None) == {("t", 0): 1}

    def test_topics_by_id(self, world: World) -> None:
        ids = {"nope": b"x" * 16}
        request_ids = {"t": FixedTopics.id_of("t"), **ids}
        assert world.commit({("t", 0): 1, ("nope", 0): 1}, version=10, topic_ids=request_ids) == [100, 0]
        stored = world.offset_records("g")[0]
        assert stored.topic == "t"
        assert stored.value is not None
        assert stored.value.topic_id == FixedTopics.id_of("t")

    def test_a_commit_by_name_stores_the_topic_id(self, world: World) -> None:
        world.commit({("t", 0): 1})
        stored = world.offset_records("g")[0].value
        assert stored is not None
        assert stored.topic_id == FixedTopics.id_of("t")

    def test_metadata(self, world: World) -> None:
        assert world.commit({("t", 0): (1, "x" * 4096), ("t", 1): (1, "x" * 4097), ("t", 2): (1, None)}) == [0, 12, 0]
        assert world.commit({("t", 1): (1, "é" * 4096)}) == [0]
        found = world.fetch_group({"t": [2]}).topics[0].partitions[0]
        assert found.metadata == ""

    def test_a_negative_offset(self, world: World) -> None:
        assert world.commit({("t", 0): -5}) == [0]
        assert world.fetch({"t": [0]}) == {("t", 0): -5}

    def test_one_batch_a_request(self, world: World) -> None:
        world.commit({("t", 0): 1, ("t", 1): 1, ("u", 0): 1})
        assert len(world.log_of("g").batches) == 1

    def test_partitions_of_the_wire(self, world: World) -> None:
        request = OffsetCommitRequest(
            group_id="g",
            topics=[
                OffsetCommitRequestTopic(name="t", partitions=[OffsetCommitRequestPartition(partition_index=-1)]),
            ],
        )
        response = value(start(offset_commit(request, world.context(ApiKey.OFFSET_COMMIT, 2), world.coordinator)))
        assert response.topics[0].partitions[0].error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


class TestFetch:
    def test_never_committed(self, world: World) -> None:
        found = world.fetch_group({"t": [0], "nope": [7]})
        assert found.error_code == 0
        for topic in found.topics:
            for each in topic.partitions:
                assert (each.error_code, each.committed_offset, each.committed_leader_epoch, each.metadata) == (
                    0,
                    -1,
                    -1,
                    "",
                )

    def test_all(self, world: World) -> None:
        assert world.fetch(None) == {}
        world.commit({("t", 0): 1, ("u", 1): 2})
        assert world.fetch(None) == {("t", 0): 1, ("u", 1): 2}

    def test_by_id(self, world: World) -> None:
        world.commit({("t", 0): 1})
        found = world.fetch_group({"t": [0], "nope": [0]}, version=10)
        assert [(each.topic_id, each.partitions[0].error_code) for each in found.topics] == [
            (FixedTopics.id_of("t"), 0),
            (FixedTopics.id_of("nope"), ErrorCode.UNKNOWN_TOPIC_ID),
        ]
        assert [each.topic_id for each in world.fetch_group(None, version=10).topics] == [FixedTopics.id_of("t")]

    def test_all_by_id_leaves_out_what_is_gone(self, world: World) -> None:
        world.commit({("t", 0): 1, ("u", 0): 1})
        del world.topics.partitions["u"]
        assert [each.name for each in world.fetch_group(None, version=10).topics] == ["t"]
        assert [each.name for each in world.fetch_group(None, version=9).topics] == ["t", "u"]

    @pytest.mark.parametrize("version", range(1, 8))
    def test_one_group(self, world: World, version: int) -> None:
        world.commit({("t", 0): 4})
        request = OffsetFetchRequest(group_id="g", topics=[OffsetFetchRequestTopic(name="t", partition_indexes=[0, 1])])
        context = world.context(ApiKey.OFFSET_FETCH, version)
        response = value(start(offset_fetch(request, context, world.coordinator)))
        assert [each.committed_offset for each in response.topics[0].partitions] == [4, -1]

    @pytest.mark.parametrize(("version", "top", "inner"), [(1, 0, [16]), (2, 16, [])])
    def test_an_error_of_the_group(self, version: int, top: int, inner: list[int]) -> None:
        world = World()
        world.offsets_topic.partitions = None
        request = OffsetFetchRequest(group_id="g", topics=[OffsetFetchRequestTopic(name="t", partition_indexes=[0])])
        context = world.context(ApiKey.OFFSET_FETCH, version)
        response = value(start(offset_fetch(request, context, world.coordinator)))
        assert response.error_code == top
        assert [each.error_code for topic in response.topics for each in topic.partitions] == inner


class TestDelete:
    def test_an_empty_group(self, world: World) -> None:
        world.commit({("t", 0): 1, ("t", 1): 1})
        deleted = world.delete_offsets({"t": [0, 9], "nope": [0]})
        codes = {
            (topic.name, each.partition_index): each.error_code for topic in deleted.topics for each in topic.partitions
        }
        assert codes == {("t", 0): 0, ("t", 9): 3, ("nope", 0): 3}
        assert world.fetch(None) == {("t", 1): 1}

    def test_subscribed(self, world: World) -> None:
        (member,) = world.stable()
        world.commit({("t", 0): 1, ("u", 0): 1}, member, 1)
        deleted = world.delete_offsets({"t": [0], "u": [0]})
        assert [each.error_code for topic in deleted.topics for each in topic.partitions] == [86, 0]
        assert world.fetch(None) == {("t", 0): 1}

    def test_refusals(self, world: World) -> None:
        assert world.delete_offsets({"t": [0]}).error_code == ErrorCode.GROUP_ID_NOT_FOUND
        assert world.delete_offsets({"t": [0]}, "").error_code == ErrorCode.INVALID_GROUP_ID
        world.stable(protocol_type="connect", protocols={"c": b""})
        assert world.delete_offsets({"t": [0]}).error_code == ErrorCode.NON_EMPTY_GROUP

    def test_deleted_topics_lose_their_offsets(self, world: World) -> None:
        world.commit({("t", 0): 1, ("u", 0): 2})
        world.coordinator.topics_deleted([("t", FixedTopics.id_of("t")), ("u", b"another id of u!")])
        assert world.fetch(None) == {("u", 0): 2}


class TestRetention:
    """`offsets.retention.minutes` is 7 days; looked after every 10 minutes."""

    def test_a_simple_group_from_the_commit_on(self, world: World) -> None:
        world.commit({("t", 0): 1})
        world.clock.advance(4 * DAY_MS)
        world.commit({("t", 1): 1})
        world.clock.advance(3 * DAY_MS + 600_000)
        assert world.fetch(None) == {("t", 1): 1}
        world.clock.advance(4 * DAY_MS + 600_000)
        assert world.state() == "Dead"
        assert world.group_records("g")[-1].value is None

    def test_an_empty_group_from_when_it_became_empty(self, world: World) -> None:
        (member,) = world.stable(session_ms=1_800_000)
        world.commit({("t", 0): 1}, member, 1)
        for _ in range(8 * 24 * 4):
            world.clock.advance(900_000)
            assert world.heartbeat(member, 1) is ErrorCode.NONE
        world.leave((member, None))
        world.clock.advance(7 * DAY_MS - 700_000)
        assert world.fetch(None) == {("t", 0): 1}
        world.clock.advance(1_400_000)
        assert world.state() == "Dead"

    def test_a_live_group_loses_what_it_no_longer_wants(self, world: World) -> None:
        (member,) = world.stable(session_ms=1_800_000, protocols={"range": subscription("t")})
        world.commit({("t", 0): 1, ("u", 0): 1}, member, 1)
        for _ in range(8 * 24 * 4):
            world.clock.advance(900_000)
            world.heartbeat(member, 1)
        assert world.fetch(None) == {("t", 0): 1}
        assert world.state() == "Stable"

    def test_a_retention_of_its_own(self, world: World) -> None:
        world.commit({("t", 0): 1}, version=4, retention_ms=3_600_000)
        world.clock.advance(3_000_000)
        assert world.fetch(None) == {("t", 0): 1}
        world.clock.advance(1_200_000)
        assert world.fetch(None) == {}

    def test_a_retention_without_end(self, world: World) -> None:
        world.commit({("t", 0): 1}, version=4, retention_ms=2**63 - 1)
        world.clock.advance(100 * DAY_MS)
        assert world.fetch(None) == {("t", 0): 1}

    def test_many_expiring_offsets_are_split_into_batches(self) -> None:
        world = World(GroupConfig(offsets_retention_minutes=1), t=50)
        world.commit({("t", index): index for index in range(50)})
        world.log_of("g").max_batch_bytes = 400
        world.clock.advance(700_000)
        assert world.state() == "Dead"
        assert len(world.log_of("g").batches) > 5
        assert all(len(batch) <= 400 for batch in world.log_of("g").batches[1:])
