"""A `.snapshot` file beside the producers' state that the batches before its offset lead to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from attrs import define

from broker.inspect.findings import Severity
from log.producer_entry import ProducerEntry

DEFAULT_EXPIRATION_MS = 86_400_000


@define(slots=True, frozen=True)
class Difference:
    severity: Severity
    what: str


def compare_producers(
    stored: Iterable[ProducerEntry],
    rebuilt: Mapping[int, ProducerEntry],
    *,
    first_offset: int,
    complete: bool,
    compacted: bool,
    written_ms: int,
) -> Iterator[Difference]:
    """Where they differ.

    first_offset: of the log. complete: nothing before it counts (or a snapshot told it). compacted: batches and markers
    may be gone. written_ms: when the file was written. Producers idle for a day are forgotten, so they may be missing.
    """
    known = {entry.producer_id: entry for entry in stored}
    for producer_id, entry in rebuilt.items():
        found = known.pop(producer_id, None)
        if found is None:
            if compacted:
                continue
            if entry.transaction_first_offset is not None:
                yield Difference(
                    Severity.ERROR,
                    f"producer {producer_id}, whose transaction is open since offset {entry.transaction_first_offset}, "
                    "is missing",
                )
            elif written_ms - entry.last_timestamp < DEFAULT_EXPIRATION_MS:
                yield Difference(
                    Severity.WARNING,
                    f"producer {producer_id}, active until offset {entry.last_data_offset}, is missing",
                )
            continue
        yield from _compare(found, entry, compacted)
    if complete and not compacted:
        for producer_id, found in known.items():
            if found.last_data_offset >= first_offset:
                yield Difference(Severity.ERROR, f"the log knows of no producer {producer_id}")


def _compare(found: ProducerEntry, entry: ProducerEntry, compacted: bool) -> Iterator[Difference]:
    wrong = [
        f"{name} {was} (the log says {wanted})"
        for name, was, wanted in (
            ("epoch", found.epoch, entry.epoch),
            ("last sequence", found.last_sequence, entry.last_sequence),
            ("last offset", found.last_data_offset, entry.last_data_offset),
            ("open transaction's first offset", found.transaction_first_offset, entry.transaction_first_offset),
        )
        if was != wanted
    ]
    if wrong and not compacted:
        yield Difference(Severity.ERROR, f"producer {found.producer_id}: {', '.join(wrong)}")
    elif not compacted and (found.coordinator_epoch, found.last_timestamp) != (
        entry.coordinator_epoch,
        entry.last_timestamp,
    ):
        yield Difference(
            Severity.WARNING,
            f"producer {found.producer_id}: coordinator epoch {found.coordinator_epoch} and timestamp "
            f"{found.last_timestamp} (the log says {entry.coordinator_epoch} and {entry.last_timestamp})",
        )
