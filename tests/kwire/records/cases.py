"""What Kafka's builder is asked to write: kept in golden.json.xz with its answers, and asked again where Java is there.

python -m tests.kwire.records.cases      writes golden.json.xz anew (needs Java and Kafka's jars)
"""

from __future__ import annotations

import json
import lzma
import tempfile
from pathlib import Path
from typing import Any

from kwire.records import Codec, Record, RecordBatchBuilder, TimestampType, end_transaction_marker
from kwire.records.control import ControlType
from kwire.records.legacy import write_message_set
from tests.kwire.java_records import ask, b64, unb64

GOLDEN = Path(__file__).parent / "golden.json.xz"
NOW = 1_700_000_000_000
Case = dict[str, Any]


def _records(base: int, count: int, *, headers: bool) -> list[Record]:
    found = [
        Record(
            base,
            NOW,
            b"key",
            b"value",
            (("h", b"1"), ("null", None), ("empty", b""), ("ünicode", b"x" * 70)) if headers else (),
        ),
        Record(base + 1, NOW - 5, None, b""),
        Record(base + 2, NOW + 70, b"", None),
        Record(base + 3, NOW + 100_000, b"k" * 64, b"v" * 300),
    ]
    found += [Record(base + index, NOW + index, b"%d" % index, b"value " * 20) for index in range(4, count)]
    return found


def _json(records: list[Record]) -> list[dict[str, Any]]:
    return [
        {
            "offset": one.offset,
            "timestamp": one.timestamp,
            "key": b64(one.key),
            "value": b64(one.value),
            "headers": [[name, b64(value)] for name, value in one.headers],
        }
        for one in records
    ]


def all_cases() -> list[Case]:
    cases: list[Case] = []
    for magic in (2, 1, 0):
        for codec in Codec:
            if magic < 2 and codec is Codec.ZSTD:
                continue
            for append_time in (None, NOW + 7) if magic else (None,):
                for base, count in ((0, 4), (5, 80)):
                    case: Case = {"op": "build", "magic": magic, "codec": int(codec), "baseOffset": base}
                    case["records"] = _json(_records(base, count, headers=magic == 2))
                    if append_time is not None:
                        case["appendTime"] = append_time
                    cases.append(case)
    idempotent = {"producerId": 2**40, "epoch": 3, "sequence": 2**31 - 2, "leaderEpoch": 9}
    for transactional in (False, True):
        case = {"op": "build", "magic": 2, "codec": 0, "baseOffset": 0, **idempotent}
        cases.append(case | {"transactional": transactional, "records": _json(_records(0, 4, headers=False))})
    for kind in ("ABORT", "COMMIT"):
        case = {"op": "build", "magic": 2, "codec": 0, "baseOffset": 12, "producerId": 7, "epoch": 1, "leaderEpoch": 4}
        cases.append(case | {"marker": {"type": kind, "coordinatorEpoch": 5, "timestamp": NOW}})
    return cases


def records_of(case: Case) -> list[Record]:
    """The records that reading must give: with append time all timestamps are that; magic 0 has none."""
    found = []
    for one in case.get("records", ()):
        timestamp = case.get("appendTime", one["timestamp"]) if case["magic"] else -1
        headers = tuple((name, unb64(value)) for name, value in one["headers"])
        found.append(Record(one["offset"], timestamp, unb64(one["key"]), unb64(one["value"]), headers))
    return found


def build(case: Case) -> bytes:
    """The same with ours."""
    kind = TimestampType.LOG_APPEND_TIME if "appendTime" in case else TimestampType.CREATE_TIME
    codec = Codec(case["codec"])
    append_time = case.get("appendTime", -1)
    inputs = [
        Record(
            one["offset"],
            one["timestamp"],
            unb64(one["key"]),
            unb64(one["value"]),
            tuple((name, unb64(value)) for name, value in one["headers"]),
        )
        for one in case.get("records", ())
    ]
    if case["magic"] < 2:
        return write_message_set(
            inputs, magic=case["magic"], codec=codec, timestamp_type=kind, log_append_time=append_time
        )
    if "marker" in case:
        marker = case["marker"]
        return bytes(
            end_transaction_marker(
                ControlType[marker["type"]],
                producer_id=case["producerId"],
                producer_epoch=case["epoch"],
                coordinator_epoch=marker["coordinatorEpoch"],
                timestamp=marker["timestamp"],
                base_offset=case["baseOffset"],
                partition_leader_epoch=case["leaderEpoch"],
            )
        )
    builder = RecordBatchBuilder(
        base_offset=case["baseOffset"],
        codec=codec,
        timestamp_type=kind,
        log_append_time=append_time,
        producer_id=case.get("producerId", -1),
        producer_epoch=case.get("epoch", -1),
        base_sequence=case.get("sequence", -1),
        transactional=case.get("transactional", False),
        partition_leader_epoch=case.get("leaderEpoch", -1),
    )
    for record in inputs:
        builder.append(
            record.key, record.value, timestamp=record.timestamp, headers=record.headers, offset=record.offset
        )
    return bytes(builder.build())


def golden() -> list[tuple[Case, bytes]]:
    return [(one["case"], unb64(one["bytes"]) or b"") for one in json.loads(lzma.decompress(GOLDEN.read_bytes()))]


def main() -> None:
    cases = all_cases()
    with tempfile.TemporaryDirectory() as directory:
        answers = ask(cases, Path(directory))
    kept = [{"case": case, "bytes": answer["bytes"]} for case, answer in zip(cases, answers, strict=True)]
    GOLDEN.write_bytes(lzma.compress(json.dumps(kept).encode()))


if __name__ == "__main__":
    main()
