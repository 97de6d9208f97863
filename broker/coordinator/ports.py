"""What the group coordinator needs from the rest of the broker. Adapters are wired in at startup."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from broker.deferred import Deferred


class CancellableTimer(Protocol):
    def cancel(self) -> None: ...


class CoordinatorClock(Protocol):
    """The part of `broker.clock.Clock` used here."""

    def now_ms(self) -> int: ...

    def monotonic_ms(self) -> float: ...

    def call_later(self, delay_ms: float, fn: Callable[[], None], /) -> CancellableTimer: ...


class CoordinatorLog(Protocol):
    """One partition of `__consumer_offsets`, of which this node is the leader."""

    @property
    def leader_epoch(self) -> int: ...

    @property
    def max_batch_bytes(self) -> int:
        """The topic's `max.message.bytes`: no batch is larger."""

    def append(self, batch: bytes | bytearray, /) -> int:
        """Append one batch (its base offset and leader epoch are set by the log). Returns the log's new end offset.

        Raises ApiError (KAFKA_STORAGE_ERROR, NOT_LEADER_OR_FOLLOWER, ...) or OSError when it could not.
        """

    def committed(self, offset: int, /) -> Deferred[None]:
        """Finished once the high watermark has reached `offset`; fails when it never will."""

    def read_all(self) -> Iterator[memoryview]:
        """The log's batches from its start to its end as of now, in slices of whole batches.

        A slice is valid until the next one is asked for.
        """


class OffsetsTopic(Protocol):
    """`__consumer_offsets` itself."""

    def partition_count(self) -> int | None:
        """How many partitions it has; None while it does not exist."""

    def ensure_exists(self) -> Deferred[None]:
        """Create it unless it is there; finished when it is."""

    def log(self, partition: int, /) -> CoordinatorLog | None:
        """A partition's log; None when this node does not lead it."""

    def has_data(self, partition: int, /) -> bool:
        """Whether anything was ever appended, told without opening a partition that was not used yet."""


class Topics(Protocol):
    """The cluster's topics, as of now."""

    def topic_exists(self, name: str, /) -> bool: ...

    def topic_id(self, name: str, /) -> bytes | None: ...

    def topic_name(self, topic_id: bytes, /) -> str | None: ...

    def partition_count(self, name: str, /) -> int:
        """0 when there is no such topic."""
