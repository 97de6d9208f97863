"""Settings of a start from every source, and what a person is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.config.sources import SettingsError, nearest_setting, read_properties, resolve


def test_later_sources_win() -> None:
    found = resolve(
        {"num.partitions": "2", "num.io.threads": "2", "num.network.threads": "2"},
        {"KAFKA_NUM_IO_THREADS": "3", "KAFKA_NUM_NETWORK_THREADS": "3", "KAFKA_HEAP_OPTS": "-Xmx1G"},
        {"num.network.threads": "4"},
    )
    config = found.config
    assert [config.get(f"num.{name}") for name in ("partitions", "io.threads", "network.threads")] == [2, 3, 4]
    assert found.warnings == []


def test_log_dir_from_a_stronger_source_wins_over_log_dirs() -> None:
    assert resolve({"log.dirs": "/a"}, {"KAFKA_LOG_DIR": "/b"}, {}).config.log_dirs == ["/b"]


def test_an_unknown_setting_is_warned_of_with_the_nearest() -> None:
    warnings = resolve({"num.partition": "3", "zzz": "1", "zookeeper.connect": "x"}, {}, {}).warnings
    assert warnings == [
        "num.partition is not a known setting and has no effect; did you mean num.partitions?",
        "zzz is not a known setting and has no effect",
        "zookeeper.connect is not a setting of Kafka 4 any more and has no effect: there is no ZooKeeper",
    ]


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("num.partition", "num.partitions"),
        ("auto_create_topics_enable", "auto.create.topics.enable"),
        ("log.retention.hour", "log.retention.hours"),
        ("advertised.listener", "advertised.listeners"),
        ("listener.name.plain.ssl.keystore.loc", "listener.name.plain.ssl.keystore.location"),
        ("completely.different", None),
    ],
)
def test_nearest(name: str, nearest: str | None) -> None:
    assert nearest_setting(name) == nearest


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"num.partitions": "0"}, "num.partitions=0: Value must be at least 1; allowed: a whole number, at least 1"),
        ({"compression.type": "zip"}, "compression.type=zip: "),
        ({"log.retention.hours": "x"}, "log.retention.hours=x: Not a number of type INT; allowed: a whole number"),
        ({"process.roles": "controller"}, "process.roles=controller: kwire is broker and controller in one"),
        ({"authorizer.class.name": "x.Y"}, "authorizer.class.name=x.Y: kwire has no authorizer yet"),
        ({"listeners": "SASL_SSL://:1"}, "kwire has no SASL yet"),
        ({"remote.log.storage.system.enable": "true"}, "kwire has no tiered storage"),
    ],
)
def test_a_bad_value_stops_and_says_what_is_allowed(settings: dict[str, str], text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        resolve(settings, {}, {})
    assert text in str(caught.value)


def test_limits_that_are_not_kept_are_warned_of() -> None:
    assert resolve({"max.connections.per.ip": "5"}, {}, {}).warnings == [
        "max.connections.per.ip has no effect: kwire does not count connections by address yet, see max.connections"
    ]


def test_settings_of_plugins_are_not_warned_of() -> None:
    assert resolve({"rsm.config.chunk.size": "1", "config.providers.file.class": "x"}, {}, {}).warnings == []


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        read_properties(tmp_path / "missing")
    bad = tmp_path / "bad"
    bad.write_text("a=\\u1")
    with pytest.raises(SettingsError, match="line 1"):
        read_properties(bad)


def test_the_file_that_comes_with_kafka() -> None:
    """The settings of config/server.properties in Apache Kafka 4's distribution."""
    found = resolve(
        {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.bootstrap.servers": "localhost:9093",
            "listeners": "PLAINTEXT://:9092,CONTROLLER://:9093",
            "inter.broker.listener.name": "PLAINTEXT",
            "advertised.listeners": "PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": (
                "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL"
            ),
            "num.network.threads": "3",
            "num.io.threads": "8",
            "socket.send.buffer.bytes": "102400",
            "socket.receive.buffer.bytes": "102400",
            "socket.request.max.bytes": "104857600",
            "log.dirs": "/tmp/kraft-combined-logs",
            "num.partitions": "1",
            "num.recovery.threads.per.data.dir": "2",
            "offsets.topic.replication.factor": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "log.retention.hours": "168",
            "log.segment.bytes": "1073741824",
            "log.retention.check.interval.ms": "300000",
        },
        {},
        {},
    )
    assert found.warnings == []
    (listener,) = found.config.listeners
    assert (listener.host, listener.port) == ("", 9092)
    assert str(listener.advertised) == "PLAINTEXT://localhost:9092"


def test_the_environment_of_the_official_image() -> None:
    """The variables of the compose files for a single node."""
    found = resolve(
        {},
        {
            "KAFKA_NODE_ID": "1",
            "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PLAINTEXT_HOST:PLAINTEXT",
            "KAFKA_ADVERTISED_LISTENERS": "PLAINTEXT_HOST://localhost:9092,PLAINTEXT://broker:19092",
            "KAFKA_PROCESS_ROLES": "broker,controller",
            "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@broker:29093",
            "KAFKA_LISTENERS": "CONTROLLER://:29093,PLAINTEXT_HOST://:9092,PLAINTEXT://:19092",
            "KAFKA_INTER_BROKER_LISTENER_NAME": "PLAINTEXT",
            "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
            "CLUSTER_ID": "4L6g3nShT-eMCtK--X86sw",
            "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
            "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
            "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR": "1",
            "KAFKA_LOG_DIRS": "/tmp/kraft-combined-logs",
            "KAFKA_HEAP_OPTS": "-Xmx1G",
        },
        {},
    )
    assert found.warnings == []
    assert [(each.name, each.port, str(each.advertised)) for each in found.config.listeners] == [
        ("PLAINTEXT_HOST", 9092, "PLAINTEXT_HOST://localhost:9092"),
        ("PLAINTEXT", 19092, "PLAINTEXT://broker:19092"),
    ]
    assert found.config.get("kwire.cluster.id") == "4L6g3nShT-eMCtK--X86sw"
