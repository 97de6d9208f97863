"""What the cleaning of one log needs to know, and what it answers: plain data that travels as one line of JSON.

    job = CleaningJob.from_json(line)
    result = cleaning.clean(storage, job, hooks)       # hooks.group_done(group) for each replacement segment
    line = result.to_json()

A job is a snapshot of the log taken on its own thread; the cleaning touches nothing but the files below
``job.directory`` that end in ``.cleaned``. Whoever runs it leaves the listed segments alone meanwhile, except for
replacing the ones of groups that are done.
"""

from __future__ import annotations

import json
from typing import Any

from attrs import asdict, define, field

from log.transaction_index import AbortedTransaction


class CleaningError(Exception):
    """The log cannot be cleaned: it holds what the cleaner does not understand, or is damaged. Kafka leaves such a
    partition out from then on (``uncleanable``)."""


class CleaningCancelledError(Exception):
    """A hook asked to stop. The ``.cleaned`` files of the group under way were removed."""


@define(slots=True, frozen=True)
class SourceSegment:
    """An inactive segment below the first uncleanable offset. Sizes in bytes, of the files' used part."""

    base_offset: int
    size_bytes: int
    offset_index_bytes: int
    time_index_bytes: int
    modified_ms: int
    """Modification time of the ``.log`` file."""


@define(slots=True, frozen=True)
class LastRecord:
    """Where an active producer's sequence stands: its last batch is kept, without records if need be.

    ``last_data_offset`` is -1 where only markers of the producer are known. (Kafka: LastRecord)
    """

    producer_id: int
    producer_epoch: int
    last_data_offset: int


@define(slots=True, frozen=True)
class CleaningJob:
    """One cleaning of one log."""

    topic: str
    partition: int
    directory: str
    """Absolute path of the partition's directory."""
    now_ms: int
    first_dirty_offset: int
    first_uncleanable_offset: int
    """Base offset of the first segment that must be left alone (``cleanable.LogToClean.first_uncleanable_offset``)."""
    segments: tuple[SourceSegment, ...]
    """All from the log's first up to the first uncleanable offset, in order."""
    aborted_transactions: tuple[AbortedTransaction, ...] = ()
    """All of the log's transaction indexes that touch offsets below the first uncleanable one; the markers of some are
    above it. By rising last offset."""
    last_records: tuple[LastRecord, ...] = ()
    """Of every producer that the log knows of."""
    segment_bytes: int = 1_073_741_824
    segment_index_bytes: int = 10_485_760
    index_interval_bytes: int = 4096
    delete_retention_ms: int = 86_400_000
    max_message_bytes: int = 1_048_588
    map_bytes: int = 134_217_728
    """``log.cleaner.dedupe.buffer.size`` over ``log.cleaner.threads``."""
    map_load_factor: float = 0.9
    """``log.cleaner.io.buffer.load.factor``."""
    io_buffer_bytes: int = 524_288
    """``log.cleaner.io.buffer.size`` over threads: how much is read and written at once (a larger batch is still read
    whole)."""

    def to_json(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, line: str | bytes) -> CleaningJob:
        """ValueError, TypeError or KeyError for a line that is none."""
        values: dict[str, Any] = json.loads(line)
        values["segments"] = tuple(SourceSegment(**one) for one in values["segments"])
        values["aborted_transactions"] = tuple(AbortedTransaction(**one) for one in values["aborted_transactions"])
        values["last_records"] = tuple(LastRecord(**one) for one in values["last_records"])
        return cls(**values)


@define(slots=True, frozen=True)
class CleanedGroup:
    """A replacement segment, complete and synced: ``BASE.log.cleaned``, ``.index.cleaned``, ``.timeindex.cleaned`` and,
    if ``has_transaction_index``, ``.txnindex.cleaned``. Their modification time is the last source's.

    It takes the place of the segments at ``sources``; it has the base offset of the first. It may be empty.
    """

    base_offset: int
    sources: tuple[int, ...]
    """Base offsets of the segments it replaces."""
    size_bytes: int
    largest_timestamp: int
    """-1 without one."""
    has_transaction_index: bool
    modified_ms: int


@define(slots=True)
class CleaningStats:
    """What a cleaning has done so far. (Kafka: CleanerStats)"""

    map_bytes_read: int = 0
    map_records_read: int = 0
    map_entries: int = 0
    map_bytes_used: int = 0
    """Memory that the offset map really takes."""
    bytes_read: int = 0
    bytes_written: int = 0
    records_read: int = 0
    records_written: int = 0
    invalid_records: int = 0
    """Records without a key, which are dropped."""
    map_utilization: float = 0.0
    """Entries over the most that there may be."""


@define(slots=True, frozen=True)
class CleaningResult:
    """``end_offset`` is the first offset not cleaned: what the cleaner checkpoint says from now on."""

    end_offset: int
    groups: tuple[CleanedGroup, ...]
    stats: CleaningStats = field(factory=CleaningStats)

    def to_json(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, line: str | bytes) -> CleaningResult:
        """ValueError, TypeError or KeyError for a line that is none."""
        values: dict[str, Any] = json.loads(line)
        groups = tuple(group_from_dict(one) for one in values["groups"])
        return cls(values["end_offset"], groups, CleaningStats(**values["stats"]))


def group_from_dict(values: dict[str, Any]) -> CleanedGroup:
    """What ``attrs.asdict`` made of a group, after JSON."""
    return CleanedGroup(**{**values, "sources": tuple(values["sources"])})


class CleaningHooks:
    """What the cleaning calls back; each does nothing here. Any may raise ``CleaningCancelledError`` to end it."""

    def moved(self, size_bytes: int) -> None:
        """So many bytes are going to be read or were written: throttle (``log.cleaner.io.max.bytes.per.second``), look
        whether to stop. Called about once per ``io_buffer_bytes``."""

    def progress(self, stats: CleaningStats) -> None:
        """After each buffer read. ``stats`` is the running one: to look at, not to keep."""

    def group_done(self, group: CleanedGroup) -> None:
        """A replacement segment is complete and durable; it may be swapped in while the cleaning goes on."""
