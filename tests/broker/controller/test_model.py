"""Random histories against a plain model; what is replayed is what was live; a restart at every batch."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from attrs import asdict
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.controller.controller import AlterOp, ConfigResource, Controller, MorePartitions, NewTopic, Reassignment
from broker.controller.image import ClusterImage
from broker.controller.replay import Replayer
from broker.deferred import start
from kwire.errors import ApiError
from tests.broker.controller.controller_world import CLUSTER_ID, MemoryLog, make_controller, registration, running

NODES = 3
NAMES = st.sampled_from(["a", "b", "c.d", "c_d", "bad name"])
NODE = st.integers(1, NODES)
KEYS = st.sampled_from(["retention.ms", "cleanup.policy", "min.insync.replicas", "unclean.leader.election.enable", "?"])
VALUES = {
    "retention.ms": ["1", "2", "x"],
    "cleanup.policy": ["delete", "compact"],
    "min.insync.replicas": ["1", "2", "3"],
    "unclean.leader.election.enable": ["true", "false"],
    "?": ["?"],
}

OPERATIONS = st.one_of(
    st.tuples(st.just("create"), NAMES, st.integers(1, 4), st.integers(1, NODES)),
    st.tuples(st.just("delete"), NAMES),
    st.tuples(st.just("grow"), NAMES, st.integers(1, 6)),
    st.tuples(st.just("set"), NAMES, KEYS, st.integers(0, 2)),
    st.tuples(st.just("unset"), NAMES, KEYS),
    st.tuples(st.just("replace"), NAMES, st.lists(KEYS, unique=True, max_size=2)),
    st.tuples(st.just("fence"), NODE),
    st.tuples(st.just("unfence"), NODE),
    st.tuples(st.just("reassign"), NAMES, st.integers(0, 3), st.lists(NODE, unique=True, min_size=1)),
    st.tuples(st.just("cancel"), NAMES, st.integers(0, 3)),
    st.tuples(st.just("assign"), NAMES, st.integers(0, 3)),
    st.tuples(st.just("elect"), st.integers(0, 1)),
    st.tuples(st.just("ids")),
    st.tuples(st.just("stop")),
    st.tuples(st.just("crash")),
)


def described(image: ClusterImage) -> dict[str, Any]:
    """Everything durable, comparable."""
    return {
        "topics": [(t.name, t.topic_id, dict(t.configs), [asdict(p) for p in t.partitions]) for t in image.topics()],
        "by id": sorted((i.hex(), t.name) for t in image.topics() for i in [t.topic_id] if image.topic_by_id(i) is t),
        "configs": {resource: dict(image.configs(*resource)) for resource in image.config_resources()},
        "features": image.features,
        "brokers": image.brokers,
        "controllers": image.controllers,
        "reassigning": image.reassigning,
        "producer ids": image.next_producer_id,
        "collisions": image._collisions,
    }


def check(image: ClusterImage) -> None:
    """What must hold whatever happened."""
    for topic in image.topics():
        for index, partition in enumerate(topic.partitions):
            where = f"{topic.name}-{index}: {partition}"
            assert set(partition.isr) <= set(partition.replicas), where
            assert not set(partition.isr) & set(partition.elr), where
            assert len(partition.directories) == len(partition.replicas), where
            assert len(set(partition.replicas)) == len(partition.replicas), where
            assert set(partition.adding_replicas) | set(partition.removing_replicas) <= set(partition.replicas), where
            if partition.leader == -1:
                assert not partition.isr, where
            else:
                assert partition.leader in partition.isr, where
                assert image.is_active(partition.leader), where
            assert (index in image.reassigning.get(topic.topic_id, ())) == partition.is_reassigning, where


class History:
    """A controller and its model: topic -> (partitions, configs)."""

    def __init__(self) -> None:
        self.log = MemoryLog()
        self.controller: Controller
        self.controller, _ = running(self.log, NODES)
        self.model: dict[str, tuple[int, dict[str, str]]] = {}
        self.next_id = 0
        self.epochs: dict[tuple[bytes, int], tuple[int, int]] = {}

    def step(self, name: str, *args: Any) -> None:
        getattr(self, name)(*args)
        image = self.controller.image
        check(image)
        seen = {t.name: (len(t.partitions), dict(t.configs)) for t in image.topics()}
        assert seen == self.model
        epochs = {
            (t.topic_id, i): (p.leader_epoch, p.partition_epoch)
            for t in image.topics()
            for i, p in enumerate(t.partitions)
        }
        for key, before in self.epochs.items():
            after = epochs.get(key, before)
            assert after[0] >= before[0]
            assert after[1] >= before[1]
        self.epochs = epochs

    def run(self, operation: Any) -> Any:
        return start(operation).result()

    def create(self, name: str, partitions: int, factor: int) -> None:
        (created,) = self.run(self.controller.create_topics([NewTopic(name, partitions, factor)]))
        collides = any(n != name and n.replace(".", "_") == name.replace(".", "_") for n in self.model)
        none_active = not any(map(self.controller.image.is_active, range(1, NODES + 1)))
        wrong = name in self.model or collides or " " in name or none_active
        assert (created.error is not None) == wrong, created
        if not wrong:
            self.model[name] = (partitions, {})

    def delete(self, name: str) -> None:
        topic = self.controller.image.topic_by_name(name)
        if topic is None:
            assert name not in self.model
            return
        assert self.run(self.controller.delete_topics([topic.topic_id])) == {topic.topic_id: None}
        del self.model[name]

    def grow(self, name: str, count: int) -> None:
        (error,) = self.run(self.controller.create_partitions([MorePartitions(name, count)]))
        if error is None:
            before, configs = self.model[name]
            assert count > before
            self.model[name] = (count, configs)

    def set(self, name: str, key: str, choice: int) -> None:
        values = VALUES[key]
        value = values[choice % len(values)]
        change = {ConfigResource(2, name): [(key, AlterOp.SET, value)]}
        (error,) = self.run(self.controller.incremental_alter_configs(change)).values()
        assert (error is not None) == (name not in self.model or value in ("x", "?"))
        if error is None:
            self.model[name][1][key] = value

    def unset(self, name: str, key: str) -> None:
        change = {ConfigResource(2, name): [(key, AlterOp.DELETE, None)]}
        (error,) = self.run(self.controller.incremental_alter_configs(change)).values()
        assert (error is not None) == (name not in self.model)
        if error is None:
            self.model[name][1].pop(key, None)

    def replace(self, name: str, keys: list[str]) -> None:
        wanted = {key: VALUES[key][0] for key in keys}
        (error,) = self.run(self.controller.alter_configs({ConfigResource(2, name): wanted})).values()
        assert (error is not None) == (name not in self.model or "?" in keys)
        if error is None:
            self.model[name] = (self.model[name][0], wanted)

    def fence(self, node: int) -> None:
        self.controller.fence_broker(node)

    def unfence(self, node: int) -> None:
        self.controller.unfence_broker(node)
        assert self.controller.image.is_active(node)

    def reassign(self, name: str, index: int, replicas: list[int]) -> None:
        self.run(self.controller.alter_reassignments([Reassignment(name, index, tuple(replicas))]))

    def cancel(self, name: str, index: int) -> None:
        self.run(self.controller.alter_reassignments([Reassignment(name, index, None)]))

    def assign(self, name: str, index: int) -> None:
        with suppress(ApiError):
            self.run(self.controller.assign_directory(name, index, b"another director"))

    def elect(self, kind: int) -> None:
        self.run(self.controller.elect_leaders(kind, None))

    def ids(self) -> None:
        block = self.run(self.controller.allocate_producer_ids(1))
        assert block.start == self.next_id
        self.next_id = block.stop

    def stop(self) -> None:
        for node in range(1, NODES + 1):
            self.controller.shut_down_broker(node)
        self.restart(clean=True)

    def crash(self) -> None:
        self.restart(clean=False)

    def restart(self, *, clean: bool) -> None:
        live = described(self.controller.image)
        self.controller, _ = make_controller(self.log)
        self.controller.load()
        assert described(self.controller.image) == live
        self.controller.become_leader()
        for node in range(1, NODES + 1):
            epoch = self.controller.image.brokers[node].epoch if clean else -1
            self.controller.register_broker(registration(node, previous_epoch=epoch))


@given(st.lists(OPERATIONS, max_size=25))
def test_any_history(operations: list[tuple[Any, ...]]) -> None:
    history = History()
    for operation in operations:
        history.step(*operation)
    history.restart(clean=False)


@settings(max_examples=settings.default.max_examples // 4)
@given(st.lists(OPERATIONS, max_size=12))
def test_a_start_after_every_batch(operations: list[tuple[Any, ...]]) -> None:
    """The log may end after any batch; what is there is taken up, and the cluster serves again."""
    history = History()
    for operation in operations:
        history.step(*operation)
    batches = history.log.batches
    for length in range(len(batches) + 1):
        log = MemoryLog()
        log.batches = batches[:length]
        log.end_offset = log.batches[-1][0] + len(log.batches[-1][1]) if length else 0
        controller, _ = running(log, NODES)
        check(controller.image)
        assert all(map(controller.image.is_active, range(1, NODES + 1)))


@settings(max_examples=settings.default.max_examples // 4)
@given(st.lists(OPERATIONS, max_size=12))
def test_replay_fits_at_every_record(operations: list[tuple[Any, ...]]) -> None:
    """Each record can follow those before it, one at a time."""
    history = History()
    for operation in operations:
        history.step(*operation)
    image = ClusterImage(CLUSTER_ID)
    replayer = Replayer(image)
    for _, record in history.log.read_all():
        replayer.feed([record])
    assert described(image) == described(history.controller.image)
