"""The forms of `Cluster`'s helpers that asyncio's and trio's tests await: each runs in a thread of theirs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from kwire.testing.values import Placed, Record
from kwire.testing.waiting import in_thread, wait_for

if TYPE_CHECKING:
    from kwire.testing.cluster import Cluster
    from kwire.testing.records import Until

T = TypeVar("T")


class AsyncForms:
    """`await cluster.aio.consume_until("orders", 3)`. Arguments, answers and errors are those of `Cluster`.

    For everything else there is `await in_thread(cluster.groups["billing"].wait_for, "Stable")`.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def create_topics(self, topics: Any) -> None:
        await in_thread(self._cluster.create_topics, topics)

    async def produce(self, topic: str, *values: Any, **options: Any) -> list[Placed]:
        return await in_thread(self._cluster.produce, topic, *values, **options)

    async def records(self, topic: str, **options: Any) -> list[Record]:
        return await in_thread(self._cluster.records, topic, **options)

    async def consume_until(self, topic: str, until: Until, **options: Any) -> list[Record]:
        return await in_thread(self._cluster.consume_until, topic, until, **options)

    async def wait_for(self, check: Callable[[], T], **options: Any) -> T:
        """`check` is called in a thread."""
        return await in_thread(partial(wait_for, check, **options))
