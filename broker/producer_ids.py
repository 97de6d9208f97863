"""Producer ids, in blocks that the metadata log remembers.  (Kafka: ProducerIdControlManager)"""

from __future__ import annotations

from collections.abc import Callable

from broker.deferred import Deferred


class ProducerIds:
    """Gives each asker an id nobody had before, also after a restart.

    allocate: reserves a block durably and gives its first id and its length.
    """

    def __init__(self, allocate: Callable[[], Deferred[tuple[int, int]]]) -> None:
        self._allocate = allocate
        self._next = 0
        self._end = 0
        self._waiting: list[Deferred[int]] = []

    def next(self) -> Deferred[int]:
        """An id; finished at once but for the first of each block."""
        answer: Deferred[int] = Deferred()
        if self._next < self._end and not self._waiting:
            answer.resolve(self._take())
            return answer
        self._waiting.append(answer)
        if len(self._waiting) == 1:
            self._allocate().add_callback(self._allocated)
        return answer

    def _take(self) -> int:
        producer_id = self._next
        self._next += 1
        return producer_id

    def _allocated(self, done: Deferred[tuple[int, int]]) -> None:
        waiting, self._waiting = self._waiting, []
        try:
            first, length = done.result()
        except Exception as error:
            for answer in waiting:
                answer.fail(error)
            return
        self._next, self._end = first, first + length
        for position, answer in enumerate(waiting):
            if self._next < self._end:
                answer.resolve(self._take())
            else:
                self._waiting = waiting[position:]
                self._allocate().add_callback(self._allocated)
                return
