"""Batches and message sets that Kafka's own builder wrote."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from kwire.records import BatchHeader, Codec, TimestampType, iter_batches, read_records, verify_crc
from kwire.records.control import ControlType, decode_control_type, decode_marker_value
from kwire.records.legacy import from_batch, iter_messages, read_message_set, to_batch
from tests.kwire.java_records import ask, b64, skip_without_java, unb64
from tests.kwire.records.cases import NOW, Case, all_cases, build, golden, records_of

CASES = golden()


def name(case: Case) -> str:
    parts = [f"v{case['magic']}", Codec(case["codec"]).name.lower(), f"from{case['baseOffset']}"]
    parts += [key for key in ("appendTime", "transactional", "marker", "producerId") if key in case]
    return "-".join(parts)


def by_magic(*magics: int) -> list[pytest.param]:
    return [pytest.param(case, data, id=name(case)) for case, data in CASES if case["magic"] in magics]


def test_the_kept_cases_are_the_current_ones() -> None:
    assert [case for case, _ in CASES] == all_cases()


@pytest.mark.parametrize(("case", "data"), by_magic(2))
def test_batch(case: Case, data: bytes) -> None:
    (header,) = iter_batches(data)
    assert verify_crc(data, header)
    assert header.codec == case["codec"]
    assert header.producer_id == case.get("producerId", -1)
    assert header.producer_epoch == case.get("epoch", -1)
    assert header.base_sequence == case.get("sequence", -1)
    assert header.is_transactional == ("marker" in case or case.get("transactional", False))
    assert header.timestamp_type == ("appendTime" in case)
    assert header.partition_leader_epoch == case.get("leaderEpoch", -1)
    records = list(read_records(data))
    if "marker" in case:
        assert header.is_control
        assert decode_control_type(records[0].key) is ControlType[case["marker"]["type"]]
        assert decode_marker_value(records[0].value) == case["marker"]["coordinatorEpoch"]
        return
    assert records == records_of(case)
    assert header.max_timestamp == max(record.timestamp for record in records)
    assert header.last_sequence == (-1 if header.base_sequence < 0 else (header.base_sequence + 3) % 2**31)


@pytest.mark.parametrize(("case", "data"), by_magic(0, 1))
def test_message_set(case: Case, data: bytes) -> None:
    assert list(read_message_set(data)) == records_of(case)
    assert len(list(iter_messages(data))) == (len(case["records"]) if case["codec"] == 0 else 1)


@pytest.mark.parametrize(("case", "data"), by_magic(0, 1, 2))
def test_built_alike(case: Case, data: bytes) -> None:
    """Byte for byte without a codec; with one, what differs is the packing alone."""
    mine = build(case)
    if case["codec"] == 0:
        assert mine == data
    elif case["magic"] == 2:
        header, other = BatchHeader.peek(mine), BatchHeader.peek(data)
        header.crc, header.batch_length = other.crc, other.batch_length
        assert header == other
        assert list(read_records(mine)) == list(read_records(data))
    else:
        assert list(read_message_set(mine)) == list(read_message_set(data))


@pytest.mark.parametrize(("case", "data"), by_magic(0, 1))
def test_up_and_down(case: Case, data: bytes) -> None:
    batch = to_batch(data, partition_leader_epoch=3)
    header = BatchHeader.peek(batch)
    assert verify_crc(batch, header)
    assert header.codec == case["codec"]
    assert list(read_records(batch)) == records_of(case)
    assert list(read_message_set(from_batch(batch, magic=case["magic"]))) == records_of(case)


def test_control_batches_go_when_converted_down() -> None:
    data = next(data for case, data in CASES if "marker" in case)
    assert from_batch(data, magic=1) == b""


def test_wrapper_with_append_time_gives_its_timestamp() -> None:
    case, data = next(
        (case, data) for case, data in CASES if case["magic"] == 1 and case["codec"] and "appendTime" in case
    )
    (wrapper,) = iter_messages(data)
    assert wrapper.timestamp_type is TimestampType.LOG_APPEND_TIME
    assert {record.timestamp for record in read_message_set(data)} == {case["appendTime"]} == {NOW + 7}


@pytest.mark.java
def test_exchange(tmp_path: Path, long_form: bool) -> None:
    """Ours read by Kafka, and Kafka's builder asked again."""
    skip_without_java()
    cases = all_cases()
    questions = cases + [{"op": "read", "bytes": b64(build(case))} for case in cases]
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    noise = [
        (size, bytes(rng.choices(range(rng.choice([2, 256])), k=size))) for size in (0, 1, 65_535, 65_536, 300_000)
    ]
    packed = []
    for codec in Codec:
        for _, value in noise if long_form else noise[:3]:
            case = {"op": "build", "magic": 2, "codec": int(codec), "baseOffset": 0}
            case["records"] = [{"offset": 0, "timestamp": NOW, "key": None, "value": b64(value), "headers": []}]
            packed.append((case, value))
    questions += [case for case, _ in packed] + [{"op": "read", "bytes": b64(build(case))} for case, _ in packed]
    answers = ask(questions, tmp_path)
    for (case, data), answer in zip(CASES, answers, strict=False):
        assert answer["bytes"] == b64(data), name(case)
    for case, answer in zip(cases, answers[len(cases) :], strict=False):
        found = [record for batch in answer["batches"] for record in batch["records"]]
        if "marker" in case:
            assert answer["batches"][0]["control"]
            continue
        expected = [
            (one.offset, one.timestamp, b64(one.key), b64(one.value), [[key, b64(value)] for key, value in one.headers])
            for one in records_of(case)
        ]
        assert [tuple(one.values()) for one in found] == expected, name(case)
    rest = answers[2 * len(cases) :]
    for (case, value), built, read in zip(packed, rest, rest[len(packed) :], strict=False):
        (record,) = read_records(unb64(built["bytes"]) or b"")
        assert record.value == value, (seed, name(case))
        assert read["batches"][0]["records"][0]["value"] == b64(value), (seed, name(case))
