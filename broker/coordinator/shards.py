"""The shards of one coordinator: which partition of its internal topic a name lives in, opened when first asked for.

(Kafka: CoordinatorRuntime, GroupCoordinatorService.partitionFor, TransactionStateManager.partitionFor)
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Generic, TypeVar

from broker.coordinator.ports import CoordinatorClock, InternalTopic, Machine
from broker.coordinator.shard import Shard
from broker.deferred import Deferred
from broker.group.ids import partition_for
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError

log = logging.getLogger(__name__)

StateT = TypeVar("StateT")
KNOWN_NAMES_CACHED: Final = 10_000
_LONGEST_NAME_CACHED: Final = 256  # characters: a client may ask for groups of 32 KB that do not exist


class Shards(Generic[StateT]):
    """By partition. machine: what makes a partition's shard; name: the internal topic's, for log lines."""

    __slots__ = ("_by_partition", "_clock", "_closed", "_machine", "_name", "_partition_of", "_topic")

    def __init__(
        self, name: str, topic: InternalTopic, clock: CoordinatorClock, machine: Callable[[int], Machine[StateT]]
    ) -> None:
        self._name = name
        self._topic = topic
        self._clock = clock
        self._machine = machine
        self._by_partition: dict[int, Shard[StateT]] = {}
        self._partition_of: dict[str, int] = {}
        self._closed = False

    def start(self) -> None:
        """Begin to load every partition that holds data and is led here."""
        self._closed = False
        self._by_partition.clear()
        for partition in range(self._topic.partition_count() or 0):
            if self._topic.has_data(partition) and self._topic.log(partition) is not None:
                self._open(partition)

    def close(self) -> None:
        """Refuse all that waits (NOT_COORDINATOR) and all that comes."""
        self._closed = True
        for shard in self._by_partition.values():
            shard.close()

    def available(self) -> bool:
        """Whether there is a topic, for FindCoordinator. A missing one begins to be created."""
        if self._topic.partition_count():
            return True
        self._topic.ensure_exists().add_callback(partial(_log_failure, self._name))
        return bool(self._topic.partition_count())

    def of(self, name: str) -> Shard[StateT]:
        """The shard of a group or a transactional id, loading or active.

        ApiError NOT_COORDINATOR: not on this node, or no topic yet.
        """
        partition = self._partition_of.get(name)
        if partition is None:
            partition = self.partition_of(name)
            if partition is None:
                raise ApiError(ErrorCode.NOT_COORDINATOR)
            if len(name) <= _LONGEST_NAME_CACHED:
                if len(self._partition_of) >= KNOWN_NAMES_CACHED:
                    self._partition_of.clear()
                self._partition_of[name] = partition
        return self._by_partition.get(partition) or self._open(partition)

    def partition_of(self, name: str) -> int | None:
        """The partition a name lives in; None while there is no topic."""
        count = self._topic.partition_count()
        return partition_for(name, count) if count else None

    def at(self, partition: int) -> Shard[StateT]:
        """The shard of a partition, likewise."""
        return self._by_partition.get(partition) or self._open(partition)

    def get(self, partition: int) -> Shard[StateT] | None:
        """The same if it is open."""
        return self._by_partition.get(partition)

    def __getitem__(self, partition: int) -> Shard[StateT]:
        return self._by_partition[partition]

    def opened(self) -> list[Shard[StateT]]:
        """All that are open, by partition."""
        return [shard for _, shard in sorted(self._by_partition.items())]

    def _open(self, partition: int) -> Shard[StateT]:
        storage = self._topic.log(partition) if not self._closed else None
        if storage is None:
            raise ApiError(ErrorCode.NOT_COORDINATOR)
        shard = Shard(partition, storage, self._clock, self._machine(partition))
        self._by_partition[partition] = shard
        shard.load()
        return shard

    def partition_changed(self, partition: int) -> None:
        """This node's leadership of a partition changed, or the partition is gone.

        What waits is refused. If this node leads it (still, or now), it is loaded at once: what runs in it runs on.
        """
        shard = self._by_partition.pop(partition, None)
        if shard is not None:
            shard.close()
        elif not self._topic.has_data(partition):
            return
        if not self._closed and self._topic.log(partition) is not None:
            self._open(partition)

    def topic_deleted(self) -> None:
        """The internal topic is gone; a new one may have another number of partitions."""
        self._partition_of.clear()
        for partition in list(self._by_partition):
            self.partition_changed(partition)


def _log_failure(name: str, created: Deferred[Any]) -> None:
    try:
        created.result()
    except ApiError as error:
        log.error("%s could not be created: %s", name, error)
    except Exception:
        log.exception("%s could not be created", name)
