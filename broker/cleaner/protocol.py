"""The lines between the broker and a cleaning worker: one JSON object each.

to the worker     {"job": {...}, "bytes_per_second": 1e308}
from the worker   {"group": {...}} for each replacement segment, then {"result": {...}} or
                  {"failure": "uncleanable" | "storage" | "unexpected", "message": "...", "errno": 28}
"""

from __future__ import annotations

import json
from typing import Final

from attrs import asdict

from log.compaction.job import CleanedGroup, CleaningError, CleaningJob, CleaningResult, group_from_dict

UNCLEANABLE: Final = "uncleanable"
STORAGE: Final = "storage"
UNEXPECTED: Final = "unexpected"


def encode_job(job: CleaningJob, bytes_per_second: float) -> bytes:
    return f'{{"job":{job.to_json()},"bytes_per_second":{bytes_per_second!r}}}\n'.encode()


def decode_job(line: bytes) -> tuple[CleaningJob, float]:
    """ValueError, TypeError or KeyError for a line that is none."""
    values = json.loads(line)
    return CleaningJob.from_json(json.dumps(values["job"])), float(values["bytes_per_second"])


def encode_group(group: CleanedGroup) -> bytes:
    return json.dumps({"group": asdict(group)}, separators=(",", ":")).encode() + b"\n"


def encode_result(result: CleaningResult) -> bytes:
    return f'{{"result":{result.to_json()}}}\n'.encode()


def encode_failure(kind: str, message: str, errno: int = 0) -> bytes:
    return json.dumps({"failure": kind, "message": message, "errno": errno}).encode() + b"\n"


def decode_message(line: bytes) -> CleanedGroup | CleaningResult:
    """What a worker says. Raises what it failed with: ``CleaningError``, ``OSError``; ValueError for another line.

    An exception nobody expected counts as ``CleaningError``: the same log would bring it again. (Kafka:
    LogCleaner.tryCleanFilthiestLog marks the partition as uncleanable)
    """
    try:
        values = json.loads(line)
        if "group" in values:
            return group_from_dict(values["group"])
        if "result" in values:
            return CleaningResult.from_json(json.dumps(values["result"]))
        kind, message, number = values["failure"], str(values["message"]), int(values["errno"])
    except (TypeError, KeyError) as error:
        raise ValueError(f"not a worker's line: {line[:200]!r}") from error
    if kind == STORAGE:
        raise OSError(number, message)
    raise CleaningError(message)
