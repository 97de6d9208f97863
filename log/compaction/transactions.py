"""Which transactions are open while the cleaner walks through a log, and which of them were aborted
(Kafka: CleanedTransactionMetadata).

The cleaner never goes beyond the last stable offset, so every transaction that it meets is decided, and the aborted
ones are known beforehand from the transaction indexes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from attrs import define

from kwire.records.control import ControlType
from log.transaction_index import AbortedTransaction


@define(slots=True)
class _Aborted:
    transaction: AbortedTransaction
    observed: bool = False
    """Whether a batch of it was met."""


class CleanedTransactions:
    """State between the batches of one walk; ``on_batch`` or ``on_control`` is called for each, in order.

    ``keep_aborted`` is called with each aborted transaction of which there was still a batch: it goes to the
    transaction index of the segment in the making.
    """

    __slots__ = ("_aborted", "_committed", "_next", "_open", "keep_aborted")

    def __init__(
        self, aborted: Iterable[AbortedTransaction], keep_aborted: Callable[[AbortedTransaction], None] = lambda _: None
    ) -> None:
        self._aborted = sorted(aborted, key=lambda one: one.first_offset)
        self._next = 0
        self._open: dict[int, _Aborted] = {}
        self._committed: set[int] = set()
        self.keep_aborted = keep_aborted

    def on_batch(self, producer_id: int, transactional: bool, last_offset: int) -> bool:
        """Whether this batch of records belongs to an aborted transaction: it can be discarded."""
        self._begin_up_to(last_offset)
        if not transactional:
            return False
        aborted = self._open.get(producer_id)
        if aborted is None:
            self._committed.add(producer_id)
            return False
        aborted.observed = True
        return True

    def on_control(self, producer_id: int, control_type: ControlType | None, last_offset: int) -> bool:
        """Whether nothing is left of the transaction that this marker ends: the marker can be discarded.

        ``control_type`` is None for a batch of another type; see ``on_empty_control`` for one without a record.
        """
        self._begin_up_to(last_offset)
        if control_type is ControlType.ABORT:
            aborted = self._open.pop(producer_id, None)
            if aborted is not None and aborted.observed:
                self.keep_aborted(aborted.transaction)
                return False
            return True
        if control_type is ControlType.COMMIT:
            if producer_id in self._committed:
                self._committed.discard(producer_id)
                return False
            return True
        return False

    def on_empty_control(self, last_offset: int) -> bool:
        """A control batch whose record an earlier cleaning removed: always discardable."""
        self._begin_up_to(last_offset)
        return True

    def _begin_up_to(self, offset: int) -> None:
        aborted = self._aborted
        while self._next < len(aborted) and aborted[self._next].first_offset <= offset:
            one = aborted[self._next]
            self._next += 1
            if one.producer_id not in self._open:
                self._open[one.producer_id] = _Aborted(one)
