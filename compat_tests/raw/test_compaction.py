"""Compacted topics: what is kept, what readers of the holes get, and the settings that say when."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from compat_tests.raw.batches import Batch, Rec, headers, now_ms
from compat_tests.raw.test_configs import BROKER, DELETE, SET, TOPIC, change
from compat_tests.raw.wire import Wire, eventually
from kwire.records import read_records

COMPACT = {
    "cleanup.policy": "compact",
    "internal.segment.bytes": "1000",
    "min.cleanable.dirty.ratio": "0.01",
    "file.delete.delay.ms": "100",
}
OLD = 1_000_000
"""A timestamp of long ago; records get one more each."""

Record = tuple[int, bytes | None, bytes | None]


@pytest.fixture(scope="module", autouse=True)
def _quick_cleaner(broker: Any) -> Iterator[None]:
    """log.cleaner.backoff.ms may be changed while the broker runs; its default is 15 s."""
    with Wire(broker.address) as wire:
        assert change(wire, BROKER, "", ("log.cleaner.backoff.ms", SET, "50"))[0] == 0
        yield
        assert change(wire, BROKER, "", ("log.cleaner.backoff.ms", DELETE, None))[0] == 0


def put(wire: Wire, topic: str, *pairs: tuple[bytes, bytes | None], timestamp: int = OLD) -> int:
    """One batch; its first offset."""
    records = [Rec(key=key, value=value, timestamp_delta=number) for number, (key, value) in enumerate(pairs)]
    answer = wire.produce(topic, Batch(records=records, base_timestamp=timestamp).encode())
    assert answer.error_code == 0, answer
    return int(answer.base_offset)


def rounds(wire: Wire, topic: str, count: int, keys: int = 5, timestamp: Callable[[int], int] | None = None) -> None:
    """Each key once a round, a batch a record: at offset o key o % keys. With 240 bytes four fill a segment."""
    for number in range(count * keys):
        stamp = OLD + number if timestamp is None else timestamp(number)
        put(wire, topic, (b"k%d" % (number % keys), b"%d" % number + b"." * 160), timestamp=stamp)


def records(wire: Wire, topic: str, start: int = 0) -> list[Record]:
    """Everything from `start` on."""
    found: list[Record] = []
    offset = start
    while True:
        answer = wire.fetch(topic, offset)
        assert answer.error_code == 0, answer
        data = bytes(answer.records or b"")
        if not data:
            return found
        position = 0
        for header in headers(data):
            batch = data[position : position + header.size]
            found += [(r.offset, r.key, r.value) for r in read_records(batch) if r.offset >= offset]
            position += header.size
            offset = header.last_offset + 1


def compacted(wire: Wire, topic: str, good: Callable[[list[Record]], bool]) -> list[Record]:
    found: list[Record] = eventually(lambda: records(wire, topic), good, f"the compaction of {topic}")
    return found


def offsets(found: list[Record]) -> list[int]:
    return [offset for offset, _, _ in found]


def test_the_last_value_of_each_key_stays(wire: Wire, topic: str) -> None:
    """Four records fill a segment; the active one (96..99) is never compacted."""
    wire.create(topic, configs=COMPACT)
    rounds(wire, topic, 20)
    found = compacted(wire, topic, lambda got: len(got) <= 9)
    assert offsets(found) == [91, 92, 93, 94, 95, 96, 97, 98, 99]
    assert all(key == b"k%d" % (offset % 5) for offset, key, _ in found)
    assert wire.start_and_end(topic) == (0, 100)
    # who reads from a hole gets what comes next
    assert offsets(records(wire, topic, 17)) == offsets(found)
    (first, *_) = headers(wire.fetch(topic, 17).records)
    assert first.base_offset == 91
    # by time: a segment that was emptied counts with its file's age, until it is merged with the next one
    assert wire.list_offset(topic, OLD + 3).offset in (91, -1)
    assert wire.list_offset(topic, now_ms() + 600_000).offset == -1
    assert wire.list_offset(topic, -3).offset == 99


def test_records_left_in_a_batch_keep_their_offsets(wire: Wire, topic: str) -> None:
    wire.create(topic, configs=COMPACT)
    big = b"." * 300
    put(wire, topic, (b"a", big), (b"b", b"1"), (b"c", b"1"), timestamp=OLD)
    put(wire, topic, (b"a", big), (b"c", big), timestamp=OLD + 10)
    put(wire, topic, (b"d", big + big), timestamp=OLD + 20)
    put(wire, topic, (b"e", big + big), timestamp=OLD + 30)
    found = compacted(wire, topic, lambda got: len(got) == 5)
    assert [(offset, key) for offset, key, _ in found] == [(1, b"b"), (3, b"a"), (4, b"c"), (5, b"d"), (6, b"e")]
    (first, *_) = headers(wire.fetch(topic, 0).records)
    assert (first.base_offset, first.last_offset_delta, first.count, first.crc_ok) == (0, 2, 1, True)
    assert (first.base_timestamp, first.max_timestamp) == (OLD + 1, OLD + 1)


def test_a_tombstone_goes_after_delete_retention_ms(wire: Wire, topic: str) -> None:
    """The first compaction that sees it writes when it may go into its batch; a later one drops it."""
    wire.create(topic, configs=COMPACT | {"delete.retention.ms": "0"})
    put(wire, topic, (b"gone", b"x" * 500))
    put(wire, topic, (b"gone", None))
    rounds(wire, topic, 3)
    compacted(wire, topic, lambda got: b"x" * 500 not in [value for _, _, value in got])
    rounds(wire, topic, 3)
    compacted(wire, topic, lambda got: b"gone" not in [key for _, key, _ in got])


def test_a_tombstone_stays_for_delete_retention_ms(wire: Wire, topic: str) -> None:
    wire.create(topic, configs=COMPACT)
    put(wire, topic, (b"gone", b"x" * 500))
    put(wire, topic, (b"gone", None))
    rounds(wire, topic, 5)
    found = compacted(wire, topic, lambda got: b"x" * 500 not in [value for _, _, value in got])
    assert found[0] == (1, b"gone", None)
    (first, *_) = headers(wire.fetch(topic, 0).records)
    assert first.attributes & 0x40, "the batch says until when its tombstones stay"
    assert abs(first.base_timestamp - now_ms() - 86_400_000) < 600_000


def test_compact_and_delete(wire: Wire, topic: str) -> None:
    """Segments beyond retention.bytes go as well."""
    both = {"cleanup.policy": "compact,delete", "retention.ms": "-1", "retention.bytes": "3000"}
    wire.create(topic, configs=COMPACT | both | {"min.cleanable.dirty.ratio": "1.0"})
    rounds(wire, topic, 10)
    start, end = eventually(lambda: wire.start_and_end(topic), lambda got: got[0] >= 36, "retention")
    assert (start, end) == (36, 50)
    assert offsets(records(wire, topic, start)) == list(range(36, 50))
    assert wire.fetch(topic, 0).error_code == 1


def test_an_empty_policy_keeps_everything(wire: Wire, topic: str) -> None:
    wire.create(topic, configs=COMPACT | {"cleanup.policy": "", "retention.ms": "1", "retention.bytes": "1"})
    other = f"{topic}-compacted"
    wire.create(other, configs=COMPACT)
    rounds(wire, topic, 4)
    rounds(wire, other, 4)
    compacted(wire, other, lambda got: len(got) < 20)
    assert offsets(records(wire, topic)) == list(range(20))


def test_the_policy_may_change(wire: Wire, topic: str) -> None:
    wire.create(topic, configs=COMPACT | {"cleanup.policy": "delete"})
    rounds(wire, topic, 8, timestamp=lambda number: now_ms())
    assert len(records(wire, topic)) == 40
    assert change(wire, TOPIC, topic, ("cleanup.policy", SET, "compact"))[0] == 0
    compacted(wire, topic, lambda got: len(got) <= 9)


def test_min_compaction_lag(wire: Wire, topic: str) -> None:
    """From the first segment on that holds a record younger than that, nothing is compacted."""
    wire.create(topic, configs=COMPACT | {"min.compaction.lag.ms": "600000"})
    rounds(wire, topic, 8, timestamp=lambda number: now_ms() - (1_000_000 if number < 20 else 0))
    found = compacted(wire, topic, lambda got: len(got) <= 25)
    assert offsets(found) == list(range(15, 40))


def test_max_compaction_lag(wire: Wire, topic: str) -> None:
    """However clean a log is, a record is compacted after that time; the active segment is rolled for it."""
    lazy = COMPACT | {"min.cleanable.dirty.ratio": "1.0", "internal.segment.bytes": "1000000"}
    wire.create(topic, configs=lazy | {"max.compaction.lag.ms": "60000"})
    start = now_ms() - 500_000
    rounds(wire, topic, 4, timestamp=lambda number: start + number)
    put(wire, topic, (b"k0", b"later"), timestamp=now_ms())
    found = compacted(wire, topic, lambda got: len(got) < 21)
    assert offsets(found) == [15, 16, 17, 18, 19, 20]


def test_the_last_batch_of_a_producer_stays(wire: Wire, topic: str) -> None:
    """Without records if need be: its sequence must outlive them."""
    wire.create(topic, configs=COMPACT)
    producer_id = wire.producer_id()
    only = Batch(records=[Rec(key=b"k0", value=b"." * 700)], producer_id=producer_id, producer_epoch=0, base_sequence=0)
    assert wire.produce(topic, only.encode()).base_offset == 0
    rounds(wire, topic, 6)
    compacted(wire, topic, lambda got: len(got) <= 9)
    (first, *_) = headers(wire.fetch(topic, 0).records)
    assert (first.base_offset, first.producer_id, first.base_sequence, first.count) == (0, producer_id, 0, 0)
    again = wire.produce(topic, only.encode())
    assert (again.error_code, again.base_offset) == (0, 0)
    following = Batch(records=[Rec(key=b"n")], producer_id=producer_id, producer_epoch=0, base_sequence=1)
    assert wire.produce(topic, following.encode()).error_code == 0


def test_cleaning_is_not_deleting(wire: Wire, topic: str) -> None:
    """DeleteRecords is refused where only compaction is asked for, and moves the start where both are."""
    wire.create(topic, configs={**COMPACT, "retention.ms": "-1"})
    rounds(wire, topic, 2)
    assert wire.delete_records(topic, 3).error_code == 44
    assert change(wire, TOPIC, topic, ("cleanup.policy", SET, "compact,delete"))[0] == 0
    # Kafka answers before the change is in force.
    eventually(lambda: wire.delete_records(topic, 3).error_code, lambda code: code == 0, "a topic that deletes")
    assert wire.start_and_end(topic)[0] == 3


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("log.cleaner.threads", "5", "Log cleaner threads cannot be increased to more than double the current value 1"),
        ("log.cleaner.dedupe.buffer.size", "1048576", "must be at least 1MB per cleaner thread."),
        ("log.cleaner.backoff.ms", "-1", "Value must be at least 0"),
        ("log.cleaner.enable", "false", "Cannot update these configs dynamically: [log.cleaner.enable]"),
    ],
)
def test_settings_that_are_refused(wire: Wire, name: str, value: str, why: str) -> None:
    code, message = change(wire, BROKER, "", (name, SET, value))
    assert code == 42
    assert message is not None
    assert why in message
