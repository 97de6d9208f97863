"""Random lives of a group: members that come, crash, are replaced; a broker that restarts; a slow commit.

After every step the shard's durable state is what replaying its log gives, and the group's books agree with each other.
Left alone, whoever is alive ends in one stable generation with the assignment the leader gave.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from broker.coordinator.shard import ShardStatus
from broker.deferred import Deferred
from broker.group import force
from broker.group.classic_group import ClassicGroup
from broker.group.config import GroupConfig
from broker.group.decision import Decision, Waiter
from broker.group.durable import DurableState
from broker.group.records import GroupRecord
from broker.group.states import COMPLETING_REBALANCE, EMPTY, PREPARING_REBALANCE, STABLE
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from tests.broker.coordinator.group_world import World, subscription

GROUP = "g"
SESSION_MS = 10_000
REBALANCE_MS = 15_000
RETRIABLE = (ErrorCode.REBALANCE_IN_PROGRESS, ErrorCode.NOT_COORDINATOR, ErrorCode.COORDINATOR_NOT_AVAILABLE)


class Client:
    """A consumer as clients are written: joins, syncs, heartbeats, and joins again when told to."""

    def __init__(self, world: World, name: str, instance: str | None, version: int) -> None:
        self.world = world
        self.name = name
        self.instance = instance
        self.version = version
        self.topics = ["t"]
        self.fenced = False
        self.forget()

    def forget(self) -> None:
        """The connection is gone, and with it what was asked."""
        self.member_id = ""
        self.reset()

    def reset(self) -> None:
        self.generation = -1
        self.joining: Deferred[Any] | None = None
        self.syncing: Deferred[Any] | None = None
        self.assignment: bytes | None = None

    def act(self) -> None:
        """One step: look at what was answered, then do what is due."""
        if self.fenced:
            return
        if self.joining is not None:
            if self.joining.done:
                self.joined()
        elif self.syncing is not None:
            if self.syncing.done:
                self.synced()
        elif self.assignment is not None:
            self.beat()
        else:
            self.join()

    def join(self) -> None:
        self.joining = self.world.join(
            GROUP,
            self.member_id,
            version=self.version,
            instance=self.instance if self.version >= 5 else None,
            protocols={"range": subscription(*self.topics)},
            session_ms=SESSION_MS,
            rebalance_ms=REBALANCE_MS,
        )

    def joined(self) -> None:
        assert self.joining is not None
        answer = self.joining.result()
        self.reset()
        code = ErrorCode(answer.error_code)
        if code is ErrorCode.MEMBER_ID_REQUIRED:
            self.member_id = answer.member_id
        elif code is ErrorCode.UNKNOWN_MEMBER_ID:
            self.member_id = ""
        elif code is ErrorCode.FENCED_INSTANCE_ID:
            self.fenced = True
        elif code is ErrorCode.NONE:
            self.member_id, self.generation = answer.member_id, answer.generation_id
            assert (answer.leader == answer.member_id) or not answer.members
            listed = [each.member_id for each in answer.members]
            assert len(listed) == len(set(listed))
            assignments = {each: f"{each}@{self.generation}".encode() for each in listed}
            if answer.skip_assignment:
                assignments = {}
            self.syncing = self.world.sync(
                self.member_id, self.generation, assignments, GROUP, instance=self.instance, protocol="range"
            )
        else:
            assert code in RETRIABLE, code

    def synced(self) -> None:
        assert self.syncing is not None
        answer = self.syncing.result()
        generation = self.generation
        self.reset()
        code = ErrorCode(answer.error_code)
        if code is ErrorCode.NONE:
            self.generation, self.assignment = generation, answer.assignment
        else:
            self.refused(code)

    def beat(self) -> None:
        code = self.world.heartbeat(self.member_id, self.generation, GROUP, self.instance)
        if code is not ErrorCode.NONE:
            self.reset()
            self.refused(code)

    def refused(self, code: ErrorCode) -> None:
        if code in (ErrorCode.UNKNOWN_MEMBER_ID, ErrorCode.ILLEGAL_GENERATION):
            self.member_id = ""
        elif code is ErrorCode.FENCED_INSTANCE_ID:
            self.fenced = True
        else:
            assert code in RETRIABLE, code


class GroupLife(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.clients: list[Client] = []
        self.count = 0
        self.generation = 0
        self.restarted = False

    @initialize(
        delay_ms=st.sampled_from([0, 3000]),
        statics=st.lists(st.booleans(), min_size=1, max_size=3),
        seconds=st.sampled_from([0, 10, 10]),
    )
    def begin(self, delay_ms: int, statics: list[bool], seconds: int) -> None:
        self.world = World(GroupConfig(group_initial_rebalance_delay_ms=delay_ms), t=3, u=2)
        self.log = self.world.log_of(GROUP)
        for static in statics:
            self.client_comes(static, 9)
        self.life_goes_on(seconds)

    @property
    def group(self) -> ClassicGroup | None:
        return self.world.shard_of(GROUP).state.groups.get(GROUP)

    # Clients

    @precondition(lambda self: len(self.clients) < 5)
    @rule(static=st.booleans(), version=st.sampled_from([3, 8, 9]))
    def client_comes(self, static: bool, version: int) -> None:
        self.count += 1
        instance = f"i{self.count}" if static and version >= 5 else None
        client = Client(self.world, f"c{self.count}", instance, version)
        self.clients.append(client)
        client.act()

    @precondition(lambda self: self.clients)
    @rule(data=st.data())
    def client_acts(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.clients)).act()

    @precondition(lambda self: self.clients)
    @rule(times=st.integers(1, 8), others=st.randoms(use_true_random=False))
    def all_act(self, times: int, others: Random) -> None:
        """In any order, several times: this is how groups come to be stable."""
        for _ in range(times):
            for client in others.sample(self.clients, len(self.clients)):
                client.act()
            self.world.settle()

    @precondition(lambda self: self.clients)
    @rule(times=st.integers(10, 40))
    def life_goes_on(self, times: int) -> None:
        for _ in range(times):
            for client in self.clients:
                client.act()
            self.world.clock.advance(1000)

    @precondition(lambda self: len(self.clients) > 1)
    @rule(data=st.data(), politely=st.booleans())
    def client_goes(self, data: st.DataObject, politely: bool) -> None:
        """It crashes, or it leaves first."""
        client = data.draw(st.sampled_from(self.clients))
        if politely and client.member_id and not self.log.hold:
            self.world.leave((client.member_id, client.instance), group=GROUP)
        self.clients.remove(client)

    @rule(data=st.data())
    def all_crash_in_the_end(self, data: st.DataObject) -> None:
        if data.draw(st.integers(0, 9)) == 9:
            self.clients.clear()

    @precondition(lambda self: self.clients)
    @rule(data=st.data())
    def client_restarts(self, data: st.DataObject) -> None:
        """It forgets its id; a static one takes its old place."""
        client = data.draw(st.sampled_from(self.clients))
        client.forget()
        client.act()

    @precondition(lambda self: self.clients)
    @rule(data=st.data())
    def client_subscribes_anew(self, data: st.DataObject) -> None:
        client = data.draw(st.sampled_from(self.clients))
        client.topics = data.draw(st.lists(st.sampled_from("tu"), unique=True))
        if client.joining is None and client.syncing is None:
            client.reset()
            client.join()

    @precondition(lambda self: self.clients)
    @rule(data=st.data(), offset=st.integers(0, 9))
    def client_commits(self, data: st.DataObject, offset: int) -> None:
        client = data.draw(st.sampled_from(self.clients))
        self.world.commit_later(
            {("t", offset % 3): offset}, client.member_id, client.generation, GROUP, instance=client.instance
        )

    @rule()
    def commits_without_a_member(self) -> None:
        self.world.commit_later({("u", 0): 1}, group=GROUP)

    # Somebody at the controls

    @rule()
    def a_rebalance_is_forced(self) -> None:
        group = self.group
        stood = group is not None and group.state in (STABLE, COMPLETING_REBALANCE)
        begun = self.force(force.rebalance)
        if isinstance(begun, ErrorCode):
            assert begun in (ErrorCode.GROUP_ID_NOT_FOUND, ErrorCode.INVALID_REQUEST)
            assert group is None or not group.members
        else:
            assert begun == stood

    @rule(data=st.data())
    def a_member_is_put_out(self, data: st.DataObject) -> None:
        group = self.group
        known = [] if group is None else [*group.members, *group.pending_join, *group.static_members]
        member = data.draw(st.sampled_from(["nobody", *sorted(known)]))
        member_id = self.force(partial(force.evict, member=member))
        if isinstance(member_id, ErrorCode):
            assert member_id in (ErrorCode.GROUP_ID_NOT_FOUND, ErrorCode.UNKNOWN_MEMBER_ID)
            assert member not in known
        else:
            assert group is not None
            assert member_id not in group.members
            assert member_id not in group.pending_join

    def force(self, decide: Callable[..., Any]) -> Any:
        """What it decides, or the code it refuses with; the answer may wait for a commit."""
        shard = self.world.shard_of(GROUP)
        answers: list[Any] = []

        def operate(waiter: Waiter, decision: Decision) -> None:
            answers.append(decide(shard.state, GROUP, decision=decision))
            decision.answer(waiter, answers[-1])

        try:
            shard.submit(operate)
        except ApiError as error:
            return error.code
        return answers[0]

    # The world

    @rule(ms=st.sampled_from([0, 1, 2_999, 5_000, 10_000, 15_000, 300_000]))
    def time_passes(self, ms: int) -> None:
        self.world.clock.advance(ms)

    @rule()
    def commits_are_slow(self) -> None:
        self.log.hold = True

    @rule()
    def commits_come(self) -> None:
        self.log.hold = False
        self.log.commit()

    @rule()
    def the_broker_restarts(self) -> None:
        self.restart(len(self.log.batches))

    @rule(data=st.data())
    def the_broker_restarts_without_what_was_not_committed(self, data: st.DataObject) -> None:
        waiting = len(self.log.waiting)
        self.restart(len(self.log.batches) - data.draw(st.integers(0, waiting)))

    def restart(self, kept: int) -> None:
        del self.log.batches[kept:]
        self.log.waiting.clear()
        self.log.hold = False
        self.log.end = sum(1 for _ in self.log.records())
        self.world.restart()
        self.generation = 0
        self.restarted = True
        for client in self.clients:
            # Their connections are gone with their questions; what they know of the group they keep.
            if client.joining is not None or client.syncing is not None:
                client.reset()

    # What always holds

    @invariant()
    def the_durable_state_is_the_replayed_log(self) -> None:
        shard = self.world.shard_of(GROUP)
        assert shard.status is ShardStatus.ACTIVE
        replayed = DurableState()
        for record in self.log.records():
            replayed.replay(record)
        assert shard.state.durable == replayed

    @invariant()
    def every_record_can_be_loaded(self) -> None:
        for record in self.log.records()[-1:]:
            if isinstance(record, GroupRecord) and record.value is not None:
                loaded = ClassicGroup.from_stored(GROUP, record.value)
                assert loaded.state is (STABLE if record.value.members else EMPTY)
                assert set(loaded.members) == {each.member_id for each in record.value.members}
                check_books(loaded)

    @invariant()
    def the_books_agree(self) -> None:
        group = self.group
        if group is not None:
            check_books(group)
            assert group.generation >= self.generation
            self.generation = group.generation
        else:
            self.generation = 0

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        self.commits_come()
        for _ in range(700):
            for client in self.clients:
                if client.fenced:
                    self.start_again(client)
                client.act()
            self.world.clock.advance(1000)
            if self.is_settled():
                break
        group = self.group
        states = [(client.name, client.member_id, client.generation) for client in self.clients]
        assert self.is_settled(), f"the group does not settle: {group.state if group else None}, {states}"
        for client in self.clients:
            assert group is not None
            assert client.assignment == f"{client.member_id}@{client.generation}".encode() or client.instance

    def start_again(self, client: Client) -> None:
        """A fenced client, which is not to try again by itself.

        The broker told it a new id during a rebalance, and was killed before that was stored: as in Kafka, its old id
        is back and fences it.
        """
        assert self.restarted, f"{client.name} is fenced, but nobody took its place"
        client.fenced = False
        client.forget()

    def is_settled(self) -> bool:
        group = self.group
        if not self.clients:
            return group is None or group.state is EMPTY
        alive = {client.member_id for client in self.clients}
        return (
            group is not None
            and group.state is STABLE
            and set(group.members) == alive
            and all(client.assignment is not None and client.generation == group.generation for client in self.clients)
        )


def check_books(group: ClassicGroup) -> None:
    members = group.members
    assert group.awaiting_join_count == sum(member.awaiting_join is not None for member in members.values())
    statics = {member.instance_id: member.member_id for member in members.values() if member.instance_id is not None}
    assert group.static_members == statics
    assert not group.pending_join & set(members)
    counts: dict[str, int] = {}
    for member in members.values():
        for name, _ in member.protocols:
            counts[name] = counts.get(name, 0) + 1
    assert group.protocol_counts == counts
    assert (group.leader in members) if members else (group.leader is None)
    if group.state is EMPTY:
        assert not members
    if group.state in (COMPLETING_REBALANCE, STABLE):
        assert members
        assert group.protocol in counts
    if group.state is not COMPLETING_REBALANCE:
        assert all(member.awaiting_sync is None for member in members.values())
    if group.state is PREPARING_REBALANCE:
        assert group.previous_state in (EMPTY, STABLE, COMPLETING_REBALANCE)


TestGroupLife = GroupLife.TestCase
TestGroupLife.settings = settings(stateful_step_count=40, deadline=None)
