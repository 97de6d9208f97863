"""What a check found: one thing that is not as it must be, where, why that matters and what the next start does."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Final

from attrs import define

from broker.inspect.values import Plain


class Severity(Enum):
    """ERROR: data or an invariant is damaged. WARNING: odd, but mended without loss, or it cannot be decided."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


# Code of a finding -> why it matters.
WHY: Final = {
    "crc": "bytes changed after they were written: what the batch holds cannot be trusted, and clients refuse it",
    "structure": "the bytes are no record batches: a reader that comes here cannot go on",
    "torn": "the last write did not reach the disk whole; nothing that was acknowledged with a sync is in it",
    "records": "the batch is as it was written, but its records do not add up: clients cannot read it",
    "old-format": "messages of magic 0 and 1 are not kept by kwire's recovery; Kafka 4 only reads them",
    "offset-order": "offsets must rise: a reader would see records twice or pass over some",
    "gap": "records between two offsets are missing, and only compaction may remove records from the middle",
    "max-timestamp": "lookups by time and retention go by a batch's largest timestamp",
    "index": "fetches that begin at an offset look here first: they would miss records or fail",
    "time-index": "lookups by time and retention by time go by it",
    "transaction-index": "read_committed consumers learn from it which transactions were aborted",
    "missing-index": "without it the segment must be read from its start",
    "epoch-order": "leader epochs must not fall: replicas find where they differ by them",
    "leader-epochs": "followers and clients that return after a change of leader are told a wrong end of an epoch",
    "producer-state": "sequences and open transactions go on from it: duplicates could get in, or batches be refused",
    "checkpoint": "the start of the broker goes by these offsets",
    "missing-directory": "records of this partition were here once",
    "missing-metadata": "which topics exist, and their settings, is not known without it",
    "metadata": "which topics exist, and their settings, comes from replaying these records",
    "topic-id": "the directory belongs to another topic than the one of its name",
    "stray": "no topic of this cluster owns the directory",
    "duplicate": "a partition lies in one log directory only: which copy is right is not known",
    "identity": "cluster, node and directory ids say which broker may use the directory",
    "internal-record": "the coordinator passes over a record it cannot read: a group's or transaction's change is lost",
    "clean-shutdown": "without the marker the next start does not trust the ends of the logs",
    "leftover": "something was under way when the broker stopped",
    "unreadable": "the file system does not give the bytes, so nothing is known of what they hold",
}


@define(slots=True)
class Finding:
    """`code` is one of WHY. position: byte in the file, -1 where there is none. offset: of a record, -1 likewise."""

    code: str
    severity: Severity
    file: str
    what: str
    repair: str = ""
    position: int = -1
    offset: int = -1

    @property
    def why(self) -> str:
        return WHY[self.code]

    def plain(self) -> Plain:
        found: Plain = {
            "type": "finding",
            "severity": self.severity.value,
            "code": self.code,
            "file": self.file,
            "what": self.what,
            "why": self.why,
            "repair": self.repair,
        }
        if self.position >= 0:
            found["position"] = self.position
        if self.offset >= 0:
            found["offset"] = self.offset
        return found


@define(slots=True)
class Totals:
    """What was looked at. bytes: of `.log` files and metadata snapshots."""

    partitions: int = 0
    segments: int = 0
    batches: int = 0
    records: int = 0
    bytes: int = 0


Report = Callable[[Finding], None]
Progress = Callable[[int, str], None]
"""(bytes looked at since the last call, file)"""
