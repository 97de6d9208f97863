"""Who and what is in a history, in whatever world: the topics, the clients, and the last word of the logs."""

from __future__ import annotations

import contextlib
from collections.abc import Coroutine
from typing import Any

from kwire.messages.create_topics import CreatableTopic, CreatableTopicConfig, CreateTopicsRequest
from kwire.messages.find_coordinator import FindCoordinatorRequest
from tests.history.clients.base import Client, World
from tests.history.clients.group import Committer, Member, read_offsets
from tests.history.clients.idempotent import IdempotentProducer
from tests.history.clients.reader import Reader
from tests.history.clients.transactional import TransactionalProducer
from tests.history.clients.transformer import Transformer
from tests.history.model import FinalLog, Place, Seen
from tests.history.network import DisconnectedError

TOPICS = ("t", "o")
PARTITIONS = 2


def all_places() -> list[Place]:
    return [(topic, index) for topic in TOPICS for index in range(PARTITIONS)]


async def create_topics(world: World, *, transactions: bool) -> None:
    """The topics the clients use, and those the broker uses for them."""
    admin = Client(world, "admin")
    for topic in TOPICS:
        configs = [CreatableTopicConfig(name="internal.segment.bytes", value="3000")]
        wanted = CreatableTopic(name=topic, num_partitions=PARTITIONS, replication_factor=1, configs=configs)
        request = CreateTopicsRequest(topics=[wanted], timeout_ms=1_000)
        response, code, _ = await admin.call_until(request, 7, lambda answer: answer.topics[0].error_code)
        assert code == 0, response
        world.topic_ids[topic] = response.topics[0].topic_id
    kinds = (0, 1) if transactions else (0,)
    for kind in kinds:  # this makes the internal topics
        find = FindCoordinatorRequest(key_type=kind, coordinator_keys=["g"])
        response, code, _ = await admin.call_until(find, 4, lambda answer: answer.coordinators[0].error_code)
        assert code == 0, response


def make_clients(world: World, *, transactions: bool) -> list[Coroutine[Any, Any, None]]:
    """One coroutine a client; each ends when the world stops."""
    t = [("t", index) for index in range(PARTITIONS)]
    o = [("o", index) for index in range(PARTITIONS)]
    both = t + o
    clients: list[Any] = [
        IdempotentProducer(world, "p1", t, 12),
        Reader(world, "r1", all_places(), committed_only=False),
        Reader(world, "r2", all_places(), committed_only=True),
        Committer(world, "c1", "g", t),
        Committer(world, "c2", "g", t),
    ]
    if not transactions:
        clients.append(IdempotentProducer(world, "p2", t, 13))
        return [client.run() for client in clients]
    generations = world.random.choice(((1, 2), (1, 1), (2, 2), (2, 1)))
    clients += [
        TransactionalProducer(world, "x1", "x", generations[0], both),
        TransactionalProducer(world, "x2", "x", generations[1], both),
        TransactionalProducer(world, "y1", "y", 2, both),
        TransactionalProducer(world, "z1", "z", 1, both),
    ]
    for number in (1, 2):
        name = f"e{number}"
        clients.append(Transformer(world, name, "e", 3 - number, group="one", inputs=t, outputs=o))
    for number in (1, 2):
        name = f"f{number}"
        member = Member(world, f"{name}.m", "two", t)
        clients.append(Transformer(world, name, name, number, group="two", inputs=t, outputs=o, member=member))
    world.history.transforms |= {"one", "two"}
    return [client.run() for client in clients]


async def last_word(world: World) -> None:
    """Read everything there is, as both kinds of readers, and every group's offsets."""
    for committed_only in (False, True):
        reader = Reader(
            world, "final committed" if committed_only else "final", all_places(), committed_only=committed_only
        )
        for place in all_places():
            log = world.history.final.setdefault(place, FinalLog())
            while True:
                try:
                    entries = (await reader.poll([place], max_bytes=100_000))[place]
                except DisconnectedError:
                    await reader.pause()
                    continue
                poll = world.history.operations[-1]
                if committed_only:
                    log.committed += [
                        Seen(e.offset, e.value, e.producer_id, e.epoch, e.transactional)
                        for e in entries
                        if e.marker is None
                    ]
                else:
                    log.entries += entries
                if poll.acknowledged and poll.position == poll.offset:  # type: ignore[attr-defined]
                    log.high_watermark = poll.high_watermark  # type: ignore[attr-defined]
                    log.last_stable_offset = poll.last_stable_offset  # type: ignore[attr-defined]
                    break
                if not poll.acknowledged:
                    await reader.pause()
    client = Client(world, "final")
    groups = ["g", *sorted(world.history.transforms)]
    for group in groups:
        left = set(all_places())
        while left:
            with contextlib.suppress(DisconnectedError):
                left -= set(await read_offsets(client, group, sorted(left)))
            await client.pause()
