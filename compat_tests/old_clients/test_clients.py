"""Old clients, and new ones that are told to be old, used as their users use them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import confluent_kafka
import pytest

from compat_tests.old_clients.releases import PROGRAMS, java_client, kafka_python, kafkajs, sarama, tell
from compat_tests.targets import OwnBroker, TargetUnavailableError, kafka_jars

KAFKA_PYTHON = str(PROGRAMS / "kafka_python_round_trip.py")
KAFKAJS = str(PROGRAMS / "kafkajs_round_trip.js")
KEYS = [f"k{number}" for number in range(20)]
VALUES = [f"v{number}" for number in range(20)]
AsVersion = Callable[[str], OwnBroker]


@pytest.fixture
def fetch(request: pytest.FixtureRequest) -> bool:
    """Whether releases of clients may be fetched."""
    return bool(request.config.getoption("--long"))


def found(get: Callable[[], Path]) -> Path:
    try:
        return get()
    except TargetUnavailableError as error:
        pytest.skip(str(error))


def check_kafka_python(told: Any, *, timestamps: bool) -> None:
    assert sorted(record[2] for record in told["first"]) == sorted(KEYS)
    assert sorted(record[3] for record in told["first"]) == sorted(VALUES)
    times = {record[4] for record in told["first"]}
    assert times == ({1_000 + number for number in range(20)} if timestamps else {None})
    assert [record[3] for record in told["second"]] == ["later"]
    assert (told["committed"], told["ends"]) == (20, 20)


# The release that the broker is like, the version the client is told, and how it packs.
PINNED = [
    ("0.11", "0.11", "gzip"),
    ("0.11", "0.9", "none"),
    ("2.0", "2.0", "lz4"),
    pytest.param("0.11", "0.10", "snappy", marks=pytest.mark.long),
    pytest.param("0.11", "auto", "none", marks=pytest.mark.long),
    pytest.param("1.0", "1.0", "none", marks=pytest.mark.long),
    pytest.param("2.4", "2.4", "none", marks=pytest.mark.long),
    pytest.param("2.8", "2.8", "none", marks=pytest.mark.long),
    pytest.param("3.9", "auto", "zstd", marks=pytest.mark.long),
    pytest.param("4.0", "auto", "none", marks=pytest.mark.long),
]


@pytest.mark.parametrize(("release", "version", "compression"), PINNED)
def test_kafka_python_with_its_api_version_pinned(
    as_version: AsVersion, topic: str, group: str, release: str, version: str, compression: str
) -> None:
    told = tell([sys.executable, KAFKA_PYTHON, as_version(release).plain, version, topic, group, compression])
    check_kafka_python(told, timestamps=version != "0.9")


@pytest.mark.long
@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("version", ["auto", "0.11", "0.10", "0.9"])
@pytest.mark.parametrize("client", ["1.4.7", "2.0.2"])
def test_old_kafka_python(
    as_version: AsVersion, topic: str, group: str, fetch: bool, client: str, version: str, compression: str
) -> None:
    folder = found(lambda: kafka_python(client, fetch=fetch))
    command = [sys.executable, KAFKA_PYTHON, as_version("0.11").plain, version, topic, group, compression]
    check_kafka_python(tell(command, PYTHONPATH=str(folder)), timestamps=version != "0.9")


# Without asking ApiVersions librdkafka takes the broker for what broker.version.fallback says.
FALLBACK = {"api.version.request": "false", "broker.version.fallback": "0.9.0.1"}
FALLBACK_10 = {"api.version.request": "false", "broker.version.fallback": "0.10.0.0", "compression.type": "lz4"}


@pytest.mark.parametrize(
    ("release", "more"),
    [
        ("0.11", FALLBACK),
        ("0.11", {}),
        pytest.param("0.11", FALLBACK_10, marks=pytest.mark.long),
        pytest.param("2.4", FALLBACK, marks=pytest.mark.long),
        pytest.param("2.4", {}, marks=pytest.mark.long),
        pytest.param("3.3", {}, marks=pytest.mark.long),
        pytest.param("4.0", {}, marks=pytest.mark.long),
    ],
)
def test_confluent_kafka(as_version: AsVersion, topic: str, group: str, release: str, more: dict[str, str]) -> None:
    common = {"bootstrap.servers": as_version(release).plain, "log_level": 0, **more}
    producer = confluent_kafka.Producer({**common, "linger.ms": 5})
    for key, value in zip(KEYS, VALUES, strict=True):
        producer.produce(topic, value, key=key)
    assert producer.flush(20) == 0
    consumer = confluent_kafka.Consumer({**common, "group.id": group, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    read: list[str] = []
    deadline = time.monotonic() + 20
    while len(read) < len(VALUES) and time.monotonic() < deadline:
        message = consumer.poll(0.1)
        if message is not None and message.error() is None:
            read.append(message.value().decode())
    consumer.commit(asynchronous=False)
    consumer.close()
    assert sorted(read) == sorted(VALUES)


@pytest.mark.long
@pytest.mark.parametrize("release", ["0.11", "2.0", "3.9"])
@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("client", ["0.8.1", "1.0.0", "1.16.0", "2.2.4"])
def test_kafkajs(
    as_version: AsVersion, topic: str, group: str, fetch: bool, client: str, release: str, compression: str
) -> None:
    module = found(lambda: kafkajs(client, fetch=fetch))
    told = tell(["node", KAFKAJS, str(module), as_version(release).plain, topic, group, compression])
    assert sorted(record[2:] for record in told["first"]) == sorted(
        [list(each) for each in zip(KEYS, VALUES, strict=True)]
    )
    assert [record[3] for record in told["second"]] == ["later"]


@pytest.mark.long
@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("client", ["0.10.2.2", "0.11.0.3", "1.0.2", "2.0.1", "2.8.2"])
def test_java_clients(
    as_version: AsVersion, topic: str, group: str, fetch: bool, client: str, compression: str
) -> None:
    jars = found(lambda: java_client(client, fetch=fetch))
    check_java(java(jars, "JavaRoundTrip", as_version("0.11").plain, topic, group, compression))


@pytest.mark.long
@pytest.mark.parametrize("release", ["2.1", "3.2", "4.0"])
def test_the_current_java_client(as_version: AsVersion, topic: str, group: str, release: str) -> None:
    """It gets along with brokers since 2.1."""
    jars = found(kafka_jars)
    check_java(java(jars, "JavaRoundTrip", as_version(release).plain, topic, group, "zstd"))


@pytest.mark.long
@pytest.mark.parametrize("release", ["0.11", "2.8"])
@pytest.mark.parametrize("client", ["0.11.0.3", "1.0.2", "2.0.1", "2.8.2"])
def test_transactions_and_administration_of_java_clients(
    as_version: AsVersion, topic: str, fetch: bool, client: str, release: str
) -> None:
    jars = found(lambda: java_client(client, fetch=fetch))
    assert java(jars, "JavaTransactions", as_version(release).plain, topic) == {
        "partitions": 2,
        "default": True,
        "retention": 86_400_000,
        "read": ["kept"],
        "offset": 7,
        "gone": True,
    }


def java(jars: Path, program: str, *arguments: str) -> Any:
    source = str(PROGRAMS / f"{program}.java")
    return tell(["java", "-XX:TieredStopAtLevel=1", "-cp", f"{jars}/*", source, *arguments])


def check_java(told: Any) -> None:
    assert told["first"] == [f"{number} {1_000 + number} v{number}" for number in range(5)]
    assert told["second"] == ["5 1000 later0"]


@pytest.mark.long
@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4"])
@pytest.mark.parametrize("version", ["", "0.9.0.1", "0.10.0.0", "0.10.2.0", "0.11.0.0"])
def test_sarama(as_version: AsVersion, topic: str, group: str, fetch: bool, version: str, codec: str) -> None:
    """sarama 1.19; without a version it speaks that of 0.8.2."""
    if codec == "lz4" and version in ("", "0.9.0.1"):
        pytest.skip("it packs so from 0.10 on")
    program = found(lambda: sarama(fetch=fetch))
    told = tell([str(program), as_version("0.11").plain, version, topic, group, codec])
    assert sorted(told["read"]) == sorted(VALUES[:10])
    assert (told["oldest"], told["managed"]) == (0, 7)
    groups = version.startswith(("0.10.2", "0.11"))
    assert sorted(told["grouped"] or []) == (sorted(VALUES[:10]) if groups else [])
