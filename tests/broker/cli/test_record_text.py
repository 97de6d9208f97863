"""Records as text, both ways; ranges; times. Without a broker."""

from __future__ import annotations

import io
import json
import os
from contextlib import suppress

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.cli.consume import nobody_reads
from broker.cli.offset_range import OffsetError, OffsetRange, Position, offset_range
from broker.cli.record_format import (
    Consumed,
    FormatError,
    as_json,
    as_kcat_json,
    compiled_format,
    delimiter,
    json_line,
    readable,
)
from broker.cli.record_input import Input, InputError, format_reader, header_option, plain_reader, read_json, split
from broker.cli.when import duration_ms, moment_ms, shown_time, timestamp_of

RECORD = Consumed("t", 1, 2, 3, 0, b"key", b"value", (("a", b"1"), ("b", None)))
EMPTY = Consumed("t", 1, 2, -1, 0, None, None, ())

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
contents = st.none() | st.binary(max_size=12) | texts.map(str.encode)
records = st.builds(
    Consumed,
    st.just("topic"),
    st.integers(0, 9),
    st.integers(0, 2**40),
    st.integers(0, 2**40),
    st.sampled_from([0, 1]),
    contents,
    contents,
    st.lists(st.tuples(texts, texts.map(str.encode)), max_size=3).map(tuple),
)

# kcat's JSON holds text only.
readable_records = st.builds(
    Consumed,
    st.just("topic"),
    st.just(0),
    st.just(0),
    st.integers(0, 9),
    st.just(0),
    st.none() | texts.map(str.encode),
    st.none() | texts.map(str.encode),
    st.lists(st.tuples(texts, texts.map(str.encode)), max_size=3).map(tuple),
)
FIELDS = ["value", "key", "headers", "partition", "timestamp_ms", "key_base64", "payload"]
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("text", "expected", "empty"),
    [
        ("%t %p %o %T", b"t 1 2 3", b"t 1 2 -1"),
        ("%k=%s %v", b"key=value value", b"= "),
        ("%K %S %V", b"3 5 5", b"-1 -1 -1"),
        ("%h|%H", b"a=1,b=NULL|2", b"|0"),
        ("%R", b"\0\0\0\5", b"\xff\xff\xff\xff"),
        ("100%% \\n\\t\\x41\\0\\\\ \\q", b"100% \n\tA\0\\ \\q", b"100% \n\tA\0\\ \\q"),
        ("%d", b"1970-01-01T00:00:00.003Z", b""),
        ("", b"", b""),
        ("ü", "ü".encode(), "ü".encode()),
    ],
)
def test_formats(text: str, expected: bytes, empty: bytes) -> None:
    assert compiled_format(text)(RECORD) == expected
    assert compiled_format(text)(EMPTY) == empty


@pytest.mark.parametrize("text", ["%z", "%", "\\xzz"])
def test_what_is_no_format(text: str) -> None:
    with pytest.raises(FormatError):
        compiled_format(text)


@given(texts)
def test_any_format_is_understood_or_refused(text: str) -> None:
    with suppress(FormatError):
        compiled_format(text)(RECORD)
    with suppress(FormatError):
        assert delimiter(text)
    with suppress(FormatError, InputError):
        format_reader(text)(b"some line")


@given(records)
def test_json_goes_round(record: Consumed) -> None:
    line = json_line(as_json(record))
    assert line.count(b"\n") == 1
    back = read_json(line)
    assert (back.key, back.value, back.headers) == (record.key, record.value, record.headers)
    assert (back.partition, back.timestamp_ms) == (record.partition, record.timestamp_ms)


@given(readable_records)
def test_kcats_json_goes_round(record: Consumed) -> None:
    back = read_json(json_line(as_kcat_json(record)))
    assert (back.key, back.value, back.headers) == (record.key, record.value, record.headers)


@given(anything)
def test_any_json_is_understood_or_refused(value: object) -> None:
    with suppress(InputError):
        assert isinstance(read_json(json.dumps(value).encode()), Input)


@given(st.binary(max_size=60), st.sampled_from([b"\n", b";", b"ab"]))
def test_splitting(data: bytes, mark: bytes) -> None:
    found = list(split(io.BytesIO(data), mark))
    whole = data.split(mark)
    # The last part is a record unless nothing (but a line's end) is left.
    if not whole[-1] or (mark != b"\n" and not whole[-1].strip(b"\n")):
        whole.pop()
    assert found == whole


def test_lines() -> None:
    assert plain_reader(None)(b"a:b") == Input(b"a:b")
    assert plain_reader(b":")(b"a:b:c") == Input(b"b:c", b"a")
    assert plain_reader(b":")(b"plain") == Input(b"plain")
    read = format_reader("%T|%p|%h|%k: %s\\n")
    assert read(b"5|1|a=1,b=|k: the rest: |x") == Input(b"the rest: |x", b"k", (("a", b"1"), ("b", b"")), 1, 5)
    for line, said in [(b"nothing", "does not look like"), (b"x|1||k: v", "timestamp 'x' is no number")]:
        with pytest.raises(InputError, match=said):
            read(line)


@pytest.mark.parametrize("text", ["%k%s", "%k", "%s %s", "%o %s"])
def test_formats_that_cannot_be_read(text: str) -> None:
    with pytest.raises(FormatError):
        format_reader(text)


def test_headers_and_terminals() -> None:
    assert [header_option(text) for text in ("a=1", "a:1", "a=", "a", "a=b=c")] == [
        ("a", b"1"),
        ("a", b"1"),
        ("a", b""),
        ("a", b""),
        ("a", b"b=c"),
    ]
    assert readable(b"a\x1b[31m\tb\n\xff") == "a\\x1b[31m\tb\\n\\xff"
    assert readable(None) == "NULL"


@pytest.mark.parametrize(
    ("given_texts", "begin", "end"),
    [
        ((), Position("start"), None),
        (("beginning",), Position("start"), None),
        (("END",), Position("end"), None),
        (("stored",), Position("stored"), None),
        (("5",), Position(offset=5), None),
        (("-5",), Position(back=5), None),
        (("+5",), Position(forward=5), None),
        (("s@5", "e@9"), Position(timestamp_ms=5), Position(timestamp_ms=9)),
        (("e@9",), Position("start"), Position(timestamp_ms=9)),
        (("@5",), Position(timestamp_ms=5), None),
        (("@5:9",), Position(timestamp_ms=5), Position(timestamp_ms=9)),
        (("@1970-01-01T00:00:01",), Position(timestamp_ms=1000), None),
        (("@1970-01-01T00:00:01:end",), Position(timestamp_ms=1000), Position("end")),
        (("@-1h",), Position(timestamp_ms=-3_600_000), None),
        (("@-2h:-1h",), Position(timestamp_ms=-7_200_000), Position(timestamp_ms=-3_600_000)),
        (("1:3",), Position(offset=1), Position(offset=3)),
        ((":3",), Position("start"), Position(offset=3)),
        (("2:",), Position(offset=2), None),
        (("5:end",), Position(offset=5), Position("end")),
    ],
)
def test_ranges(given_texts: tuple[str, ...], begin: Position, end: Position | None) -> None:
    assert offset_range(given_texts) == OffsetRange(begin, end)


@given(st.text(st.sampled_from("@se:+-0159h endT"), max_size=12))
def test_any_range_is_understood_or_refused(text: str) -> None:
    with suppress(OffsetError):
        assert isinstance(offset_range((text,)), OffsetRange)


def test_times() -> None:
    assert timestamp_of("latest") == -1
    assert timestamp_of("1700000000000") == 1_700_000_000_000
    assert moment_ms("1970-01-02") == 86_400_000
    assert moment_ms("1970-01-01T00:00:00.5+00:00") == 500
    assert [duration_ms(text) for text in ("90s", "1h30m", "7d", "250ms", "PT1H30M", "P1DT1S", "1.5s")] == [
        90_000,
        5_400_000,
        604_800_000,
        250,
        5_400_000,
        86_401_000,
        1500,
    ]
    assert shown_time(0) == "1970-01-01T00:00:00.000Z"
    assert (shown_time(-1), shown_time(2**62)) == ("", str(2**62))
    for wrong in ("", "h", "5", "P", "1x", "1h of"):
        with pytest.raises(click.UsageError):
            duration_ms(wrong)
    with pytest.raises(click.UsageError, match="before 1970"):
        moment_ms("1969-01-01")


def test_a_pipe_that_nobody_reads_any_more_is_seen_without_writing() -> None:
    reading, writing = os.pipe()
    with open(writing, "wb", buffering=0) as stream:
        assert not nobody_reads(stream)
        os.close(reading)
        assert nobody_reads(stream)
    assert not nobody_reads(io.BytesIO())
