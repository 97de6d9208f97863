"""A fetch that waits for more bytes.  (Kafka: DelayedFetch)

It watches its partitions; each time one grows, only that one is read again, until there are enough bytes, an error, or
the time is up. Then everything is read once more, so that the answer is of one moment.
"""

from __future__ import annotations

from broker.clock import Clock, Timer
from broker.deferred import Deferred
from broker.fetch.read import FetchLimits, FetchReader
from broker.fetch.target import FetchTarget
from broker.partitions import Partition, Partitions


class ParkedFetch:
    """Finishes `done` with the final read. Watches until then."""

    __slots__ = ("_limits", "_partitions", "_sizes", "_targets", "_timer", "_total", "_watched", "done")

    def __init__(
        self, partitions: Partitions, clock: Clock, limits: FetchLimits, first: FetchReader, max_wait_ms: int
    ) -> None:
        self._partitions = partitions
        self._limits = limits
        self._targets: list[FetchTarget] = [read.target for read in first.reads]
        self._watched: dict[Partition, FetchTarget] = {}
        self._sizes: dict[Partition, int] = {}
        self._total = first.size
        self.done: Deferred[FetchReader] = Deferred()
        for read in first.reads:
            if read.partition is not None:
                self._watched[read.partition] = read.target
                self._sizes[read.partition] = read.size
                read.partition.watch(self)
        self._timer: Timer = clock.call_later(max_wait_ms, self.finish)
        partitions.parked[self] = None

    def abandon(self) -> None:
        """Nobody wants the answer any more: `done` is never finished."""
        self._stop()

    def grown(self, partition: Partition) -> None:
        """A watched partition has more to read, or is gone."""
        if self.done.done:
            return
        if len(self._targets) > 1:
            again = FetchReader(self._partitions, self._limits)
            again.read_all([self._watched[partition]])
            if not again.must_answer:
                self._total += again.size - self._sizes[partition]
                self._sizes[partition] = again.size
                if self._total < self._limits.min_bytes:
                    return
            self.finish()
            return
        reader = FetchReader(self._partitions, self._limits)
        reader.read_all(self._targets)
        if reader.enough:
            self._stop()
            self.done.resolve(reader)

    def finish(self) -> None:
        """Answer with what there is: the time is up, or the broker stops."""
        if self.done.done:
            return
        self._stop()
        reader = FetchReader(self._partitions, self._limits)
        reader.read_all(self._targets)
        self.done.resolve(reader)

    def _stop(self) -> None:
        self._timer.cancel()
        self._partitions.parked.pop(self, None)
        for partition in self._watched:
            partition.unwatch(self)
