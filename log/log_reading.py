"""Reading a partition log by offset, by time, and what was aborted in it."""

from __future__ import annotations

from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from log.log_state import LogState
from log.results import ReadResult
from log.segment import Segment, TimestampOffset
from log.storage import FileRange
from log.transaction_index import AbortedTransaction


class LogReading(LogState):
    """The reading part of a partition log."""

    __slots__ = ()

    def read(self, offset: int, max_bytes: int, *, up_to: int, min_one: bool = True) -> ReadResult:
        """Bytes from the batch that holds ``offset``: at most ``max_bytes``, of one segment, nothing at or above
        ``up_to``.

        ``up_to`` is the high watermark, the last stable offset or the end of the log. With ``min_one`` the first
        batch is given whole even when it is larger. The last batch may be cut short (a client asks for it again).

        Raises ``ApiError``: ``OFFSET_OUT_OF_RANGE`` below the log's start or above its end, ``KAFKA_STORAGE_ERROR``.
        (Kafka: LocalLog.read)
        """
        if self._failure is not None or self.closed:
            self._check_online()
        end = self.log_end_offset
        if offset > end or offset < self.log_start_offset:
            raise ApiError(
                ErrorCode.OFFSET_OUT_OF_RANGE,
                f"Received request for offset {offset} for partition {self.name}, "
                f"but we only have log segments from offset {self.log_start_offset} to {end}.",
            )
        if up_to > end:
            up_to = end
        if offset >= up_to:
            return ReadResult(None, offset)
        active = segment = self.segments.active
        try:
            if offset >= active.base_offset:
                span = self._tail.find(offset, end) or active.search(offset)
            else:
                found = self.segments.floor(offset)
                span = None
                while found is not None:
                    segment = found
                    span = found.search(offset)
                    if span is not None:
                        break
                    found = self.segments.higher(found.base_offset)
            if span is None or span.base_offset >= up_to:
                return ReadResult(None, offset)
            first_offset, _, position, size = span
            if segment is active:
                limit = segment.size if up_to == end else self._position_of(segment, up_to)
            else:
                following = self.segments.higher(segment.base_offset)
                if following is None or up_to >= following.base_offset:
                    limit = segment.size
                else:
                    limit = self._position_of(segment, up_to)
            if size < max_bytes:
                size = min(max_bytes, limit - position)
            elif not min_one:
                size = min(max_bytes, size)
            if size <= 0:
                return ReadResult(None, offset)
            return ReadResult(FileRange(segment.file.opened(), position, size), first_offset)
        except OSError as error:
            raise self.fail(error) from error

    def _position_of(self, segment: Segment, offset: int) -> int:
        """Where the batch that holds ``offset`` begins: what a reader limited to below ``offset`` may see ends
        there.
        """
        if segment is self.segments.active:
            position = self._tail.position(offset)
            if position >= 0:
                return position
        span = segment.search(offset)
        return segment.size if span is None else span.position

    def aborted_in(self, offset: int, result: ReadResult) -> list[AbortedTransaction]:
        """The aborted transactions that concern whoever read ``result`` from ``offset`` on.

        Where the bytes end is known as far as the offset index tells it, and not limited to the last stable offset.
        (Kafka: LocalLog.addAbortedTransactions, LogSegment.fetchUpperBoundOffset)
        """
        segments = self.segments.from_floor(result.first_offset)
        if result.file_range is None or not any(segment.transaction_index.exists for segment in segments):
            return []
        try:
            end = result.file_range.position + result.file_range.size
            bound = segments[0].offset_index.offset_at_or_after(end)
            if bound is None:
                bound = segments[1].base_offset if len(segments) > 1 else self.log_end_offset
        except OSError as error:
            raise self.fail(error) from error
        return self.aborted_transactions(offset, bound, segments)

    def aborted_transactions(
        self, from_offset: int, to_offset: int, segments: list[Segment] | None = None
    ) -> list[AbortedTransaction]:
        """The aborted transactions with records in ``[from_offset, to_offset)``  (Kafka:
        collectAbortedTransactions).
        """
        found: list[AbortedTransaction] = []
        try:
            for segment in segments if segments is not None else self.segments.from_floor(from_offset):
                if segment.transaction_index.exists:
                    some, complete = segment.transaction_index.collect(from_offset, to_offset)
                    found += some
                    if complete:
                        break
        except OSError as error:
            raise self.fail(error) from error
        return found

    def find_by_timestamp(self, timestamp: int) -> TimestampOffset | None:
        """The first record with at least this timestamp, from the log's start on; None when there is none."""
        self._check_online()
        try:
            for segment in self.segments:
                if segment.retention_timestamp() >= timestamp:
                    return segment.find_by_timestamp(timestamp, self.log_start_offset)
        except OSError as error:
            raise self.fail(error) from error
        return None

    def find_max_timestamp(self) -> TimestampOffset | None:
        """The first record with the largest timestamp (ListOffsets -3); None in an empty log."""
        self._check_online()
        try:
            return max(self.segments, key=lambda segment: segment.max_timestamp).find_max_timestamp()
        except OSError as error:
            raise self.fail(error) from error
