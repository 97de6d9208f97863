"""Produce v0 to v2 and Fetch v0 to v3, which Kafka 4 no longer has: what 3.9 does with message sets."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from compat_tests.old_clients.message_sets import fetch, message, message_set, produce, records_of, wrapper
from compat_tests.raw.batches import batch
from compat_tests.raw.wire import Wire
from kwire.records import RecordBatchBuilder
from kwire.records.compression import Codec, compress, decompress
from kwire.records.legacy import iter_messages

CODECS = [Codec.NONE, Codec.GZIP, Codec.SNAPPY, Codec.LZ4]
MAGICS = [0, 1]


@pytest.fixture
def fresh_topic(fresh_name: Callable[[str], str]) -> str:
    """A name nobody used before."""
    return fresh_name("formats")


@pytest.fixture
def topic(past: Wire, fresh_topic: str) -> str:
    past.create(fresh_topic)
    return fresh_topic


def stored(*values: bytes, codec: Codec) -> bytes:
    """A batch of today, with headers."""
    builder = RecordBatchBuilder(codec=codec)
    for value in values:
        builder.append(b"k", value, timestamp=9, headers=[("h", b"1")])
    return bytes(builder.build())


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("magic", MAGICS)
def test_old_formats_are_taken_in_each_version(past: Wire, topic: str, magic: int, codec: Codec) -> None:
    records = message_set(b"a", b"b", magic=magic, codec=codec)
    assert [produce(past, topic, records, version) for version in (0, 1, 2)] == [(0, 0), (0, 2), (0, 4)]
    for version in (0, 1, 2, 3):
        data = fetch(past, topic, 0, version)
        time = 5 if magic == 1 and version >= 2 else -1
        told = records_of(data)
        # Kafka cuts what is larger in the old format to the size it had in the new one.
        assert told[:4] == [(at, time, b"k", b"ab"[at % 2 : at % 2 + 1]) for at in range(4)]
        first = next(iter_messages(bytes(data.records), partial_tail=True))
        assert (first.magic, first.attributes & 7) == (int(version >= 2), codec)
        assert data.high_watermark == 6


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_a_plain_batch_is_given_from_the_offset_asked_for_a_packed_one_whole(
    past: Wire, topic: str, version: int
) -> None:
    assert past.produce(topic, stored(b"a", b"b", codec=Codec.NONE)).error_code == 0
    assert past.produce(topic, stored(b"c", b"d", codec=Codec.GZIP)).error_code == 0
    time = 9 if version >= 2 else -1
    assert records_of(fetch(past, topic, 1, version))[0] == (1, time, b"k", b"b")
    assert records_of(fetch(past, topic, 3, version)) == [(2, time, b"k", b"c"), (3, time, b"k", b"d")]


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_the_bytes_of_what_is_not_packed(past: Wire, topic: str, version: int) -> None:
    assert past.produce(topic, stored(b"a", b"b", codec=Codec.NONE)).error_code == 0
    magic = int(version >= 2)
    told = b"".join(message(value, magic=magic, offset=at, timestamp=9) for at, value in enumerate((b"a", b"b")))
    assert bytes(fetch(past, topic, 0, version).records)[: len(told)] == told


@pytest.mark.parametrize("codec", CODECS[1:])
@pytest.mark.parametrize("version", [1, 3])
def test_the_wrapper_of_what_is_packed(past: Wire, topic: str, version: int, codec: Codec) -> None:
    """Its offset is the last one's, its timestamp the largest; within it offsets count from 0 in magic 1."""
    values = [b"v" * 100, b"w" * 100, b"x" * 100]
    assert past.produce(topic, stored(*values, codec=codec)).error_code == 0
    assert past.produce(topic, stored(*values, codec=codec)).error_code == 0
    (second,) = list(iter_messages(bytes(fetch(past, topic, 3, version).records), partial_tail=True))
    assert (second.offset, second.timestamp, second.key) == (5, 9 if version == 3 else -1, None)
    inner = list(iter_messages(decompress(codec, second.value or b"", magic=second.magic)))
    assert [each.offset for each in inner] == ([0, 1, 2] if version == 3 else [3, 4, 5])
    assert {(each.attributes, each.timestamp) for each in inner} == {(0, 9 if version == 3 else -1)}


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_zstd_is_refused_where_it_comes_first(past: Wire, topic: str, version: int) -> None:
    for codec in (Codec.NONE, Codec.ZSTD):
        assert past.produce(topic, stored(b"a", codec=codec)).error_code == 0
    assert [record[0] for record in records_of(fetch(past, topic, 0, version))] == [0]
    refused = fetch(past, topic, 1, version)
    assert (refused.error_code, refused.high_watermark, refused.records) == (76, -1, None)


def test_a_topic_packed_with_zstd_is_refused(past: Wire, fresh_topic: str) -> None:
    past.create(fresh_topic, configs={"compression.type": "zstd"})
    assert produce(past, fresh_topic, message_set(b"a", magic=1), 2) == (0, 0)
    assert [fetch(past, fresh_topic, 0, version).error_code for version in (0, 3, 4, 10)] == [76, 76, 76, 0]


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_fewer_bytes_than_the_first_batch_has(past: Wire, topic: str, version: int) -> None:
    """Up to v2 nothing is given for the sake of progress. (KIP-74)"""
    past.produce(topic, stored(b"a" * 100, b"b" * 100, codec=Codec.NONE))
    for max_bytes in (0, 1, 12, 50, 200):
        told = [record[0] for record in records_of(fetch(past, topic, 0, version, max_bytes))]
        assert told == ([0, 1] if version == 3 else [])


@pytest.mark.parametrize("version", [0, 3])
def test_offsets_that_are_not_there(past: Wire, topic: str, version: int) -> None:
    produce(past, topic, message_set(b"a", magic=0), 0)
    assert [fetch(past, topic, offset, version).error_code for offset in (-1, 0, 1, 2)] == [1, 0, 0, 1]
    assert fetch(past, "formats-nowhere", 0, version).error_code == 3


GOOD = message(b"v", magic=0)
INNER = message_set(b"a", b"b", magic=1)
# What is sent, in which version, and the error code (base offset -1 with it).
REFUSED = {
    "a checksum that differs": (message(b"v", magic=0, crc=0), 0, 2),
    "a size that cannot be": (GOOD[:11] + b"\x0d" + GOOD[12:], 0, 2),
    "an unknown magic of a message cut short": (GOOD + GOOD[:16] + b"\x03" + GOOD[17:-1], 0, 2),
    "a size that cannot be, and nothing behind it": (GOOD + GOOD[:11] + b"\x0d", 0, 2),
    "a wrapper whose offset is too small": (
        wrapper(message_set(b"a", b"b", b"c", magic=1), Codec.GZIP, magic=1, offset=1),
        2,
        87,
    ),
    "an unknown magic": (GOOD[:16] + b"\x03" + GOOD[17:], 0, 2),
    "both old magics": (message(b"v", magic=0) + message(b"v", magic=1), 2, 87),
    "an old magic, then today's": (message(b"v", magic=1) + batch(), 2, 87),
    "today's magic, then an old one": (batch() + message(b"v", magic=1), 2, 87),
    "two of today's batches": (batch() + batch(), 2, 87),
    "an old magic in today's version": (message(b"v", magic=1), 3, 87),
    "two wrappers": (wrapper(INNER, Codec.GZIP, magic=1) * 2, 2, 87),
    "a message, then a wrapper": (message(b"v", magic=1) + wrapper(INNER, Codec.GZIP, magic=1), 2, 87),
    "a wrapper in a wrapper": (wrapper(wrapper(INNER, Codec.GZIP, magic=1), Codec.GZIP, magic=1), 2, 87),
    "another magic in a wrapper": (wrapper(message(b"v", magic=0), Codec.GZIP, magic=1), 2, 87),
    "a checksum that differs in a wrapper": (wrapper(message(b"v", magic=1, crc=0), Codec.GZIP, magic=1), 2, 2),
    "a wrapper of nothing": (wrapper(b"", Codec.GZIP, magic=1), 2, 87),
    "a wrapper without a value": (message(None, magic=1, key=None, attributes=1), 2, 87),
    "a wrapper that does not unpack": (message(b"garbage", magic=1, key=None, attributes=1), 2, -1),
    "zstd": (message(compress(Codec.ZSTD, INNER), magic=1, key=None, attributes=4), 2, 87),
    "a codec that there is not": (message(b"xx", magic=1, key=None, attributes=5), 2, -1),
    "a value shorter than it says": (message(b"v", magic=0, value_size=9), 0, -1),
    "a negative timestamp": (message(b"v", magic=1, timestamp=-2), 2, -1),
}


@pytest.mark.parametrize("what", list(REFUSED))
def test_refused(past: Wire, topic: str, what: str) -> None:
    records, version, code = REFUSED[what]
    assert produce(past, topic, records, version) == (code, -1)
    assert past.start_and_end(topic) == (0, 0)


def test_taken(past: Wire, topic: str) -> None:
    """Nothing at all is no fault; what is cut short at the end is left out; offsets are given anew."""
    assert produce(past, topic, b"", 0) == (0, -1)
    assert produce(past, topic, b"abc", 0) == (0, -1)
    assert produce(past, topic, GOOD[:-3], 0) == (0, -1)
    assert produce(past, topic, batch()[:-1], 2) == (0, -1)
    assert produce(past, topic, GOOD + GOOD[:-3], 0) == (0, 0)
    assert produce(past, topic, wrapper(INNER[:-2], Codec.GZIP, magic=1), 2) == (0, 1)
    assert produce(past, topic, message(b"x", magic=1, attributes=8), 2) == (0, 2)
    assert produce(past, topic, message(b"x", magic=0, offset=77) + message(b"y", magic=0, offset=3), 0) == (0, 3)
    assert produce(past, topic, message(b"x", magic=0, tail=b"behind the value"), 2) == (0, 5)
    assert produce(past, topic, message(b"x", magic=1, timestamp=2**62), 2) == (0, 6)
    assert produce(past, topic, batch() + batch()[:-1], 2) == (0, 7)
    assert produce(past, topic, wrapper(message_set(b"a", b"b", magic=1), Codec.GZIP, magic=1, offset=0), 2) == (0, 8)
    assert past.start_and_end(topic) == (0, 10)


def test_where_records_may_not_go(past: Wire, topic: str) -> None:
    assert produce(past, "formats-nowhere", message(b"v", magic=0, crc=0), 0) == (3, -1)
    assert produce(past, "__consumer_offsets", GOOD, 0) == (17, -1)
    assert produce(past, topic, GOOD, 0, acks=5) == (21, -1)


@pytest.mark.parametrize("codec", [Codec.NONE, Codec.GZIP])
@pytest.mark.parametrize("magic", MAGICS)
def test_compacted_topics_want_keys(past: Wire, fresh_topic: str, magic: int, codec: Codec) -> None:
    past.create(fresh_topic, configs={"cleanup.policy": "compact"})
    version = 2 * magic
    assert produce(past, fresh_topic, message_set(b"a", b"b", magic=magic, codec=codec, key=None), version) == (87, -1)
    assert produce(past, fresh_topic, message_set(b"a", b"b", magic=magic, codec=codec), version) == (0, 0)


def test_max_message_bytes_counts_before_and_after(past: Wire, fresh_topic: str) -> None:
    past.create(fresh_topic, configs={"max.message.bytes": "200"})
    assert produce(past, fresh_topic, message_set(b"x" * 300, magic=0), 0) == (10, -1)
    assert produce(past, fresh_topic, message_set(b"x" * 100, b"y" * 100, magic=0), 0) == (10, -1)
    assert produce(past, fresh_topic, message_set(b"x" * 100, b"y" * 100, magic=0, codec=Codec.GZIP), 0) == (0, 0)


def test_append_time_is_the_brokers(past: Wire, fresh_topic: str) -> None:
    past.create(fresh_topic, configs={"message.timestamp.type": "LogAppendTime"})
    answer = past.produce(fresh_topic, message_set(b"a", b"b", magic=1), version=2)
    assert answer.error_code == 0
    assert answer.log_append_time_ms > 1_500_000_000_000
    data = fetch(past, fresh_topic, 0, 3)
    assert [record[1] for record in records_of(data)] == [answer.log_append_time_ms] * 2
    assert next(iter_messages(bytes(data.records), partial_tail=True)).attributes == 8
