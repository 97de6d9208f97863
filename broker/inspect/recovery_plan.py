"""What the next start of a broker will do to a partition, told before it does it  (log.recovery; Kafka: LogLoader).

After a clean stop nothing is looked at. Otherwise the segments from the recovery point on are read; at the first batch
that is not sound the log ends, what follows is removed, and indexes, epochs and snapshots from there on are made anew.
"""

from __future__ import annotations

from typing import Final

from attrs import define, field

from broker.inspect.findings import Finding

_NOTHING: Final = 1 << 62


@define(slots=True)
class SegmentFacts:
    """What the walk found in one segment. sound_*: batches that can be read, those behind damage included."""

    base_offset: int
    path: str
    size: int
    batches: int = 0
    records: int = 0
    end_offset: int = 0
    """Behind the last batch that can be read."""
    largest_timestamp: int = -1
    compacted: bool = False
    damaged: bool = False
    indexes_missing: bool = False
    index_faults: bool = False


@define(slots=True)
class Stop:
    """Where recovery, if it comes here, ends the log. before_*: what the segment held up to here."""

    segment: SegmentFacts
    finding: Finding
    offset: int
    position: int
    before_batches: int
    before_records: int


@define(slots=True)
class RecoveryPlan:
    """clean: the marker is there and the checkpoints can be read."""

    name: str
    clean: bool
    recovery_point: int
    segments: list[SegmentFacts] = field(factory=list)
    stops: list[Stop] = field(factory=list)
    in_segment: list[tuple[SegmentFacts, Finding]] = field(factory=list)
    """Findings about indexes and the like, which recovery makes anew where it comes by."""

    def first_recovered(self) -> int:
        """Base offset of the first segment that is read and indexed anew; a large number when none is."""
        missing = min((segment.base_offset for segment in self.segments if segment.indexes_missing), default=_NOTHING)
        if self.clean:
            return missing
        point = max(self.recovery_point - 1, 0)
        first = max((s.base_offset for s in self.segments if s.base_offset <= point), default=0)
        faulty = min((s.base_offset for s in self.segments if s.index_faults), default=_NOTHING)
        return min(first, missing, faulty)

    def tell(self) -> None:
        """Fill in `repair` of the findings."""
        first = self.first_recovered()
        cut: Stop | None = None
        for stop in self.stops:
            if stop.finding.repair:
                continue
            if stop.segment.base_offset < first:
                stop.finding.repair = self._left_alone(stop)
            elif cut is None:
                cut = stop
                stop.finding.repair = self._cut(stop)
            else:
                stop.finding.repair = f"it goes with the truncation at offset {cut.offset} (see above)"
        for segment, finding in self.in_segment:
            if finding.repair:
                continue
            if cut is not None and segment.base_offset > cut.segment.base_offset:
                finding.repair = f"it goes with the truncation at offset {cut.offset}"
            elif segment.base_offset >= first:
                finding.repair = "the next start makes it anew from the batches: nothing is lost"
            else:
                finding.repair = (
                    f"{self._trust()}, and believes it; remove the file while the broker is stopped, and the next "
                    "start makes it anew from the batches"
                )

    def _trust(self) -> str:
        if self.clean:
            return "the next start does not look here (the last stop was clean)"
        return f"the next start does not look here (recovery begins at the recovery point, {self.recovery_point})"

    def _left_alone(self, stop: Stop) -> str:
        return (
            f"{self._trust()}: nothing is cut, and readers that come to offset {stop.offset} get an error; what lies "
            "behind it stays readable for those that begin there"
        )

    def _cut(self, stop: Stop) -> str:
        batches = stop.segment.batches - stop.before_batches
        records = stop.segment.records - stop.before_records
        later = [segment for segment in self.segments if segment.base_offset > stop.segment.base_offset]
        batches += sum(segment.batches for segment in later)
        records += sum(segment.records for segment in later)
        text = f"the next start truncates {self.name} at offset {stop.offset} (byte {stop.position})"
        if later:
            text += f" and removes {_count(len(later), 'segment')} behind it"
        if not records:
            return f"{text}: no readable record is lost"
        return f"{text}: {_count(records, 'readable record')} in {_count(batches, 'batch')} behind it are lost"


def _count(number: int, noun: str) -> str:
    plural = f"{noun}es" if noun.endswith("ch") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"
