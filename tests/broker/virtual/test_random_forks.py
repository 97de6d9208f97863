"""Random lives of clusters that are forked, restored, exported and deleted, each beside a model of what is in it."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from random import Random

import pytest
import trio
import trio.testing
from attrs import define, field

from broker.virtual.export import read_snapshot, write_snapshot
from kwire.messages.delete_topics import DeleteTopicsRequest
from tests.broker.cluster_helpers import Client
from tests.broker.virtual.helpers import Plane, plane
from tests.broker.virtual.test_snapshots import commit, committed, delete_records

STEPS = 35
MOST = 6


@define
class Model:
    """By topic: where its log begins, and its values by offset. offset: what the group committed."""

    topics: dict[str, tuple[int, list[bytes]]] = field(factory=dict)
    offset: int = -1


class Life:
    """Clusters with their models; each step is one of `do_*`."""

    def __init__(self, p: Plane, random: Random, directory: Path) -> None:
        self.p = p
        self.random = random
        self.directory = directory
        self.models: dict[str, Model] = {}
        self.snapshots: dict[tuple[str, str], Model] = {}
        self.clients: dict[str, Client] = {}
        self.story: list[str] = []

    async def client(self, name: str) -> Client:
        if name not in self.clients:
            self.clients[name] = await self.p.connect(self.p.clusters.get(name))
        return self.clients[name]

    async def step(self) -> None:
        kinds = [each for each in dir(self) if each.startswith("do_")]
        kind = self.random.choice([*kinds, "do_produce", "do_produce", "do_produce"])
        names = list(self.models)
        name = self.random.choice(names) if names else ""
        if not names:
            kind = "do_create"
        self.story.append(f"{kind} {name}")
        await getattr(self, kind)(name)

    async def do_create(self, _name: str) -> None:
        if len(self.models) < MOST:
            made = await self.p.made(topics={"t": {"partitions": 1, "configs": {"segment.bytes": 1048576}}})
            self.models[made.name] = Model({"t": (0, [])})

    async def do_produce(self, name: str) -> None:
        model = self.models[name]
        topic = self.random.choice(list(model.topics))
        size = self.random.choice([10, 1000, 400_000])
        value = self.random.randbytes(size)
        answer = await (await self.client(name)).produce(topic, value)
        assert (answer.error_code, answer.base_offset) == (0, len(model.topics[topic][1]))
        model.topics[topic][1].append(value)

    async def do_topic(self, name: str) -> None:
        model, client = self.models[name], await self.client(name)
        if "u" in model.topics:
            answer = await client.send(DeleteTopicsRequest(topic_names=["u"], timeout_ms=1000), 3)
            assert answer.responses[0].error_code == 0
            del model.topics["u"]
        else:
            await client.create_topic("u")
            model.topics["u"] = (0, [])

    async def do_commit(self, name: str) -> None:
        self.models[name].offset = offset = self.random.randrange(100)
        await commit(await self.client(name), offset)

    async def do_delete_records(self, name: str) -> None:
        start, values = self.models[name].topics["t"]
        offset = self.random.randint(start, len(values))
        await delete_records(await self.client(name), offset)
        self.models[name].topics["t"] = (offset, values)

    async def do_snapshot(self, name: str) -> None:
        taken = self.p.clusters.take_snapshot(name)
        self.snapshots[name, taken.name] = deepcopy(self.models[name])

    async def do_fork(self, name: str) -> None:
        if len(self.models) >= MOST:
            return
        snapshot = self.random.choice([None, *[each for of, each in self.snapshots if of == name]])
        fork = self.p.clusters.fork(name, snapshot=snapshot)
        held = self.models[name] if snapshot is None else self.snapshots[name, snapshot]
        self.models[fork.name] = deepcopy(held)

    async def do_restore(self, name: str) -> None:
        mine = [each for of, each in self.snapshots if of == name]
        if mine:
            snapshot = self.random.choice(mine)
            self.clients.pop(name, None)
            self.p.clusters.restore(name, snapshot)
            self.models[name] = deepcopy(self.snapshots[name, snapshot])

    async def do_delete(self, name: str) -> None:
        if self.random.random() < 0.3:
            self.clients.pop(name, None)
            self.p.clusters.delete(name)
            del self.models[name]
            self.snapshots = {key: model for key, model in self.snapshots.items() if key[0] != name}

    async def do_export(self, name: str) -> None:
        if len(self.models) < MOST:
            path = str(self.directory / f"{len(self.story)}")
            write_snapshot(self.p.clusters.taken(name, None), path)
            taken = read_snapshot(path, self.p.clusters.empty_storage())
            self.models[self.p.clusters.open_snapshot(taken).name] = deepcopy(self.models[name])

    async def check(self) -> None:
        """Every cluster is what its model says."""
        for name, model in self.models.items():
            client = await self.client(name)
            image = self.p.clusters.get(name).cluster.controller.image
            assert {each.name for each in image.topics() if not each.name.startswith("__")} == set(model.topics), name
            for topic, (start, values) in model.topics.items():
                partition = self.p.clusters.get(name).cluster.partitions.get(topic, 0)
                assert partition is not None
                assert partition.log.log_start_offset == start, (name, topic)
                found: list[bytes | None] = []
                if start < len(values):
                    found = await values_from(client, topic, start)
                assert found == values[start:], (name, topic)
            if model.offset >= 0:
                assert await committed(client) == model.offset, name


async def values_from(client: Client, topic: str, offset: int) -> list[bytes | None]:
    from kwire.records import iter_batches, read_records

    found: list[bytes | None] = []
    while records := bytes((await client.fetch(topic, offset)).records or b""):
        for header in iter_batches(records, partial_tail=True):
            found += [record.value for record in read_records(records, header.position)]
            offset = header.last_offset + 1
    return found


@pytest.mark.parametrize("seed", range(6))
def test_random_lives(tmp_path: Path, seed: int) -> None:
    live(tmp_path, seed)


@pytest.mark.slow
def test_many_random_lives(tmp_path: Path) -> None:
    for seed in range(100, 300):
        (tmp_path / str(seed)).mkdir()
        live(tmp_path / str(seed), seed)


def live(directory: Path, seed: int) -> None:
    async def main() -> None:
        async with plane(directory / "data") as p:
            life = Life(p, Random(seed), directory)
            try:
                for number in range(STEPS):
                    await life.step()
                    if number % 5 == 4:
                        await life.check()
            except BaseException:
                print(f"seed {seed}:", *life.story, sep="\n")
                raise

    trio.run(main)
