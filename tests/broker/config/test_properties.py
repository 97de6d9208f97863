"""server.properties as java.util.Properties reads it, and settings from the environment."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.config.environment import settings_from_environment
from broker.config.properties import PropertiesError, parse_properties


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=b", {"a": "b"}),
        ("a = b ", {"a": "b "}),
        ("a:b", {"a": "b"}),
        ("a b", {"a": "b"}),
        ("a\tb", {"a": "b"}),
        ("a", {"a": ""}),
        ("a=", {"a": ""}),
        ("=b", {"": "b"}),
        ("a==b", {"a": "=b"}),
        ("a b=c", {"a": "b=c"}),
        ("# c\n! d\n \t# e\na=b", {"a": "b"}),
        ("a=b\\\n   c", {"a": "bc"}),
        ("a=b\\\\\nc=d", {"a": "b\\", "c": "d"}),
        ("a=b\\\n# not a comment", {"a": "b# not a comment"}),
        ("a=b\\", {"a": "b"}),
        ("a\\ b=c", {"a b": "c"}),
        ("a\\=b=c", {"a=b": "c"}),
        ("a\\:b:c", {"a:b": "c"}),
        ("a=\\t\\n\\r\\f\\q", {"a": "\t\n\r\fq"}),
        ("a=\\u00e4\\u20AC", {"a": "ä€"}),
        ("a=\\uD83D\\uDE00", {"a": "\N{GRINNING FACE}"}),
        ("a=1\r\nb=2\rc=3", {"a": "1", "b": "2", "c": "3"}),
        ("a=1\na=2", {"a": "2"}),
        ("", {}),
        ("listeners=PLAINTEXT://:9092,SSL://:9093", {"listeners": "PLAINTEXT://:9092,SSL://:9093"}),
    ],
)
def test_as_java_reads_them(text: str, expected: dict[str, str]) -> None:
    assert parse_properties(text) == expected


def test_a_bad_escape_says_its_line() -> None:
    with pytest.raises(PropertiesError, match="line 2: malformed"):
        parse_properties("a=1\nb=\\u12")


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(PropertiesError):
        parse_properties(text)


@given(st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=1), st.text(st.characters(codec="utf-8"))))
def test_what_is_escaped_in_full_comes_back(settings: dict[str, str]) -> None:
    def escaped(text: str) -> str:
        units = text.encode("utf-16-be")
        return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))

    text = "\n".join(f"{escaped(key)}={escaped(value)}" for key, value in settings.items())
    assert parse_properties(text) == settings


def test_environment_names_become_settings() -> None:
    assert settings_from_environment(
        {
            "KAFKA_NUM_PARTITIONS": "3",
            "KAFKA_A__B": "underscore",
            "KAFKA_A___B": "dash",
            "KAFKA_KAFKA_METRICS_REPORTERS": "x",
            "HOME": "/root",
            "NOT_KAFKA_X": "y",
        }
    ) == {"num.partitions": "3", "a_b": "underscore", "a-b": "dash", "kafka.metrics.reporters": "x"}


def test_environment_for_the_java_machine_is_passed_over() -> None:
    assert (
        settings_from_environment(
            {
                "KAFKA_HEAP_OPTS": "-Xmx1G",
                "KAFKA_OPTS": "-Dx",
                "KAFKA_JVM_PERFORMANCE_OPTS": "x",
                "KAFKA_LOG4J_LOGGERS": "kafka=DEBUG",
                "KAFKA_LOG4J_ROOT_LOGLEVEL": "WARN",
                "KAFKA_TOOLS_LOG4J_LOGLEVEL": "WARN",
                "KAFKA_JMX_PORT": "9101",
                "KAFKA_VERSION": "4.3.1",
                "KAFKA_SSL_KEYSTORE_FILENAME": "x",
            }
        )
        == {}
    )


def test_listeners_follow_from_advertised_ones_as_in_the_images() -> None:
    found = settings_from_environment({"KAFKA_ADVERTISED_LISTENERS": "PLAINTEXT://broker:9092,SSL://b:9093"})
    assert found["listeners"] == "PLAINTEXT://0.0.0.0:9092,SSL://0.0.0.0:9093"
    given = settings_from_environment(
        {"KAFKA_ADVERTISED_LISTENERS": "PLAINTEXT://broker:9092", "KAFKA_LISTENERS": "PLAINTEXT://:9092"}
    )
    assert given["listeners"] == "PLAINTEXT://:9092"


def test_cluster_id_of_the_images() -> None:
    assert settings_from_environment({"CLUSTER_ID": "kIJ9Q0LzT2SgT6WmM8pOeA"}) == {
        "kwire.cluster.id": "kIJ9Q0LzT2SgT6WmM8pOeA"
    }
