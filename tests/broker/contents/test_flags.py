"""Topics in one line: --topic, KAFKA_CREATE_TOPICS, and what `kwire serve` makes of them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.cli.contents_option import declared
from broker.config.sources import SettingsError
from broker.contents.flags import topic_of, topics_of_environment
from broker.contents.model import ContentsError, TopicContents


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("orders", TopicContents("orders")),
        ("orders:6", TopicContents("orders", 6)),
        ("orders:6:3", TopicContents("orders", 6, 3)),
        ("orders::3", TopicContents("orders", -1, 3)),
        ("orders:-1", TopicContents("orders")),
        (" orders : 6 ", TopicContents("orders", 6)),
        ("orders:6:cleanup.policy=compact", TopicContents("orders", 6, -1, {"cleanup.policy": "compact"})),
        ("orders:cleanup.policy=compact", TopicContents("orders", -1, -1, {"cleanup.policy": "compact"})),
        (
            "orders:6:1:cleanup.policy=compact,delete,retention.ms=5",
            TopicContents("orders", 6, 1, {"cleanup.policy": "compact,delete", "retention.ms": "5"}),
        ),
        ("orders:6:a=1:b=2", TopicContents("orders", 6, -1, {"a": "1", "b": "2"})),
        (
            "orders:6:leader.replication.throttled.replicas=0:1,1:1",
            TopicContents("orders", 6, -1, {"leader.replication.throttled.replicas": "0:1,1:1"}),
        ),
    ],
)
def test_a_topic(text: str, expected: TopicContents) -> None:
    assert topic_of(text) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the empty string is not allowed"),
        ("a b:1", "Topic name is invalid"),
        ("a:x", "partitions must be a whole number from 1 to 10000, not 'x'"),
        ("a:0", "partitions must be"),
        ("a:99999999999", "partitions must be"),
        ("a:1:y", "replication factor must be a whole number"),
        ("a:1:1:compact", "'compact' is no KEY=VALUE"),
        ("a:1:=x", "'=x' must be KEY=VALUE"),
        ("a:1:k=1,k=2", "config 'k' is given twice"),
        ("__consumer_offsets:1", "is the broker's own topic"),
    ],
)
def test_what_is_no_topic(text: str, said: str) -> None:
    with pytest.raises(ContentsError) as caught:
        topic_of(text)
    assert said in str(caught.value)


def test_the_environment() -> None:
    text = (
        "Topic1:1:3,Topic2:1:1:compact\n  plain , both:2:1:compact,delete , more:1:1:retention.ms=5,max.message.bytes=9"
    )
    assert topics_of_environment(text).topics == (
        TopicContents("Topic1", 1, 3),
        TopicContents("Topic2", 1, 1, {"cleanup.policy": "compact"}),
        TopicContents("plain"),
        TopicContents("both", 2, 1, {"cleanup.policy": "compact,delete"}),
        TopicContents("more", 1, 1, {"retention.ms": "5", "max.message.bytes": "9"}),
    )
    assert [topic.name for topic in topics_of_environment("a:1:1;b:1:1", ";").topics] == ["a", "b"]
    assert not topics_of_environment("")
    for wrong, said in [
        ("a:1:1:keep", "'keep' is no cleanup policy"),
        ("a:1,a:2", "declared twice"),
        ("a:1,:2", "the empty string"),
    ]:
        with pytest.raises(ContentsError, match=said) as caught:
            topics_of_environment(wrong)
        assert str(caught.value).startswith("KAFKA_CREATE_TOPICS: ")


@given(st.text(st.sampled_from("ab:=,.1-_ \n"), max_size=30))
def test_any_text_is_understood_or_refused(text: str) -> None:
    for parse in (topic_of, topics_of_environment):
        with suppress(ContentsError):
            parse(text)


def test_all_sources_together(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("topics: {from-file: 2}")
    environment = {"KAFKA_CREATE_TOPICS": "from-environment:1:1"}
    contents = declared(["from-flag:3"], [tmp_path / "c.yaml"], environment)
    assert [topic.name for topic in contents.topics] == ["from-environment", "from-file", "from-flag"]
    with pytest.raises(SettingsError, match=r"from-file: is declared twice"):
        declared(["from-file"], [tmp_path / "c.yaml"], {})
    with pytest.raises(SettingsError, match=r"^--topic: a:x: partitions must be"):
        declared(["a:x"], [], {})
