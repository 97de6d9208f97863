"""The cheap walk must never say anything else than the exact one."""

from hypothesis import example, given
from hypothesis import strategies as st

from kwire.records import HEADER_SIZE, BatchHeader, RecordBatchBuilder
from kwire.records.varint import encode_varint
from log.append_errors import RecordsRejectedError
from log.record_runs import walk_regular
from log.record_walk import Framing, Walk, WalkRules, walk_records

BASE = 1_700_000_000_000


def rules(
    header: BatchHeader, *, require_keys: bool = False, create_time: bool = True, after_max_ms: int = 3_600_000
) -> WalkRules:
    return WalkRules(
        partition="topic-0",
        base_offset=header.base_offset,
        base_timestamp=header.base_timestamp,
        append_time=None,
        require_keys=require_keys,
        create_time=create_time,
        now_ms=BASE,
        before_max_ms=(1 << 63) - 1,
        after_max_ms=after_max_ms,
    )


def exact(body: bytes, count: int, rules: WalkRules, framing: Framing) -> Walk | RecordsRejectedError:
    try:
        return walk_records(body, count, rules, framing)
    except RecordsRejectedError as error:
        return error


def regular(body: bytes | memoryview, count: int, rules: WalkRules) -> Walk | None:
    """The cheap walk, called with what the rules say."""
    lowest, highest = -(1 << 63), (1 << 63) - 1
    if rules.create_time:
        lowest = max(lowest, rules.now_ms - rules.before_max_ms)
        highest = min(highest, rules.now_ms + rules.after_max_ms)
    largest = walk_regular(body, count, rules.base_timestamp, lowest, highest, rules.require_keys)
    return None if largest is None else Walk(largest)


def check(body: bytes, count: int, rules: WalkRules) -> Walk | None:
    """The cheap walk's answer, once it is known to be the exact one's, for each framing and kind of memory."""
    cheap = regular(body, count, rules)
    assert regular(memoryview(body), count, rules) == cheap
    if cheap is not None:
        for framing in Framing:
            assert exact(body, count, rules, framing) == cheap
    return cheap


def check_plain(body: bytes, count: int, rules: WalkRules) -> None:
    cheap = regular(body, count, rules)
    assert cheap is None or exact(body, count, rules, Framing.PLAIN) == cheap


keys = st.one_of(st.none(), st.integers(0, 90).map(lambda size: b"k" * size))
headers = st.lists(st.tuples(st.sampled_from(["", "h", "a" * 70]), st.sampled_from([None, b"", b"v" * 65])), max_size=3)
sizes = st.sampled_from([None, 0, 1, 10, 50, 57, 58, 59, 60, 61, 62, 63, 64, 100, 200, 8170, 8185])


@st.composite
def groups(draw: st.DrawFn) -> list[tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]], int, int]]:
    """Runs of records of one shape: key, value, headers, timestamp step, how many."""
    found = []
    for _ in range(draw(st.integers(1, 4))):
        size = draw(sizes)
        count = draw(st.sampled_from([1, 2, 3, 7, 8, 9, 30, 63, 64, 65, 70, 150]))
        value = None if size is None else b"\x00" * size
        if size is not None and size > 1000:
            count = min(count, 9)
        found.append((draw(keys), value, draw(headers), draw(st.sampled_from([0, 0, 1, 1, 7, 64, 500, -3])), count))
    return found


def build(shapes: list[tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]], int, int]]) -> bytearray:
    builder = RecordBatchBuilder()
    timestamp = BASE
    for key, value, record_headers, step, count in shapes:
        for _ in range(count):
            builder.append(key, value, timestamp=timestamp, headers=record_headers)
            timestamp += step
    return builder.build()


@given(groups(), st.booleans(), st.sampled_from([0, 100, 3_600_000]))
def test_whole_batches(shapes: list, require_keys: bool, after_max_ms: int) -> None:
    data = build(shapes)
    header = BatchHeader.peek(data)
    cheap = check(
        bytes(data[HEADER_SIZE:]),
        header.record_count,
        rules(header, require_keys=require_keys, after_max_ms=after_max_ms),
    )
    if (
        after_max_ms
        and not require_keys
        and all(step >= 0 for *_, step, _ in shapes)
        and header.max_timestamp <= BASE + after_max_ms
    ):
        assert cheap is not None
        assert cheap.max_timestamp == header.max_timestamp


@given(groups(), st.data())
def test_changed_bytes(shapes: list, data: st.DataObject) -> None:
    batch = build(shapes)
    header = BatchHeader.peek(batch)
    body = batch[HEADER_SIZE:]
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at] = data.draw(
            st.sampled_from([0, 1, 2, 0x7E, 0x7F, 0x80, 0x81, 0xFE, 0xFF, body[at] ^ 1, body[at] ^ 0x80])
        )
    count = header.record_count + data.draw(st.sampled_from([0, 0, 0, -1, 1]))
    check(bytes(body), count, rules(header))
    cut = data.draw(st.integers(0, len(body)))
    check(bytes(body[:cut]), count, rules(header))


def test_every_byte_of_a_run_changed() -> None:
    """Each steering byte of each record of a run is looked at."""
    for value, key, step in ((b"v" * 62, b"key", 1), (b"v", None, 0), (b"v" * 62, None, 70)):
        builder = RecordBatchBuilder()
        for index in range(90):
            builder.append(key, value, timestamp=BASE + index * step, headers=[("h", b"x")])
        data = builder.build()
        header = BatchHeader.peek(data)
        body = data[HEADER_SIZE:]
        the_rules = rules(header)
        size = len(body) // 90
        places = [
            *range(3 * size),
            *range(30 * size, 31 * size),
            *range(63 * size, 66 * size),
            *range(len(body) - 9, len(body)),
        ]
        for at in places:
            for flip in (0x01, 0x02, 0x80):
                body[at] ^= flip
                check_plain(bytes(body), header.record_count, the_rules)
                body[at] ^= flip


def record(offset_delta: int, timestamp_delta: int, value: bytes, *, attributes: int = 0) -> bytes:
    body = (
        bytes((attributes,))
        + encode_varint(timestamp_delta)
        + encode_varint(offset_delta)
        + b"\x01"
        + encode_varint(len(value))
        + value
        + b"\x00"
    )
    return encode_varint(len(body)) + body


@given(
    st.integers(0, 70000),
    st.lists(st.integers(-70, 20_000), min_size=1, max_size=60),
    st.integers(0, 3),
)
@example(8190, [0] * 20, 1)
@example(64, [8191, 8192, 8193], 1)
def test_timestamp_columns(first: int, deltas: list[int], size: int) -> None:
    """Deltas of one, two and three bytes, in any order, at any place of the batch."""
    header = BatchHeader.peek(build([(None, b"", [], 0, 1)]))
    prefix = b"".join(record(index, 0, b"") for index in range(min(first, 100)))
    body = prefix + b"".join(
        record(len(range(min(first, 100))) + index, delta, b"v" * size) for index, delta in enumerate(deltas)
    )
    count = min(first, 100) + len(deltas)
    cheap = check(body, count, rules(header))
    if cheap is not None:
        assert cheap.max_timestamp == BASE + max([*deltas, *([0] if first else [])])


def test_large_batch_crosses_every_offset_width() -> None:
    body = b"".join(record(index, index // 50, b"0123456789") for index in range(20_000))
    header = BatchHeader.peek(build([(None, b"", [], 0, 1)]))
    cheap = regular(body, 20_000, rules(header))
    assert cheap is not None
    assert cheap.max_timestamp == BASE + 399
    wrong = body.replace(record(16_500, 330, b"0123456789"), record(16_501, 330, b"0123456789"))
    assert wrong != body
    assert regular(wrong, 20_000, rules(header)) is None
