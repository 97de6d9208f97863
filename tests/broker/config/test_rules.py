"""What may be set on topics, groups, brokers, client metrics and loggers; the texts are Kafka 4.3.1's."""

from __future__ import annotations

import logging

import pytest

from broker.config.broker_config import BrokerConfig
from broker.config.client_metrics_config import validate_client_metrics_configs
from broker.config.dynamic import validate_broker_change
from broker.config.group_config import validate_group_configs
from broker.config.loggers import DELETE, SET, LevelChange, Loggers
from broker.config.rules import Rules
from broker.controller.ports import ConfigResource
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError

CONFIG_ERROR = ErrorCode.INVALID_CONFIG
REQUEST_ERROR = ErrorCode.INVALID_REQUEST


@pytest.mark.parametrize(
    ("name", "configs", "code", "message"),
    [
        ("t", {"nope": "1"}, CONFIG_ERROR, "Unknown topic config name: nope"),
        (
            "t",
            {"segment.ms": "x"},
            CONFIG_ERROR,
            "Invalid value x for configuration segment.ms: Not a number of type LONG",
        ),
        (
            "t",
            {"min.compaction.lag.ms": "10", "max.compaction.lag.ms": "5"},
            CONFIG_ERROR,
            "conflict topic config setting min.compaction.lag.ms (10) > max.compaction.lag.ms (5)",
        ),
        (
            "t",
            {"remote.storage.enable": "true"},
            CONFIG_ERROR,
            "Tiered Storage functionality is disabled in the broker. "
            "Topic cannot be configured with remote log storage.",
        ),
        ("", {}, REQUEST_ERROR, "Default topic resources are not allowed."),
        ("..", {}, ErrorCode.INVALID_TOPIC_EXCEPTION, "Topic name is invalid: '..' is not allowed"),
    ],
)
def test_topics(name: str, configs: dict[str, str], code: ErrorCode, message: str) -> None:
    with pytest.raises(ApiError) as caught:
        Rules(BrokerConfig()).validate(ConfigResource(2, name), configs, {})
    assert (caught.value.code, caught.value.message) == (code, message)


@pytest.mark.parametrize(
    ("configs", "message"),
    [
        ({"foo": "1"}, "Unknown group config name: foo"),
        (
            {"consumer.session.timeout.ms": "1"},
            "consumer.session.timeout.ms must be greater than or equal to group.consumer.min.session.timeout.ms",
        ),
        (
            {"consumer.session.timeout.ms": "100000"},
            "consumer.session.timeout.ms must be less than or equal to group.consumer.max.session.timeout.ms",
        ),
        (
            {"consumer.session.timeout.ms": "45000", "consumer.heartbeat.interval.ms": "45000"},
            "consumer.heartbeat.interval.ms must be less than or equal to group.consumer.max.heartbeat.interval.ms",
        ),
        (
            {"share.delivery.count.limit": "20"},
            "share.delivery.count.limit must be less than or equal to group.share.max.delivery.count.limit",
        ),
        (
            {"share.partition.max.record.locks": "5000"},
            "share.partition.max.record.locks must be less than or equal to group.share.max.partition.max.record.locks",
        ),
        (
            {"streams.num.standby.replicas": "5"},
            "streams.num.standby.replicas must be less than or equal to group.streams.max.standby.replicas",
        ),
        (
            {"streams.assignment.interval.ms": "50000"},
            "streams.assignment.interval.ms must be less than or equal to group.streams.max.assignment.interval.ms",
        ),
        (
            {"consumer.session.timeout.ms": "0"},
            "Invalid value 0 for configuration consumer.session.timeout.ms: Value must be at least 1",
        ),
    ],
)
def test_groups(configs: dict[str, str], message: str) -> None:
    with pytest.raises(ApiError) as caught:
        validate_group_configs(configs, BrokerConfig())
    assert (caught.value.code, caught.value.message) == (CONFIG_ERROR, message)


def test_groups_within_bounds() -> None:
    validate_group_configs(
        {"consumer.session.timeout.ms": "46000", "streams.initial.rebalance.delay.ms": "5000000"}, BrokerConfig()
    )


@pytest.mark.parametrize(
    ("name", "configs", "code", "message"),
    [
        ("c", {"foo": "1"}, REQUEST_ERROR, "Unknown client metrics configuration: foo"),
        (
            "c",
            {"interval.ms": "10"},
            REQUEST_ERROR,
            "Invalid value 10 for interval.ms, interval must be between 100 and 3600000 (1 hour)",
        ),
        (
            "c",
            {"interval.ms": "x"},
            CONFIG_ERROR,
            "Invalid value x for configuration interval.ms: Not a number of type INT",
        ),
        ("c", {"match": "foo"}, CONFIG_ERROR, "Illegal client matching pattern: foo"),
        ("c", {"match": "foo=a"}, CONFIG_ERROR, "Illegal client matching pattern: foo=a"),
        ("c", {"match": "client_id=["}, CONFIG_ERROR, "Illegal client matching pattern: client_id=["),
        ("c", {"match": "client_id=a=b"}, CONFIG_ERROR, "Illegal client matching pattern: client_id=a=b"),
        ("", {"interval.ms": "1000"}, REQUEST_ERROR, "Subscription name can't be empty"),
    ],
)
def test_client_metrics(name: str, configs: dict[str, str], code: ErrorCode, message: str) -> None:
    with pytest.raises(ApiError) as caught:
        validate_client_metrics_configs(name, configs)
    assert (caught.value.code, caught.value.message) == (code, message)


@pytest.mark.parametrize(
    ("per_broker", "settings", "message"),
    [
        (True, {"num.partitions": "2"}, "Cannot update these configs dynamically: [num.partitions]"),
        (
            False,
            {"listeners": "x"},
            "Cannot update these configs at default cluster level, broker id must be specified: [listeners]",
        ),
        (
            True,
            {"ssl.keystore.location": "x"},
            "These security configs can be dynamically updated only per-listener using the listener prefix: "
            "[ssl.keystore.location]",
        ),
        (
            False,
            {"listener.name.plaintext.ssl.keystore.location": "x"},
            "Cannot update these configs at default cluster level, broker id must be specified: "
            "[listener.name.plaintext.ssl.keystore.location]",
        ),
        (
            True,
            {"log.cleaner.threads": "5"},
            "Log cleaner threads cannot be increased to more than double the current value 1",
        ),
        (
            False,
            {"log.cleaner.threads": "0"},
            "Log cleaner threads should be at least 1",
        ),
        (
            True,
            {"log.cleaner.dedupe.buffer.size": "1048576"},
            "log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread.",
        ),
        (
            False,
            {"log.cleaner.threads": "x"},
            "Invalid value x for configuration log.cleaner.threads: Not a number of type INT",
        ),
        (
            True,
            {"num.io.threads": "0"},
            "Invalid value 0 for configuration num.io.threads: Value must be at least 1",
        ),
        (
            True,
            {"num.io.threads": "80"},
            "Dynamic thread count update validation failed for num.io.threads=80, "
            "value should not be greater than double the current value 8",
        ),
        (
            True,
            {"leader.replication.throttled.rate": "x"},
            "Invalid value x for configuration leader.replication.throttled.rate: Not a number of type LONG",
        ),
        (
            False,
            {"max.connections.per.ip.overrides": "x"},
            "Error parsing configuration property 'max.connections.per.ip.overrides': 'x' is not HOST:COUNT",
        ),
        (True, {"listeners": "PLAINTEXT://:1"}, "These configs are applied at start only: [listeners]"),
    ],
)
def test_brokers(per_broker: bool, settings: dict[str, str], message: str) -> None:
    with pytest.raises(ApiError) as caught:
        validate_broker_change(BrokerConfig(), settings, per_broker=per_broker)
    assert (caught.value.code, caught.value.message) == (REQUEST_ERROR, message)


def test_what_a_broker_takes() -> None:
    config = BrokerConfig()
    validate_broker_change(config, {"log.cleaner.threads": "2", "foo.baz": "1"}, per_broker=True)
    validate_broker_change(
        config, {"log.cleaner.threads": "2", "log.cleaner.dedupe.buffer.size": "3000000"}, per_broker=False
    )
    validate_broker_change(config, {"log.retention.ms": "1000", "num.network.threads": "1"}, per_broker=False)
    validate_broker_change(
        config,
        {"listener.name.plaintext.ssl.keystore.location": "x", "max.connections.per.ip.overrides": "::1:5, a:6"},
        per_broker=True,
    )


def test_lists_and_their_defaults() -> None:
    rules = Rules(BrokerConfig())
    topic = ConfigResource(2, "t")
    assert rules.is_list(topic, "cleanup.policy")
    assert not rules.is_list(topic, "segment.bytes")
    assert not rules.is_list(topic, "nope")
    assert rules.default_value(topic, "cleanup.policy") == "delete"
    assert rules.is_list(ConfigResource(4, "1"), "log.cleanup.policy")
    assert rules.is_list(ConfigResource(16, "c"), "match")
    assert rules.default_value(ConfigResource(32, "g"), "nope") is None


def test_topic_entries_follow_the_layers() -> None:
    config = BrokerConfig({"message.max.bytes": "5"})
    rules = Rules(config)
    entries = {entry.name: entry for entry in rules.topic_entries({}, {}, {})}
    assert len(entries) == 33
    assert (entries["max.message.bytes"].value, entries["max.message.bytes"].source) == ("5", 4)
    assert entries["segment.bytes"].source == 5
    entries = {
        entry.name: entry
        for entry in rules.topic_entries({"segment.ms": "7"}, {"log.preallocate": "true"}, {"message.max.bytes": "6"})
    }
    assert (entries["max.message.bytes"].value, entries["max.message.bytes"].source) == ("6", 3)
    assert (entries["preallocate"].value, entries["preallocate"].source) == ("true", 2)
    assert (entries["segment.ms"].value, entries["segment.ms"].source) == ("7", 1)
    config.set_dynamic({"message.max.bytes": "9"}, {})
    entries = {entry.name: entry for entry in rules.topic_entries({}, {}, {"message.max.bytes": "9"})}
    assert entries["max.message.bytes"].value == "9"


@pytest.fixture
def loggers() -> Loggers:
    root = logging.RootLogger(logging.WARNING)
    root.manager = logging.Manager(root)
    root.manager.getLogger("kwire.listener")
    return Loggers(root)


def test_loggers_levels(loggers: Loggers) -> None:
    assert loggers.levels() == {"kwire.listener": "WARN", "root": "WARN"}
    changes = [LevelChange("kwire.listener", SET, "DEBUG"), LevelChange("root", SET, "FATAL")]
    loggers.validate(changes)
    loggers.apply(changes)
    assert loggers.levels() == {"kwire.listener": "DEBUG", "root": "FATAL"}
    loggers.apply([LevelChange("kwire.listener", DELETE, None)])
    assert loggers.levels()["kwire.listener"] == "FATAL"


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (
            LevelChange("root", SET, "FOO"),
            CONFIG_ERROR,
            "Cannot set the log level of root to FOO as it is not a supported log level. "
            "Valid log levels are DEBUG, ERROR, FATAL, INFO, TRACE, WARN",
        ),
        (LevelChange("no.such", SET, "INFO"), CONFIG_ERROR, "Logger no.such does not exist!"),
        (
            LevelChange("root", 2, "INFO"),
            REQUEST_ERROR,
            "APPEND operation is not allowed for the BROKER_LOGGER resource",
        ),
        (
            LevelChange("root", DELETE, None),
            REQUEST_ERROR,
            "Removing the log level of the root logger is not allowed",
        ),
    ],
)
def test_loggers_refusals(loggers: Loggers, change: LevelChange, code: ErrorCode, message: str) -> None:
    with pytest.raises(ApiError) as caught:
        loggers.validate([change])
    assert (caught.value.code, caught.value.message) == (code, message)
