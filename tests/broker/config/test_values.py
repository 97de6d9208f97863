"""Texts and values of settings, against what Kafka 4.3.1 answers."""

from __future__ import annotations

import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.config.definitions import broker_definitions, group_definitions, topic_definitions
from broker.config.values import ConfigType, InvalidConfigError, double_text, parse, to_text

# Java's Double.toString
DOUBLES = {
    0.05: "0.05",
    1e-3: "0.001",
    9.999e-4: "9.999E-4",
    1e7: "1.0E7",
    1.5e7: "1.5E7",
    123456.789: "123456.789",
    0.0: "0.0",
    -2.0: "-2.0",
    1e22: "1.0E22",
    1e-5: "1.0E-5",
    100.0: "100.0",
    1.7976931348623157e308: "1.7976931348623157E308",
    math.inf: "Infinity",
}


@pytest.mark.parametrize(("value", "text"), DOUBLES.items())
def test_doubles_as_java_writes_them(value: float, text: str) -> None:
    assert double_text(value) == text


@given(st.floats(allow_nan=False))
def test_a_double_survives_its_text(value: float) -> None:
    assert parse("x", double_text(value), ConfigType.DOUBLE) == value


@given(st.integers(-(2**31), 2**31 - 1))
def test_an_int_survives_its_text(value: int) -> None:
    assert parse("x", f" {value} ", ConfigType.INT) == value


@given(st.text(max_size=30), st.sampled_from(ConfigType))
def test_parsing_raises_its_own_error_only(text: str, kind: ConfigType) -> None:
    with suppress(InvalidConfigError):
        value = parse("x", text, kind)
        assert kind is ConfigType.LIST or parse("x", to_text(value) or "", kind) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (ConfigType.INT, "2147483648"),
        (ConfigType.INT, "1_000"),
        (ConfigType.INT, "1.0"),
        (ConfigType.INT, ""),
        (ConfigType.INT, "9" * 100_000),
        (ConfigType.SHORT, "32768"),
        (ConfigType.LONG, "9223372036854775808"),
        (ConfigType.DOUBLE, "one"),
    ],
)
def test_what_is_not_a_number(kind: ConfigType, text: str) -> None:
    with pytest.raises(InvalidConfigError, match=f"Not a number of type {kind.name}"):
        parse("x", text, kind)


def test_lists_and_booleans() -> None:
    assert parse("x", " a , b,c ", ConfigType.LIST) == ["a", "b", "c"]
    assert parse("x", "", ConfigType.LIST) == []
    assert parse("x", "TRUE", ConfigType.BOOLEAN) is True
    with pytest.raises(InvalidConfigError, match="either true or false"):
        parse("x", "yes", ConfigType.BOOLEAN)


# Texts of refusals as Kafka 4.3.1 answered them.
REFUSED = {
    ("segment.bytes", "abc"): "Invalid value abc for configuration segment.bytes: Not a number of type INT",
    ("segment.bytes", "10"): "Invalid value 10 for configuration segment.bytes: Value must be at least 1048576",
    ("retention.ms", "-2"): "Invalid value -2 for configuration retention.ms: Value must be at least -1",
    ("compression.type", "foo"): "Invalid value foo for configuration compression.type: String must be one of: "
    "uncompressed, zstd, lz4, snappy, gzip, producer",
    ("cleanup.policy", "foo"): "Invalid value foo for configuration cleanup.policy: String must be one of: "
    "compact, delete",
    ("cleanup.policy", "delete,"): "Configuration 'cleanup.policy' values must not be empty.",
    ("preallocate", "x"): "Invalid value x for configuration preallocate: Expected value to be either true or false",
    ("compression.gzip.level", "0"): "Invalid value 0 for configuration compression.gzip.level: "
    "Value must be between 1 and 9 or equal to -1",
    ("min.cleanable.dirty.ratio", "2"): "Invalid value 2.0 for configuration min.cleanable.dirty.ratio: "
    "Value must be no more than 1",
    ("leader.replication.throttled.replicas", "x"): "Invalid value [x] for configuration "
    "leader.replication.throttled.replicas: leader.replication.throttled.replicas must be the literal '*' or a list "
    "of replicas in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],...",
}


@pytest.mark.parametrize(("setting", "message"), REFUSED.items(), ids=lambda value: str(value)[:40])
def test_refusals_in_kafkas_words(setting: tuple[str, str], message: str) -> None:
    name, text = setting
    with pytest.raises(InvalidConfigError) as caught:
        topic_definitions()[name].parse(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cleanup.policy", ""),
        ("cleanup.policy", "delete,delete"),
        ("cleanup.policy", "compact, delete"),
        ("leader.replication.throttled.replicas", "*"),
        ("leader.replication.throttled.replicas", "0:1,1:2"),
        ("compression.gzip.level", "-1"),
    ],
)
def test_values_that_topics_may_have(name: str, text: str) -> None:
    topic_definitions()[name].parse(text)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("log.dirs", "", "Configuration 'log.dirs' must not be empty. Valid values include: any non-empty value."),
        (
            "process.roles",
            "",
            "Configuration 'process.roles' must not be empty. Valid values include: [broker, controller].",
        ),
        ("log.dirs", "a,a", "Configuration 'log.dirs' values must not be duplicated."),
        ("listeners", "a,", "Configuration 'listeners' values must not be empty."),
        ("log.cleanup.policy", "delete,delete", "Configuration 'log.cleanup.policy' values must not be duplicated."),
    ],
)
def test_lists_of_the_broker(name: str, text: str, message: str) -> None:
    with pytest.raises(InvalidConfigError) as caught:
        broker_definitions()[name].parse(text)
    assert str(caught.value) == message.removesuffix(".") + "."


def test_case_does_not_matter_where_kafka_says_so() -> None:
    definition = broker_definitions()["group.consumer.migration.policy"]
    assert definition.parse("Upgrade") == "Upgrade"
    with pytest.raises(InvalidConfigError, match="case insensitive"):
        definition.parse("sideways")


@pytest.mark.parametrize("text", ["latest", "earliest", "by_duration:PT1H", "by_duration:P3DT1.5S"])
def test_share_offset_reset(text: str) -> None:
    group_definitions()["share.auto.offset.reset"].parse(text)


@pytest.mark.parametrize("text", ["x", "by_duration:", "by_duration:P", "by_duration:-PT1H", "by_duration:x"])
def test_share_offset_reset_refused(text: str) -> None:
    with pytest.raises(InvalidConfigError, match="must be either 'earliest', 'latest'"):
        group_definitions()["share.auto.offset.reset"].parse(text)


def test_every_default_is_allowed() -> None:
    for table in (broker_definitions(), topic_definitions(), group_definitions()):
        for definition in table.values():
            if definition.default_text is not None:
                definition.parse(definition.default_text)


def test_what_is_allowed_in_words() -> None:
    definitions = broker_definitions()
    assert definitions["num.partitions"].allowed() == "a whole number, at least 1"
    assert definitions["group.share.max.size"].allowed() == "a whole number from 1 to 1000"
    assert definitions["compression.gzip.level"].allowed() == "a whole number from 1 to 9 or -1"
    assert definitions["auto.create.topics.enable"].allowed() == "true or false"
    assert definitions["log.cleanup.policy"].allowed() == "any of compact, delete"
    assert definitions["ssl.client.auth"].allowed() == "one of required, requested, none"
