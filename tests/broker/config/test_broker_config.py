"""What holds: static settings, changes while running, topic defaults, listeners."""

from __future__ import annotations

import pytest

from broker.config.broker_config import BrokerConfig
from broker.config.definitions import broker_definitions
from broker.config.listeners import Address, Listener
from broker.config.values import InvalidConfigError


def test_starts_without_being_told_anything() -> None:
    config = BrokerConfig()
    assert config.node_id == 1
    assert config.log_dirs == ["./kwire-data"]
    assert config.listeners == [Listener("PLAINTEXT", "127.0.0.1", 9092, "PLAINTEXT", None)]
    assert config.get("num.partitions") == 1
    assert config.get("auto.create.topics.enable") is True
    assert config.get("log.cleaner.min.cleanable.ratio") == 0.5


def test_every_setting_has_a_value() -> None:
    config = BrokerConfig()
    for name in broker_definitions():
        config.get(name)


def test_an_unknown_setting_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        BrokerConfig({"num.partition": "3"}).get("num.partition")


def test_a_bad_value_is_refused() -> None:
    with pytest.raises(InvalidConfigError, match=r"Invalid value 0 for configuration num\.partitions"):
        BrokerConfig({"num.partitions": "0"})


def test_log_dir_is_used_where_log_dirs_is_not_given() -> None:
    assert BrokerConfig({"log.dir": "/a"}).log_dirs == ["/a"]
    assert BrokerConfig({"log.dir": "/a", "log.dirs": "/b,/c"}).log_dirs == ["/b", "/c"]


def test_the_older_name_of_the_node() -> None:
    config = BrokerConfig({"broker.id": "7"})
    assert (config.node_id, config.get("broker.id")) == (7, 7)


@pytest.mark.parametrize(
    ("settings", "retention_ms"),
    [
        ({}, 604_800_000),
        ({"log.retention.hours": "1"}, 3_600_000),
        ({"log.retention.hours": "1", "log.retention.minutes": "2"}, 120_000),
        ({"log.retention.minutes": "2", "log.retention.ms": "3"}, 3),
        ({"log.retention.ms": "-1"}, -1),
        ({"log.retention.hours": "-1"}, -1),
    ],
)
def test_the_finest_unit_wins(settings: dict[str, str], retention_ms: int) -> None:
    assert BrokerConfig(settings).topic_config()["retention.ms"] == retention_ms


def test_topic_settings_come_from_the_topic_then_the_broker() -> None:
    config = BrokerConfig({"log.segment.bytes": "2097152", "message.max.bytes": "5", "log.roll.hours": "2"})
    values = config.topic_config({"segment.bytes": "1048576", "nobody.knows": "x"})
    assert values["segment.bytes"] == 1048576
    assert values["max.message.bytes"] == 5
    assert values["segment.ms"] == 7_200_000
    assert values["flush.ms"] == 2**63 - 1
    assert values["cleanup.policy"] == ["delete"]
    assert "nobody.knows" not in values
    with pytest.raises(InvalidConfigError):
        config.topic_config({"segment.bytes": "x"})


def test_changes_while_running_win_and_put_synonyms_out_of_force() -> None:
    config = BrokerConfig({"log.retention.ms": "5", "num.io.threads": "8"})
    heard = []
    end = config.on_change(lambda changed: heard.append(changed.get("num.io.threads")))
    config.set_dynamic({"log.retention.minutes": "1", "num.io.threads": "4"}, {"num.io.threads": "2"})
    assert config.get("num.io.threads") == 2
    assert config.topic_config()["retention.ms"] == 60_000, "a coarser unit set later wins over a finer one set before"
    config.set_dynamic({"num.io.threads": "4"}, {})
    assert config.get("num.io.threads") == 4
    assert config.topic_config()["retention.ms"] == 5
    config.set_dynamic({"num.io.threads": "4"}, {})
    end()
    config.set_dynamic({}, {})
    assert heard == [2, 4], "told once for each change, and no more after the end"
    assert config.get("num.io.threads") == 8


def test_a_listeners_own_settings() -> None:
    config = BrokerConfig(
        {"ssl.client.auth": "none", "listener.name.internal.ssl.client.auth": "required", "ssl.keystore.type": "PEM"}
    )
    assert config.for_listener("INTERNAL", "ssl.client.auth") == "required"
    assert config.for_listener("EXTERNAL", "ssl.client.auth") == "none"
    assert config.for_listener("INTERNAL", "ssl.keystore.type") == "PEM"
    with pytest.raises(InvalidConfigError):
        BrokerConfig({"listener.name.internal.ssl.client.auth": "maybe"})


def test_listeners() -> None:
    config = BrokerConfig(
        {
            "listeners": "CONTROLLER://:9093,INTERNAL://[::1]:9092,external://0.0.0.0:9094",
            "advertised.listeners": "EXTERNAL://broker.example:19094",
            "listener.security.protocol.map": "INTERNAL:PLAINTEXT,EXTERNAL:SSL,CONTROLLER:PLAINTEXT",
        }
    )
    assert config.listeners == [
        Listener("INTERNAL", "::1", 9092, "PLAINTEXT", None),
        Listener("EXTERNAL", "0.0.0.0", 9094, "SSL", Address("EXTERNAL", "broker.example", 19094)),
    ]
    assert [listener.secure for listener in config.listeners] == [False, True]
    assert str(Address("A", "::1", 1)) == "A://[::1]:1"


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"listeners": "PLAINTEXT:9092"}, "NAME://HOST:PORT"),
        ({"listeners": "PLAINTEXT://host:99999"}, "a port from 0 to 65535"),
        ({"listeners": "PLAINTEXT://:1,PLAINTEXT://:2"}, "its own name"),
        ({"listeners": "PLAINTEXT://:1,SSL://:1"}, "port 1 is there twice"),
        ({"listeners": "MINE://:1"}, "listener.security.protocol.map must say the protocol of MINE"),
        ({"listeners": "CONTROLLER://:9093"}, "at least one listener must be for clients"),
        ({"advertised.listeners": "SSL://h:1"}, "listeners has no listener SSL"),
        ({"listeners": "SASL_PLAINTEXT://:1"}, "kwire has no SASL yet"),
        ({"listener.security.protocol.map": "PLAINTEXT"}, "NAME:PROTOCOL"),
    ],
)
def test_listeners_that_cannot_be(settings: dict[str, str], reason: str) -> None:
    with pytest.raises(InvalidConfigError, match=reason):
        _ = BrokerConfig(settings).listeners


def test_the_same_port_on_different_addresses_is_fine() -> None:
    config = BrokerConfig({"listeners": "PLAINTEXT://127.0.0.1:9092,SSL://127.0.0.2:9092"})
    assert len(config.listeners) == 2


def test_settings_of_kwire_s_own_at_their_defaults() -> None:
    config = BrokerConfig({})
    assert config.get("kwire.racks") == []
    assert config.get("kwire.nodes") == 1
    assert config.get("kwire.cluster.id") is None
