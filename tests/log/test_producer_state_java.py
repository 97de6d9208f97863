"""Random idempotent and transactional producers, and a partition log of Kafka's: answers, offsets, state, snapshot."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from kwire.errors import ApiError
from kwire.records import BatchHeader, ControlType, RecordBatchBuilder, end_transaction_marker
from log.append_validation import AppendOrigin, validate_append
from log.config import LogConfig
from log.producer_entry import decode_snapshot
from log.producer_state import ProducerStateManager
from tests.kwire.java_records import ask, b64, skip_without_java, unb64

pytestmark = pytest.mark.java

NOW = 1_700_000_000_000
TOP = 2**31 - 1


def random_append(rng: random.Random, sequences: dict[int, list[int]]) -> tuple[bytearray, str]:
    """A batch of one of three producers, mostly the one they would send next; sent by whom."""
    producer_id = rng.randrange(3)
    state = sequences.setdefault(producer_id, [0, rng.choice([0, 0, 7, TOP - 3])])
    if rng.random() < 0.05:
        state[:] = [state[0] + rng.choice([1, 1, -1, 2]), rng.choice([0, 0, 0, 3])]
    epoch = max(state[0], 0)
    if rng.random() < 0.2:
        data = end_transaction_marker(
            rng.choice([ControlType.ABORT, ControlType.COMMIT]),
            producer_id=producer_id,
            producer_epoch=epoch,
            coordinator_epoch=rng.choice([3, 3, 3, 2, 4]),
            timestamp=NOW + rng.randrange(50),
        )
        return data, "COORDINATOR"
    count = rng.choice([1, 1, 2, 5])
    sequence = state[1]
    if rng.random() < 0.25:
        sequence = sequence - rng.choice([1, 2, 5, -1, -3]) & TOP
    builder = RecordBatchBuilder(
        producer_id=producer_id,
        producer_epoch=epoch,
        base_sequence=sequence,
        transactional=rng.random() < (0.9 if producer_id else 0.1),
    )
    for index in range(count):
        builder.append(b"k", b"v", timestamp=NOW + index)
    if sequence == state[1]:
        state[1] = sequence + count & TOP
    return builder.build(), "CLIENT"


def test_same_state(tmp_path: Path, long_form: bool) -> None:
    skip_without_java()
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    questions: list[dict[str, Any]] = []
    for _ in range(100 if long_form else 12):
        questions.append({"op": "log", "config": {}, "now": NOW})
        sequences: dict[int, list[int]] = {}
        sent: list[tuple[bytearray, str]] = []
        for _ in range(60):
            one = rng.choice(sent[-8:]) if sent and rng.random() < 0.15 else random_append(rng, sequences)
            sent.append(one)
            questions.append({"op": "append", "bytes": b64(one[0]), "origin": one[1], "now": NOW, "leaderEpoch": 1})
            questions.append({"op": "producers"})
    manager = ProducerStateManager("topic-0")
    offset = 0
    for number, (question, answer) in enumerate(zip(questions, ask(questions, tmp_path), strict=True)):
        where = f"seed {seed}, question {number}: {answer}"
        assert "error" not in answer, where
        if question["op"] == "log":
            manager, offset = ProducerStateManager("topic-0"), 0
        elif question["op"] == "producers":
            kafkas = decode_snapshot(unb64(answer["snapshot"]) or b"")
            ours = decode_snapshot(manager.encode_snapshot())
            key = lambda entry: entry.producer_id  # noqa: E731
            assert sorted(ours, key=key) == sorted(kafkas, key=key), where
            assert (-1 if manager.first_unstable_offset is None else manager.first_unstable_offset) == answer[
                "firstUnstable"
            ], where
            for entry, found in zip(sorted(manager.producers.values(), key=key), answer["producers"], strict=True):
                text = "".join(
                    f"BatchMetadata(firstSeq={one.first_sequence}, lastSeq={one.last_sequence}, firstOffset="
                    f"{one.first_offset}, lastOffset={one.last_offset}, timestamp={one.timestamp})"
                    for one in entry.batches
                )
                assert text == found["batches"], where
        else:
            mine, offset = append(manager, bytearray(unb64(question["bytes"]) or b""), question["origin"], offset)
            expected = {name: answer[name] for name in mine}
            assert mine == expected, where


def append(manager: ProducerStateManager, data: bytearray, origin: str, offset: int) -> tuple[dict[str, int], int]:
    """As a partition log appends."""
    valid = validate_append(memoryview(data), offset, 1, LogConfig(), NOW, AppendOrigin[origin], partition="topic-0")
    header: BatchHeader = valid.header
    duplicate = manager.find_duplicate(header) if origin == "CLIENT" else None
    if duplicate is not None:
        return {
            "firstOffset": duplicate.first_offset,
            "lastOffset": duplicate.last_offset,
            "logAppendTime": duplicate.timestamp,
        }, offset
    try:
        update = manager.prepare(header, valid.data, AppendOrigin[origin])
    except ApiError as error:
        return {"code": int(error.code)}, offset
    manager.apply(update)
    manager.end_offset = header.next_offset
    return {"firstOffset": valid.first_offset, "lastOffset": valid.last_offset, "logAppendTime": -1}, header.next_offset
