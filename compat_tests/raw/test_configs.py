"""DescribeConfigs, IncrementalAlterConfigs, AlterConfigs, ListConfigResources."""

from collections.abc import Iterator
from typing import Any

import pytest

from compat_tests.raw.wire import Wire, eventually

UNKNOWN, TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP = 0, 2, 4, 8, 16, 32
SET, DELETE, APPEND, SUBTRACT = 0, 1, 2, 3


def describe(wire: Wire, kind: int, name: str, keys: list[str] | None = None, version: int = 4, **more: Any) -> Any:
    resource = {"resource_type": kind, "resource_name": name, "configuration_keys": keys}
    (result,) = wire.ask("DescribeConfigs", version, resources=[resource], **more).results
    return result


def values(wire: Wire, kind: int, name: str, *keys: str) -> dict[str, tuple[str | None, int]]:
    """{key: (value, source)}"""
    result = describe(wire, kind, name, list(keys) or None)
    assert result.error_code == 0, f"DescribeConfigs: {result.error_code} {result.error_message}"
    return {c.name: (c.value, c.config_source) for c in result.configs}


def change(
    wire: Wire, kind: int, name: str, *changes: tuple[str, int, str | None], version: int = 1
) -> tuple[int, str | None]:
    """IncrementalAlterConfigs of one resource: error and message."""
    configs = [{"name": k, "config_operation": operation, "value": v} for k, operation, v in changes]
    resource = {"resource_type": kind, "resource_name": name, "configs": configs}
    (answer,) = wire.ask("IncrementalAlterConfigs", version, resources=[resource]).responses
    return answer.error_code, answer.error_message


@pytest.fixture
def existing(wire: Wire, topic: str) -> str:
    wire.create(topic)
    return topic


def settled(wire: Wire, kind: int, name: str, key: str, value: tuple[str | None, int]) -> None:
    """The change is seen; Kafka applies it shortly after its answer."""
    eventually(lambda: values(wire, kind, name, key).get(key), lambda got: got == value, f"{key} of {name!r}")


# DescribeConfigs


@pytest.mark.parametrize("version", range(1, 5))
def test_describe_topic_in_every_version(wire: Wire, topic: str, version: int) -> None:
    wire.create(topic, configs={"retention.ms": "777"})
    result = describe(wire, TOPIC, topic, version=version)
    assert (result.error_code, result.error_message, result.resource_name) == (0, "", topic)
    configs = {c.name: c for c in result.configs}
    assert len(configs) == 33
    assert (configs["retention.ms"].value, configs["retention.ms"].config_source) == ("777", 1)
    assert (configs["cleanup.policy"].value, configs["cleanup.policy"].config_source) == ("delete", 5)
    if version >= 3:
        assert (configs["retention.ms"].config_type, configs["cleanup.policy"].config_type) == (5, 7)


def test_describe_synonyms(wire: Wire, topic: str) -> None:
    wire.create(topic, configs={"retention.ms": "777"})
    (config,) = describe(wire, TOPIC, topic, ["retention.ms"], include_synonyms=True).configs
    synonyms = [(s.name, s.value, s.source) for s in config.synonyms]
    assert synonyms == [("retention.ms", "777", 1)]
    (plain,) = describe(wire, TOPIC, topic, ["retention.ms"]).configs
    assert plain.synonyms == []


def test_describe_documentation_when_asked(wire: Wire, existing: str) -> None:
    (config,) = describe(wire, TOPIC, existing, ["retention.ms"], include_documentation=True).configs
    assert config.documentation
    (config,) = describe(wire, TOPIC, existing, ["retention.ms"]).configs
    assert config.documentation is None


def test_describe_chosen_unknown_and_no_keys(wire: Wire, existing: str) -> None:
    assert set(values(wire, TOPIC, existing, "retention.ms", "no.such")) == {"retention.ms"}
    assert len(describe(wire, TOPIC, existing, []).configs) == 33
    assert len(describe(wire, TOPIC, existing, None).configs) == 33


@pytest.mark.parametrize(
    ("kind", "name", "error"),
    [
        (TOPIC, "no-such-topic", 3),
        (TOPIC, "bad name", 17),
        (BROKER, "7", 42),
        (BROKER, "x", 42),
        (0, "x", 42),
        (7, "x", 42),
    ],
)
def test_describe_errors(wire: Wire, kind: int, name: str, error: int) -> None:
    result = describe(wire, kind, name)
    assert (result.error_code, result.configs) == (error, [])
    assert bool(result.error_message) == (error != 3), "an unknown topic has no message"


def test_describe_broker(wire: Wire) -> None:
    found = values(wire, BROKER, "1", "num.partitions", "log.retention.hours", "node.id")
    assert found["num.partitions"] == ("4", 4)
    assert found["log.retention.hours"] == ("168", 5)
    assert found["node.id"] == ("1", 4)


def test_describe_the_brokers_default(wire: Wire) -> None:
    assert values(wire, BROKER, "")["min.insync.replicas"] == ("1", 3)


def test_describe_group_never_set(wire: Wire, group: str) -> None:
    found = values(wire, GROUP, group)
    assert found["consumer.session.timeout.ms"] == ("45000", 5)


def test_describe_client_metrics_never_set(wire: Wire, group: str) -> None:
    found = values(wire, CLIENT_METRICS, group)
    assert set(found) == {"interval.ms", "match", "metrics"}
    assert found["interval.ms"] == ("300000", 5)


def test_describe_broker_loggers(wire: Wire) -> None:
    result = describe(wire, BROKER_LOGGER, "1")
    assert result.error_code == 0
    assert "root" in {c.name for c in result.configs}
    assert {c.config_source for c in result.configs} == {6}


# IncrementalAlterConfigs of topics


@pytest.mark.parametrize("version", [0, 1])
def test_set_and_delete(wire: Wire, existing: str, version: int) -> None:
    assert change(wire, TOPIC, existing, ("retention.ms", SET, "5000"), version=version) == (0, None)
    settled(wire, TOPIC, existing, "retention.ms", ("5000", 1))
    assert change(wire, TOPIC, existing, ("retention.ms", DELETE, None), version=version) == (0, None)
    settled(wire, TOPIC, existing, "retention.ms", ("604800000", 5))


def test_append_and_subtract(wire: Wire, existing: str) -> None:
    assert change(wire, TOPIC, existing, ("cleanup.policy", APPEND, "compact"))[0] == 0
    settled(wire, TOPIC, existing, "cleanup.policy", ("delete,compact", 1))
    assert change(wire, TOPIC, existing, ("cleanup.policy", SUBTRACT, "delete"))[0] == 0
    settled(wire, TOPIC, existing, "cleanup.policy", ("compact", 1))


@pytest.mark.parametrize(
    ("what", "changes", "error"),
    [
        ("unknown name", [("no.such", SET, "1")], 40),
        ("bad value", [("retention.ms", SET, "soon")], 40),
        ("append to a non-list", [("retention.ms", APPEND, "1")], 40),
        ("null value", [("retention.ms", SET, None)], 42),
        ("key twice", [("retention.ms", SET, "1"), ("retention.ms", SET, "2")], 42),
        ("operation 9", [("retention.ms", 9, "1")], -1),
        ("delete of an unset key", [("retention.ms", DELETE, None)], 0),
    ],
)
def test_incremental_errors(
    wire: Wire, existing: str, what: str, changes: list[tuple[str, int, str | None]], error: int
) -> None:
    assert change(wire, TOPIC, existing, *changes)[0] == error, what
    assert values(wire, TOPIC, existing, "retention.ms")["retention.ms"] == ("604800000", 5)


def test_incremental_unknown_topic(wire: Wire, topic: str) -> None:
    assert change(wire, TOPIC, topic, ("retention.ms", SET, "1"))[0] == 3


def test_incremental_resource_twice(wire: Wire, existing: str) -> None:
    resource = {
        "resource_type": TOPIC,
        "resource_name": existing,
        "configs": [{"name": "retention.ms", "config_operation": SET, "value": "1"}],
    }
    answer = wire.ask("IncrementalAlterConfigs", 1, resources=[resource, resource])
    assert [r.error_code for r in answer.responses] == [42, 42]


def test_incremental_validate_only(wire: Wire, existing: str) -> None:
    resource = {
        "resource_type": TOPIC,
        "resource_name": existing,
        "configs": [{"name": "retention.ms", "config_operation": SET, "value": "1"}],
    }
    answer = wire.ask("IncrementalAlterConfigs", 1, resources=[resource], validate_only=True)
    assert [r.error_code for r in answer.responses] == [0]
    assert values(wire, TOPIC, existing, "retention.ms")["retention.ms"] == ("604800000", 5)


# Brokers, loggers, client metrics, groups


@pytest.fixture
def _broker_defaults(wire: Wire) -> Iterator[None]:
    """Undoes what the test sets for the broker or all brokers."""
    yield
    for name in ("", "1"):
        for key in ("log.cleaner.threads", "no.such.key", "message.max.bytes"):
            change(wire, BROKER, name, (key, DELETE, None))
    eventually(lambda: set(values(wire, BROKER, "")), lambda keys: keys == {"min.insync.replicas"}, "clean-up")


def test_read_only_broker_key(wire: Wire) -> None:
    for name in ("1", ""):
        error, message = change(wire, BROKER, name, ("num.partitions", SET, "3"))
        assert error == 42
        assert message is not None
        assert "Cannot update these configs dynamically: [num.partitions]" in message


def test_per_broker_key_for_all_brokers(wire: Wire) -> None:
    assert change(wire, BROKER, "", ("ssl.keystore.location", SET, "x"))[0] == 42


@pytest.mark.parametrize("name", ["7", "abc"])
def test_other_broker(wire: Wire, name: str) -> None:
    assert change(wire, BROKER, name, ("log.cleaner.threads", SET, "1"))[0] == 42


@pytest.mark.usefixtures("_broker_defaults")
def test_unknown_broker_key_is_kept_as_sensitive(wire: Wire) -> None:
    assert change(wire, BROKER, "", ("no.such.key", SET, "1"))[0] == 0
    eventually(lambda: values(wire, BROKER, ""), lambda found: "no.such.key" in found, "the new key")
    (config,) = describe(wire, BROKER, "", ["no.such.key"]).configs
    assert (config.is_sensitive, config.value) == (True, None)


@pytest.mark.usefixtures("_broker_defaults")
@pytest.mark.parametrize(("name", "source"), [("", 3), ("1", 2)])
def test_dynamic_broker_key_reaches_topics(wire: Wire, existing: str, name: str, source: int) -> None:
    assert change(wire, BROKER, name, ("message.max.bytes", SET, "2000000"))[0] == 0
    settled(wire, BROKER, "1", "message.max.bytes", ("2000000", source))
    settled(wire, TOPIC, existing, "max.message.bytes", ("2000000", source))


@pytest.mark.parametrize(("logger", "level"), [("root", "LOUD"), ("no.such.logger.anywhere", "INFO")])
def test_broker_logger_errors(wire: Wire, logger: str, level: str) -> None:
    assert change(wire, BROKER_LOGGER, "1", (logger, SET, level))[0] == 40


@pytest.mark.parametrize(("key", "value"), [("no.such", "1"), ("interval.ms", "99"), ("interval.ms", "3600001")])
def test_client_metrics_errors(wire: Wire, group: str, key: str, value: str) -> None:
    assert change(wire, CLIENT_METRICS, group, (key, SET, value))[0] == 42


def test_client_metrics(wire: Wire, group: str) -> None:
    assert change(wire, CLIENT_METRICS, group, ("interval.ms", SET, "60000"))[0] == 0
    settled(wire, CLIENT_METRICS, group, "interval.ms", ("60000", 7))
    eventually(lambda: listed(wire, 0), lambda found: (CLIENT_METRICS, group) in found, "ListConfigResources")
    assert change(wire, CLIENT_METRICS, group, ("interval.ms", DELETE, None))[0] == 0


@pytest.mark.parametrize(
    ("name", "key", "value", "error"),
    [
        ("g", "consumer.session.timeout.ms", "10", 40),
        ("g", "no.such", "1", 40),
        ("", "consumer.session.timeout.ms", "50000", 42),
    ],
)
def test_group_errors(wire: Wire, name: str, key: str, value: str, error: int) -> None:
    assert change(wire, GROUP, name, (key, SET, value))[0] == error


def test_group(wire: Wire, group: str) -> None:
    assert change(wire, GROUP, group, ("consumer.session.timeout.ms", SET, "50000"))[0] == 0
    settled(wire, GROUP, group, "consumer.session.timeout.ms", ("50000", 8))


def test_unknown_resource_type(wire: Wire) -> None:
    assert change(wire, 5, "x", ("a", SET, "1"))[0] == 42


# AlterConfigs


@pytest.mark.parametrize("version", [0, 1, 2])
def test_alter_configs_replaces_everything(wire: Wire, topic: str, version: int) -> None:
    wire.create(topic, configs={"retention.ms": "777", "segment.ms": "888"})
    resource = {"resource_type": TOPIC, "resource_name": topic, "configs": [{"name": "retention.ms", "value": "999"}]}
    (answer,) = wire.ask("AlterConfigs", version, resources=[resource], validate_only=False).responses
    assert (answer.error_code, answer.resource_name) == (0, topic)
    settled(wire, TOPIC, topic, "retention.ms", ("999", 1))
    settled(wire, TOPIC, topic, "segment.ms", ("604800000", 5))


def test_alter_configs_validate_only(wire: Wire, topic: str) -> None:
    """The change made after it shows that it did nothing: it would have undone segment.ms."""
    wire.create(topic, configs={"segment.ms": "888"})
    resource = {"resource_type": TOPIC, "resource_name": topic, "configs": [{"name": "retention.ms", "value": "999"}]}
    (answer,) = wire.ask("AlterConfigs", 2, resources=[resource], validate_only=True).responses
    assert answer.error_code == 0
    assert change(wire, TOPIC, topic, ("flush.ms", SET, "777"))[0] == 0
    settled(wire, TOPIC, topic, "flush.ms", ("777", 1))
    assert values(wire, TOPIC, topic, "retention.ms")["retention.ms"] == ("604800000", 5)
    assert values(wire, TOPIC, topic, "segment.ms")["segment.ms"] == ("888", 1)


def test_alter_configs_errors(wire: Wire, existing: str) -> None:
    for name, key, value, error in (
        (existing, "no.such", "1", 40),
        (existing, "retention.ms", "soon", 40),
        ("no-such-topic", "retention.ms", "1", 3),
    ):
        resource = {"resource_type": TOPIC, "resource_name": name, "configs": [{"name": key, "value": value}]}
        (answer,) = wire.ask("AlterConfigs", 2, resources=[resource], validate_only=False).responses
        assert answer.error_code == error, (name, key, value)


# ListConfigResources


def listed(wire: Wire, version: int = 1, **more: Any) -> set[tuple[int, str]]:
    answer = wire.ask("ListConfigResources", version, **more)
    assert answer.error_code == 0
    return {(r.resource_type, r.resource_name) for r in answer.config_resources}


def test_list_resources_of_types(wire: Wire, existing: str) -> None:
    assert (TOPIC, existing) in listed(wire, resource_types=[TOPIC])
    assert listed(wire, resource_types=[BROKER]) == {(BROKER, "1")}
    everything = listed(wire, resource_types=[])
    assert {(TOPIC, existing), (BROKER, "1"), (BROKER_LOGGER, "1")} <= everything


def test_list_resources_v0_is_client_metrics_only(wire: Wire, existing: str) -> None:
    answer = wire.ask("ListConfigResources", 0)
    assert answer.error_code == 0
    assert {r.resource_type for r in answer.config_resources} <= {CLIENT_METRICS}


def test_list_resources_of_an_unknown_type(wire: Wire) -> None:
    answer = wire.ask("ListConfigResources", 1, resource_types=[5])
    assert (answer.error_code, answer.config_resources) == (35, [])
