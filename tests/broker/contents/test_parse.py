"""Declarations as plain objects: what they mean, what is said about mistakes, and that nothing else ever happens."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.contents.model import (
    EARLIEST,
    LATEST,
    CommittedOffset,
    Contents,
    ContentsError,
    GroupContents,
    SeedRecord,
    TopicContents,
)
from broker.contents.parse import parse_contents


def test_topics() -> None:
    declared = {
        "topics": {
            "orders": 6,
            "audit": None,
            "more": {},
            "full": {
                "partitions": 2,
                "replication_factor": 3,
                "configs": {"a": "x", "b": 5, "c": True, "d": ["compact", "delete"], "e": 0.5},
            },
        }
    }
    assert parse_contents(declared).topics == (
        TopicContents("orders", 6),
        TopicContents("audit"),
        TopicContents("more"),
        TopicContents("full", 2, 3, {"a": "x", "b": "5", "c": "true", "d": "compact,delete", "e": "0.5"}),
    )


def test_a_list_of_topics() -> None:
    declared = {"topics": ["orders:6:cleanup.policy=compact", {"name": "audit", "partitions": 2}, "plain"]}
    assert parse_contents(declared).topics == (
        TopicContents("orders", 6, -1, {"cleanup.policy": "compact"}),
        TopicContents("audit", 2),
        TopicContents("plain"),
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("text", SeedRecord(b"text")),
        (None, SeedRecord(None)),
        (5, SeedRecord(b"5")),
        ([1, "x"], SeedRecord(b'[1,"x"]')),
        ({"id": 1}, SeedRecord(b'{"id":1}')),
        ({"value": {"id": 1}, "key": "k"}, SeedRecord(b'{"id":1}', b"k")),
        ({"key": "k"}, SeedRecord(None, b"k")),
        ({"value_base64": "AAE=", "key_base64": "/w=="}, SeedRecord(b"\0\1", b"\xff")),
        ({"value": b"\xff"}, SeedRecord(b"\xff")),
        (
            {"value": "v", "headers": {"a": "1", "b": None, "c": 2}},
            SeedRecord(b"v", None, (("a", b"1"), ("b", None), ("c", b"2"))),
        ),
        ({"value": "v", "headers": [["a", "1"], ["a", "2"]]}, SeedRecord(b"v", None, (("a", b"1"), ("a", b"2")))),
        ({"value": "v", "partition": 1, "timestamp_ms": 7}, SeedRecord(b"v", None, (), 1, 7)),
        ({"value": "v", "timestamp": "1970-01-01T00:00:01Z"}, SeedRecord(b"v", None, (), None, 1000)),
        ({"value": "v", "timestamp": "1970-01-02"}, SeedRecord(b"v", None, (), None, 86_400_000)),
        ({"value": "v", "timestamp": "1970-01-01T01:00:00+01:00"}, SeedRecord(b"v", None, (), None, 0)),
        ({"value": "v", "timestamp": 9}, SeedRecord(b"v", None, (), None, 9)),
    ],
)  # fmt: skip
def test_records(value: Any, expected: SeedRecord) -> None:
    (topic,) = parse_contents({"topics": {"t": {"partitions": 2, "records": [value]}}}).topics
    assert topic.records == (expected,)


def test_groups() -> None:
    declared = {"topics": {"t": 3}, "groups": {"g": {"t": "earliest", "u": {"0": 5, 1: "latest"}}, "h": {"t": 7}}}
    assert parse_contents(declared).groups == (
        GroupContents(
            "g",
            (
                CommittedOffset("t", None, EARLIEST),
                CommittedOffset("u", 0, 5),
                CommittedOffset("u", 1, LATEST),
            ),
        ),
        GroupContents("h", (CommittedOffset("t", None, 7),)),
    )


def test_nothing() -> None:
    for declared in (None, {}, {"topics": None}, {"topics": {}, "groups": {}}, {"topics": []}):
        assert not parse_contents(declared)


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ([], "must be a mapping with topics, groups, not a list"),
        ({"topcs": {}}, "topcs: is not known here; did you mean 'topics'?"),
        ({"topics": 5}, "topics: must be a mapping of names, or a list, not 5"),
        ({"topics": {"a": "six"}}, "topics.a: must be a number of partitions or a mapping, not 'six'"),
        ({"topics": {"a": 0}}, "topics.a: partitions must be from 1 to 10000, not 0"),
        ({"topics": {"a": True}}, "topics.a: must be a number of partitions or a mapping, not true"),
        ({"topics": {"a": {"partitons": 1}}}, "topics.a.partitons: is not known here; did you mean 'partitions'?"),
        ({"topics": {"a": {"partitions": "1"}}}, "topics.a.partitions: partitions must be a whole number"),
        ({"topics": {"a": {"replication_factor": 0}}}, "topics.a.replication_factor: the replication factor must be"),
        ({"topics": {"a": {"configs": []}}}, "topics.a.configs: must be a mapping"),
        ({"topics": {"a": {"configs": {"x": None}}}}, "topics.a.configs.x: must be text, a number, true or false"),
        ({"topics": {"a": {"configs": {"x": {}}}}}, "topics.a.configs.x: must be text"),
        ({"topics": {"a": {"records": {}}}}, "topics.a.records: must be a list, not a mapping"),
        ({"topics": {"a b": 1}}, "topics.a b: Topic name is invalid"),
        ({"topics": {"__consumer_offsets": 1}}, "is the broker's own topic"),
        ({"topics": {"__cluster_metadata": 1}}, "is the broker's own topic"),
        ({"topics": {"a.b": 1, "a_b": 1}}, "topics.a_b: topic 'a_b' collides with 'a.b'"),
        ({"topics": {None: 1}}, "topics.None: the name must be text, not nothing; put it into quotes"),
        ({"topics": ["a:1", "a:2"]}, r"topics[1]: topic 'a' is declared twice"),
        ({"topics": [5]}, "topics[0]: must be NAME:PARTITIONS or a mapping with a name, not 5"),
        ({"topics": ["a:x"]}, "topics[0]: partitions must be a whole number"),
        (
            {"topics": {"a": {"partitions": 1, "records": [{"value": 1, "partition": 1}]}}},
            "the topic has partitions 0 to 0",
        ),
        ({"topics": {"a": {"records": [{"value": 1, "vaule": 2}]}}}, "records[0].vaule: is not known here"),
        ({"topics": {"a": {"records": [{"value": 1, "value_base64": "AA=="}]}}}, "give value or value_base64,"),
        ({"topics": {"a": {"records": [{"value_base64": "?"}]}}}, "must be base64, not '?'"),
        ({"topics": {"a": {"records": [{"value": "\ud800"}]}}}, "is no text that UTF-8 can hold"),
        ({"topics": {"a": {"records": [{"value": float("nan")}]}}}, "cannot be written as JSON: nan"),
        ({"topics": {"a": {"records": [{"value": 1, "timestamp": "soon"}]}}}, "must be milliseconds since 1970"),
        ({"topics": {"a": {"records": [{"value": 1, "timestamp_ms": -1}]}}}, "a timestamp in ms must be from 0"),
        ({"topics": {"a": {"records": [{"value": 1, "headers": 5}]}}}, "headers: must be a mapping of names to values"),
        ({"topics": {"a": {"records": [{"value": 1, "headers": [1]}]}}}, "headers[0]: must be [NAME, VALUE], not 1"),
        ({"groups": []}, "groups: must be a mapping of group ids"),
        ({"groups": {"": {}}}, "a group id must not be empty"),
        ({"groups": {"g": 5}}, "groups.g: must be a mapping of topics to offsets"),
        ({"groups": {"g": {"t": "first"}}}, "groups.g.t: must be an offset, earliest or latest, not 'first'"),
        ({"groups": {"g": {"t": {"zero": 1}}}}, "groups.g.t.zero: must be a partition's number"),
        ({"topics": {"t": 1}, "groups": {"g": {"t": {"1": 1}}}}, "groups.g.t.1: the topic has partitions 0 to 0"),
        ({"groups": {"g": {"t": -5}}}, "groups.g.t: an offset must be from 0"),
    ],
)  # fmt: skip
def test_mistakes(declared: Any, said: str) -> None:
    with pytest.raises(ContentsError) as caught:
        parse_contents(declared)
    assert said in str(caught.value)


def test_every_mistake_is_told_up_to_a_bound() -> None:
    with pytest.raises(ContentsError) as caught:
        parse_contents({"topics": {"a": {"partitions": 0, "configs": 5}, "b c": 1}, "groups": 5})
    assert len(caught.value.problems) == 4
    with pytest.raises(ContentsError) as caught:
        parse_contents({"topics": {f"bad {number}": 1 for number in range(1000)}})
    assert len(caught.value.problems) == 20


def test_what_is_large_deep_or_round() -> None:
    deep: Any = 1
    for _ in range(500):
        deep = [deep]
    ring: list[Any] = []
    ring.append(ring)
    bomb: Any = ["x"]
    for _ in range(60):
        bomb = [bomb] * 10
    for value, said in [(deep, "deep"), (ring, "deep"), (bomb, "more than 20000000 values")]:
        with pytest.raises(ContentsError, match=said):
            parse_contents({"topics": {"a": {"records": [value]}}})
    with pytest.raises(ContentsError, match="10001 topics are more than 10000"):
        parse_contents({"topics": {f"t{number}": 1 for number in range(10_001)}})


def test_joined() -> None:
    one, two = parse_contents({"topics": {"a": 1}, "groups": {"g": {}}}), parse_contents({"topics": {"b": 1}})
    assert [topic.name for topic in one.joined(two).topics] == ["a", "b"]
    with pytest.raises(ContentsError, match=r"topics\.a: is declared twice"):
        one.joined(one)


names = st.from_regex(r"[a-zA-Z0-9-]{1,20}", fullmatch=True)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
plain = st.none() | st.integers(-(2**40), 2**40) | texts
records = st.fixed_dictionaries(
    {"value": plain | st.lists(plain, max_size=3) | st.dictionaries(texts, plain, max_size=3)},
    optional={
        "key": st.none() | texts,
        "headers": st.dictionaries(texts, st.none() | texts, max_size=3),
        "timestamp_ms": st.integers(0, 2**40),
        "partition": st.integers(0, 4),
    },
)
topics = st.dictionaries(
    names,
    st.none()
    | st.integers(5, 50)
    | st.fixed_dictionaries(
        {"partitions": st.integers(5, 9)},
        optional={"configs": st.dictionaries(names, texts), "records": st.lists(records, max_size=4)},
    ),
    max_size=5,
)


@given(topics)
def test_what_is_right_is_understood(declared: dict[str, Any]) -> None:
    contents = parse_contents({"topics": declared})
    assert [topic.name for topic in contents.topics] == list(declared)
    for topic in contents.topics:
        wanted = declared[topic.name]
        if isinstance(wanted, dict):
            assert topic.partitions == wanted["partitions"]
            assert len(topic.records) == len(wanted.get("records", ()))
            for record, value in zip(topic.records, wanted.get("records", ()), strict=True):
                assert record.partition == value.get("partition")
                assert record.timestamp_ms == value.get("timestamp_ms")
                key = value.get("key")
                assert record.key == (None if key is None else key.encode())
                content = value["value"]
                if isinstance(content, (dict, list)):
                    assert record.value is not None
                    assert json.loads(record.value) == content


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["topics", "groups", "partitions", "configs", "records", "value", "key", "headers", "timestamp"]
            )
            | st.text(max_size=5)
            | st.integers()
            | st.none(),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(anything | st.fixed_dictionaries({"topics": anything, "groups": anything}))
def test_whatever_is_declared_is_understood_or_refused(declared: Any) -> None:
    with suppress(ContentsError):
        assert isinstance(parse_contents(declared), Contents)
