"""Random lives of a cluster's nodes: stopped, killed, isolated, frozen, brought back, while records are appended.

After every step the image makes sense, no replica that could follow is behind, and what was acknowledged to acks=all is
there, unless an unclean election or a lost tail was asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import TypeVar

import pytest
from attrs import define, field
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from broker.addresses import Endpoint
from broker.clock import ManualClock
from broker.cluster import Cluster
from broker.config.broker_config import BrokerConfig
from broker.controller.controller import NewTopic, Reassignment
from broker.controller.image import PartitionImage
from broker.deferred import Deferred, start
from broker.metadata_log import read_log
from broker.nodes import lifecycle
from broker.nodes.node import RUNNING, Node
from broker.nodes.spec import node_specs
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.records import iter_batches, read_records
from tests.broker.cluster_helpers import batch
from tests.crash.fault_storage import FaultStorage

T = TypeVar("T")
NODES = (1, 2, 3, 4)
TOPICS = {
    "plain": {},
    "two": {"min.insync.replicas": "2"},
    "unclean": {"unclean.leader.election.enable": "true"},
}
PARTITIONS = 2

a_node = st.sampled_from(NODES)
a_partition = st.tuples(st.sampled_from(sorted(TOPICS)), st.integers(0, PARTITIONS - 1))
Key = tuple[str, int]


@define
class Known:
    """Of one partition. acknowledged: values by offset; pending: what is not answered yet."""

    acknowledged: dict[int, bytes] = field(factory=dict)
    pending: list[tuple[int, bytes, Deferred[None]]] = field(factory=list)
    leader_epoch: int = -1


class NodeLives(RuleBasedStateMachine):
    @initialize(seed=st.integers(0, 2**32))
    def begin(self, seed: int) -> None:
        self.clock = ManualClock()
        config = BrokerConfig({"log.dirs": "/data", "log.retention.ms": "-1"})
        self.cluster = Cluster(
            config, self.clock, Random(seed), in_place, FaultStorage(), None, node_specs(len(NODES), ["a", "b"])
        )
        self.cluster.open()
        self.cluster.register(
            {each: [Endpoint("PLAINTEXT", "PLAINTEXT", "127.0.0.1", 9090 + each, None)] for each in NODES}
        )
        self.cluster.start()
        topics = [NewTopic(name, PARTITIONS, 3, configs=list(configs.items())) for name, configs in TOPICS.items()]
        for created in value(start(self.cluster.controller.create_topics(topics))):
            assert created.error is None, created
        self.known = {(name, index): Known() for name in TOPICS for index in range(PARTITIONS)}
        self.written = 0

    def teardown(self) -> None:
        if hasattr(self, "cluster"):
            self.cluster.stop()
            self.cluster.close()

    # What a person may do

    @rule(node=a_node, kill=st.booleans())
    def stop(self, node: int, kill: bool) -> None:
        lifecycle.stop(self.cluster.nodes[node], kill=kill)

    @rule(node=a_node)
    def start(self, node: int) -> None:
        self.order(lifecycle.start, node)

    @rule(node=a_node)
    def isolate(self, node: int) -> None:
        self.order(lifecycle.isolate, node)

    @rule(node=a_node)
    def heal(self, node: int) -> None:
        self.order(lifecycle.heal, node)

    @rule(node=a_node)
    def freeze(self, node: int) -> None:
        lifecycle.freeze(self.cluster.nodes[node])

    @rule(node=a_node)
    def run(self, node: int) -> None:
        lifecycle.run(self.cluster.nodes[node])

    def order(self, order: Callable[[Node], None], node: int) -> None:
        with suppress(lifecycle.NodeStateError):
            order(self.cluster.nodes[node])

    @rule(ms=st.sampled_from([100, 15_000, 30_000, 300_000]))
    def time_passes(self, ms: int) -> None:
        self.clock.advance(ms)

    @rule(key=a_partition, node=a_node, unclean=st.booleans())
    def elect(self, key: Key, node: int, unclean: bool) -> None:
        described = self.described(key)
        risky = unclean and node not in described.isr
        able = node in described.replicas and self.cluster.nodes[node].state == RUNNING
        if not able or (node not in (*described.isr, *described.elr) and not unclean):
            with pytest.raises(ApiError):
                lifecycle.elect(self.cluster, *key, node, unclean=unclean)
            return
        value(lifecycle.elect(self.cluster, *key, node, unclean=unclean))
        assert self.described(key).leader == node
        if risky:
            self.forgive(key)

    @rule(election_type=st.sampled_from([0, 1]))
    def elect_everywhere(self, election_type: int) -> None:
        leaderless = [key for key in self.known if self.described(key).leader < 0]
        value(start(self.cluster.controller.elect_leaders(election_type, None)))
        if election_type == 1:
            for key in leaderless:
                self.forgive(key)

    @rule(key=a_partition, replicas=st.lists(a_node, min_size=1, max_size=3, unique=True))
    def reassign(self, key: Key, replicas: list[int]) -> None:
        wanted = Reassignment(*key, tuple(replicas))
        (result,) = value(start(self.cluster.controller.alter_reassignments([wanted])))
        assert result.error is None, result

    @rule(key=a_partition)
    def cancel_reassignment(self, key: Key) -> None:
        value(start(self.cluster.controller.alter_reassignments([Reassignment(*key, None)])))
        if key[0] == "unclean":
            self.forgive(key)

    @rule(key=a_partition, records=st.integers(1, 3))
    def lose_tail(self, key: Key, records: int) -> None:
        if self.described(key).leader >= 0:
            lifecycle.lose_tail(self.cluster, *key, records)
            self.forgive(key)

    # What clients do

    @rule(key=a_partition, acks=st.sampled_from([-1, -1, 1]))
    def produce(self, key: Key, acks: int) -> None:
        described = self.described(key)
        for node in self.cluster.nodes.values():
            if node.state == RUNNING and described.leader != node.node_id:
                with pytest.raises(ApiError) as refused:
                    node.partitions.get(*key)
                assert refused.value.code is ErrorCode.NOT_LEADER_OR_FOLLOWER
        assert self.cluster.router is not None
        partition = self.cluster.router.get(*key)
        if partition is None:
            assert described.leader < 0
            return
        if partition.under_min_isr and acks == -1:
            return
        self.written += 1
        text = b"%d" % self.written
        info = partition.append(batch(text, timestamp=self.clock.now_ms()))
        if acks == -1:
            known = self.known[key]
            known.pending.append((info.first_offset, text, partition.committed(info.last_offset + 1, 10_000)))

    # What holds

    @invariant()
    def the_image_makes_sense(self) -> None:
        if not hasattr(self, "cluster"):
            return
        replicas = self.cluster.replicas
        assert replicas is not None
        for key, known in self.known.items():
            described = self.described(key)
            assert set(described.isr) <= set(described.replicas), (key, described)
            assert described.leader_epoch >= known.leader_epoch, (key, described)
            known.leader_epoch = described.leader_epoch
            if described.leader < 0:
                able = [each for each in described.isr if self.cluster.nodes[each].state == RUNNING]
                assert not able, (key, described)
                continue
            assert self.cluster.nodes[described.leader].state == RUNNING, (key, described)
            assert described.leader in described.isr, (key, described)
            for each in described.replicas:
                if replicas.is_fetching(each):
                    assert each in described.isr, (key, each, described)
                    assert replicas.end_of(*key, each) == self.log_end(key)
            for each in described.isr:
                assert self.cluster.nodes[each].state == RUNNING, (key, each, described)

    @invariant()
    def the_acknowledged_is_there(self) -> None:
        if not hasattr(self, "cluster"):
            return
        for key, known in self.known.items():
            pending, known.pending = known.pending, []
            for offset, text, committed in pending:
                if not committed.done:
                    known.pending.append((offset, text, committed))
                elif not _failed(committed) and key[0] != "unclean":  # there whoever is left may lead
                    known.acknowledged[offset] = text
            if not known.acknowledged:
                continue
            log = self.cluster.manager.opened(*key)
            assert log is not None
            assert log.high_watermark > max(known.acknowledged), (key, log.high_watermark, known)
            there = self.values(key)
            for offset, text in known.acknowledged.items():
                assert there.get(offset) == text, (key, offset, text, there)

    @invariant()
    def committed_is_on_all_in_sync(self) -> None:
        if not hasattr(self, "cluster"):
            return
        replicas = self.cluster.replicas
        assert replicas is not None
        for key in self.known:
            log = self.cluster.manager.opened(*key)
            if log is not None and self.described(key).leader >= 0:
                for each in self.described(key).isr:
                    assert replicas.end_of(*key, each) >= log.high_watermark, (key, each, self.described(key))

    def described(self, key: Key) -> PartitionImage:
        found = self.cluster.controller.image.partition(*key)
        assert found is not None
        return found

    def log_end(self, key: Key) -> int:
        log = self.cluster.manager.opened(*key)
        return 0 if log is None else log.log_end_offset

    def values(self, key: Key) -> dict[int, bytes | None]:
        log = self.cluster.manager.opened(*key)
        assert log is not None
        found: dict[int, bytes | None] = {}
        for chunk in read_log(log):
            for header in iter_batches(chunk):
                for at, record in enumerate(read_records(chunk, header.position)):
                    found[header.base_offset + at] = record.value
        return found

    def forgive(self, key: Key) -> None:
        """Records may have been lost on purpose: what is left is what counts."""
        known = self.known[key]
        log = self.cluster.manager.opened(*key)
        there = {} if log is None else self.values(key)
        known.acknowledged = {offset: text for offset, text in known.acknowledged.items() if there.get(offset) == text}


def in_place(fn: Callable[[], None]) -> Deferred[None]:
    """Blocking work, done at once."""
    done: Deferred[None] = Deferred()
    try:
        done.resolve(fn())
    except Exception as error:
        done.fail(error)
    return done


def _failed(committed: Deferred[None]) -> bool:
    try:
        committed.result()
    except ApiError:
        return True
    return False


def value(deferred: Deferred[T]) -> T:
    """The result of what is done by now."""
    assert deferred.done
    return deferred.result()


TestNodeLives = NodeLives.TestCase
TestNodeLives.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
