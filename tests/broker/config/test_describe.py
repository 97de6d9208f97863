"""Described settings, against the answers of a Kafka 4.3.1 that was started with data/server.properties."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from broker.config.broker_config import BrokerConfig
from broker.config.definitions import BROKER_DEFAULTS, descriptions
from broker.config.describe import (
    Described,
    Source,
    describe_broker,
    describe_broker_defaults,
    describe_client_metrics,
    describe_group,
    describe_topic,
)
from broker.config.properties import parse_properties

DATA = Path(__file__).parent / "data"


@pytest.fixture
def config() -> BrokerConfig:
    config = BrokerConfig(parse_properties((DATA / "server.properties").read_text()))
    config.set_dynamic({"min.insync.replicas": "1"}, {})
    return config


@pytest.fixture(scope="module")
def kafka() -> dict[str, list[Any]]:
    answers: dict[str, list[Any]] = json.loads((DATA / "described.json").read_text())
    return answers


def plain(described: Sequence[Described]) -> dict[str, list[Any]]:
    """As in the data: name, value, source, sensitive, read only, type, synonyms."""
    return {
        one.name: [
            one.name,
            one.value,
            int(one.source),
            one.sensitive,
            one.read_only,
            one.kind,
            [[each.name, each.value, int(each.source)] for each in one.synonyms],
        ]
        for one in described
    }


def by_name(rows: list[Any]) -> dict[str, list[Any]]:
    return {row[0]: row for row in rows}


def test_a_topic(config: BrokerConfig, kafka: dict[str, list[Any]]) -> None:
    assert plain(describe_topic(config, {})) == by_name(kafka["topic"])


def test_a_topic_with_a_setting_of_its_own(config: BrokerConfig, kafka: dict[str, list[Any]]) -> None:
    assert plain(describe_topic(config, {"retention.ms": "1000"})) == by_name(kafka["topic with retention.ms=1000"])


def test_a_group(config: BrokerConfig, kafka: dict[str, list[Any]]) -> None:
    assert plain(describe_group(config, {})) == by_name(kafka["group"])


def test_client_metrics(kafka: dict[str, list[Any]]) -> None:
    assert plain(describe_client_metrics({})) == by_name(kafka["client metrics"])


def test_the_defaults_of_all_brokers(config: BrokerConfig, kafka: dict[str, list[Any]]) -> None:
    assert plain(describe_broker_defaults(config)) == by_name(kafka["broker defaults"])


def test_a_broker_differs_where_the_defaults_do(config: BrokerConfig, kafka: dict[str, list[Any]]) -> None:
    ours, theirs = plain(describe_broker(config)), by_name(kafka["broker"])
    assert ours.keys() == theirs.keys()
    differing = {name for name in ours if ours[name] != theirs[name]}
    assert differing == set(BROKER_DEFAULTS)


def test_what_was_changed_while_running(config: BrokerConfig) -> None:
    """Rows as Kafka 4.3.1 answered them after the same changes."""
    config.set_dynamic(
        {"min.insync.replicas": "2", "log.retention.ms": "1000000", "message.max.bytes": "2000000"},
        {
            "foo.baz": "1",
            "leader.replication.throttled.rate": "1000",
            "listener.name.plaintext.ssl.keystore.location": "x",
            "log.cleanup.policy": "delete,compact",
        },
    )
    rows = plain(describe_broker(config))
    assert rows["foo.baz"] == ["foo.baz", None, 2, True, True, 0, [["foo.baz", None, 2]]]
    name = "leader.replication.throttled.rate"
    assert rows[name] == [name, "1000", 2, False, False, 5, [[name, "1000", 2]]]
    name = "listener.name.plaintext.ssl.keystore.location"
    assert rows[name] == [name, "x", 2, False, True, 2, [[name, "x", 2]]]
    assert rows["log.retention.ms"][1:3] == ["1000000", 3]
    assert rows["log.retention.ms"][6] == [["log.retention.ms", "1000000", 3], ["log.retention.hours", "168", 5]]
    assert rows["log.retention.hours"] == [
        "log.retention.hours", "168", 5, False, True, 3, [["log.retention.hours", "168", 5]]
    ]  # fmt: skip
    topic = plain(describe_topic(config, {"segment.ms": " 123456 "}))
    assert topic["cleanup.policy"][1:3] == ["delete,compact", 2]
    assert topic["max.message.bytes"][6] == [["message.max.bytes", "2000000", 3], ["message.max.bytes", "1048588", 5]]
    assert topic["retention.ms"][1:3] == ["1000000", 3]
    assert topic["segment.ms"] == ["segment.ms", "123456", 1, False, False, 5, [["segment.ms", "123456", 1]]]


def test_secrets_are_not_shown() -> None:
    config = BrokerConfig({"ssl.key.password": "secret", "some.plugin.password": "secret"})
    rows = plain(describe_broker(config))
    for name in ("ssl.key.password", "some.plugin.password"):
        assert rows[name][1] is None
        assert rows[name][3] is True
        assert "secret" not in str(rows[name])


def test_a_group_with_settings_of_its_own(config: BrokerConfig) -> None:
    row = plain(describe_group(config, {"consumer.session.timeout.ms": "46000"}))["consumer.session.timeout.ms"]
    assert row[1:3] == ["46000", Source.GROUP]
    assert row[6] == [
        ["consumer.session.timeout.ms", "46000", 8],
        ["group.consumer.session.timeout.ms", "45000", 5],
    ]


def test_client_metrics_with_settings(config: BrokerConfig) -> None:
    row = plain(describe_client_metrics({"interval.ms": "1000"}))["interval.ms"]
    assert row == ["interval.ms", "1000", 7, False, False, 3, [["interval.ms", "1000", 7]]]


def test_every_described_setting_has_a_description(config: BrokerConfig) -> None:
    found = [
        *describe_topic(config, {}, documentation=True),
        *describe_group(config, {}, documentation=True),
        *describe_client_metrics({}, documentation=True),
        *describe_broker(config, documentation=True),
    ]
    assert [one.name for one in found if not one.description] == ["foo.bar"]
    assert len(descriptions()) > 350
    assert describe_topic(config, {})[0].description is None
