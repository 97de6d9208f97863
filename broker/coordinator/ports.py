"""What a coordinator needs from the rest of the broker, and a shard from its coordinator. Wired in at startup."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from typing import Any, Final, Protocol, TypeVar

from broker.decision import Decision, InTransaction, TimerKey, Waiter
from broker.deferred import Deferred
from broker.txn.transaction import TopicPartition
from kwire.error_codes import ErrorCode

StateT = TypeVar("StateT")
UPKEEP_KEY: Final[TimerKey] = ("upkeep",)
"""The timer of a shard by which its machine looks round again and again (Clock.call_again), not for a deadline."""


class CancellableTimer(Protocol):
    def cancel(self) -> None: ...


class CoordinatorClock(Protocol):
    """The part of `broker.clock.Clock` used here."""

    def now_ms(self) -> int: ...

    def monotonic_ms(self) -> float: ...

    def call_later(self, delay_ms: float, fn: Callable[[], None], /) -> CancellableTimer: ...

    def call_again(self, delay_ms: float, fn: Callable[[], None], /) -> CancellableTimer: ...


class CoordinatorLog(Protocol):
    """One partition of an internal topic, of which this node is the leader."""

    @property
    def leader_epoch(self) -> int: ...

    @property
    def max_batch_bytes(self) -> int:
        """The topic's `max.message.bytes`: no batch is larger."""

    def append(self, batch: bytes | bytearray, in_transaction: InTransaction | None = None, /) -> int:
        """Append one batch (its base offset and leader epoch are set by the log). Returns the log's new end offset.

        Raises ApiError (KAFKA_STORAGE_ERROR, NOT_LEADER_OR_FOLLOWER, ...) or OSError when it could not;
        RecordsRejectedError when a producer's batch was refused, and nothing was appended.
        """

    def committed(self, offset: int, /) -> Deferred[None]:
        """Finished once the high watermark has reached `offset`; fails when it never will."""

    def read_all(self) -> Iterator[memoryview]:
        """The log's batches from its start to its end as of now, in slices of whole batches.

        A slice is valid until the next one is asked for.
        """


class InternalTopic(Protocol):
    """`__consumer_offsets` or `__transaction_state` itself."""

    def partition_count(self) -> int | None:
        """How many partitions it has; None while it does not exist."""

    def ensure_exists(self) -> Deferred[None]:
        """Create it unless it is there; finished when it is."""

    def log(self, partition: int, /) -> CoordinatorLog | None:
        """A partition's log; None when this node does not lead it."""

    def has_data(self, partition: int, /) -> bool:
        """Whether anything was ever appended, told without opening a partition that was not used yet."""


class Machine(Protocol[StateT]):
    """A kind of state that a shard keeps. One for all shards of a coordinator: it holds no state of its own."""

    @property
    def noun(self) -> str:
        """What the state consists of, for log lines: "groups"."""

    @property
    def commit_timeout_ms(self) -> float:
        """How long an answer waits for its commit before it is COORDINATOR_NOT_AVAILABLE."""

    def new_state(self) -> StateT: ...

    def encode(self, decision: Decision[Any], max_bytes: int, /) -> Sequence[bytes | bytearray] | None:
        """The decision's records as batches of at most `max_bytes`; None when they do not fit."""

    def replay(self, state: StateT, decision: Decision[Any], /) -> None:
        """Apply the decision's records, which were appended just now."""

    def read(self, state: StateT, chunk: memoryview, now_ms: int, /) -> None:
        """Apply whole batches of the log to a state that is being loaded. KwireError: they cannot be read at all."""

    def rest(self, state: StateT, /) -> Generator[int, None, bool]:
        """All was read: apply what `read` has put off, in slices. Yields about how many bytes each was worth.

        True: all has to be read once more, for what damaged records have hidden.
        """

    def loaded(self, state: StateT, /) -> int:
        """All was read: build the soft state. Returns how many there are."""

    def begin(self, state: StateT, decision: Decision[Any], /) -> None:
        """The shard's first operation after loading."""

    def timer_fired(self, state: StateT, key: TimerKey, decision: Decision[Any], /) -> None: ...

    def parked(self, state: StateT, /) -> list[Waiter]:
        """Requests that wait in the state itself: they are refused when it is dropped."""


class Topics(Protocol):
    """The cluster's topics, as of now."""

    def topic_exists(self, name: str, /) -> bool: ...

    def topic_id(self, name: str, /) -> bytes | None: ...

    def topic_name(self, topic_id: bytes, /) -> str | None: ...

    def partition_count(self, name: str, /) -> int:
        """0 when there is no such topic."""


class ProducerIdSource(Protocol):
    def next(self) -> Deferred[int]:
        """An id nobody had before."""


class Markers(Protocol):
    """Writes the markers that end a transaction (broker.transaction_markers)."""

    def write(
        self,
        producer_id: int,
        producer_epoch: int,
        committed: bool,
        coordinator_epoch: int,
        partitions: Collection[TopicPartition],
        transaction_version: int,
        /,
    ) -> Deferred[dict[TopicPartition, ErrorCode]]: ...
