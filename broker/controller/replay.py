"""From a log to an image: what a start does, and what the live path does for each batch.

Records between BeginTransaction and EndTransaction count as one: they are applied at the end, and not at all when the
transaction was aborted or the log stops in its middle. (KIP-868)
"""

from __future__ import annotations

from collections.abc import Iterable

from broker.controller.image import ClusterImage, ImageError
from broker.controller.records import (
    AbortTransactionRecord,
    BeginTransactionRecord,
    EndTransactionRecord,
    Record,
)


class Replayer:
    """Feeds records to an image, in order."""

    __slots__ = ("_image", "_pending")

    def __init__(self, image: ClusterImage) -> None:
        self._image = image
        self._pending: list[Record] | None = None

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction has begun and not ended."""
        return self._pending is not None

    def feed(self, records: Iterable[Record]) -> None:
        """Raises ImageError when a record does not fit those before it."""
        image = self._image
        for record in records:
            kind = type(record)
            if kind is BeginTransactionRecord:
                if self._pending is not None:
                    raise ImageError("a metadata transaction begins inside another")
                self._pending = []
            elif kind is EndTransactionRecord or kind is AbortTransactionRecord:
                if self._pending is None:
                    raise ImageError("a metadata transaction ends that never began")
                pending, self._pending = self._pending, None
                if kind is EndTransactionRecord:
                    for each in pending:
                        image.replay(each)
            elif self._pending is not None:
                self._pending.append(record)
            else:
                image.replay(record)
