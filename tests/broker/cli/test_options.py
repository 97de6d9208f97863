"""What the options of `kwire serve` stand for."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

from broker.cli.main import cli
from broker.cli.serve import ServeOptions, flag_settings, resolve_options, start_lines, write_ready_file
from broker.config.listeners import Address
from broker.config.sources import SettingsError


@pytest.mark.parametrize(
    ("options", "given", "expected"),
    [
        (ServeOptions(), {}, {}),
        (ServeOptions(port=0), {}, {"listeners": "PLAINTEXT://127.0.0.1:0"}),
        (ServeOptions(host="0.0.0.0"), {}, {"listeners": "PLAINTEXT://0.0.0.0:9092"}),
        (ServeOptions(host="::1", port=1), {}, {"listeners": "PLAINTEXT://[::1]:1"}),
        (ServeOptions(data_dir=Path("/d")), {}, {"log.dirs": "/d"}),
        (
            ServeOptions(port=5),
            {"listeners": "SSL://a:1, PLAINTEXT://b:2"},
            {"listeners": "SSL://a:5,PLAINTEXT://b:2"},
        ),
        (
            ServeOptions(port=5),
            {"listeners": "CONTROLLER://a:1,INNER://b:2", "advertised.listeners": "CONTROLLER://a:1,inner://c:3"},
            {"listeners": "CONTROLLER://a:1,INNER://b:5", "advertised.listeners": "CONTROLLER://a:1"},
        ),
        (
            ServeOptions(host="h"),
            {"advertised.listeners": "PLAINTEXT://c:3"},
            {"listeners": "PLAINTEXT://h:9092", "advertised.listeners": None},
        ),
        (
            ServeOptions(host="h", settings={"advertised.listeners": "PLAINTEXT://d:4"}),
            {"advertised.listeners": "PLAINTEXT://c:3"},
            {"listeners": "PLAINTEXT://h:9092", "advertised.listeners": "PLAINTEXT://d:4"},
        ),
        (
            ServeOptions(port=5, settings={"listeners": "SSL://c:1"}),
            {"listeners": "SSL://a:1"},
            {"listeners": "SSL://c:5"},
        ),
        (ServeOptions(settings={"num.partitions": "3"}), {}, {"num.partitions": "3"}),
    ],
)
def test_options_as_settings(options: ServeOptions, given: Mapping[str, str], expected: dict[str, str | None]) -> None:
    assert flag_settings(options, given) == expected


def test_file_environment_and_options_in_rising_precedence(tmp_path: Path) -> None:
    file = tmp_path / "server.properties"
    file.write_text("num.partitions=2\nlisteners=PLAINTEXT://127.0.0.1:19092\nlog.dirs=/from/file\n")
    resolved = resolve_options(
        ServeOptions(properties=file, port=0, data_dir=tmp_path, settings={"num.io.threads": "5"}),
        {"KAFKA_NUM_PARTITIONS": "3", "KAFKA_NUM_IO_THREADS": "4"},
    )
    config = resolved.config
    assert config.get("num.partitions") == 3
    assert config.get("num.io.threads") == 5
    assert config.log_dirs == [str(tmp_path)]
    assert [(listener.host, listener.port) for listener in config.listeners] == [("127.0.0.1", 0)]


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        resolve_options(ServeOptions(properties=tmp_path / "none"), {})


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["serve", "--set", "num.partitions"], "must be KEY=VALUE"),
        (["serve", "--port", "70000"], "70000 is not in the range 0<=x<=65535"),
        (["serve", "--ephemeral", "--data-dir", "x"], "--ephemeral and --data-dir exclude each other"),
        (["serve", "--config", "/no/such/file"], "does not exist"),
        (["sreve"], "No such command"),
    ],
)
def test_mistakes_on_the_command_line(arguments: list[str], text: str) -> None:
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 2
    assert text in result.output


def test_help_teaches() -> None:
    top = CliRunner().invoke(cli, ["--help"])
    assert top.exit_code == 0
    for line in ("kwire serve --port 0 --ephemeral --ready-file ready.txt", "127.0.0.1:9092", "version"):
        assert line in top.output
    serve = " ".join(CliRunner().invoke(cli, ["serve", "--help"]).output.split())
    for text in ("server.properties", "KAFKA_NUM_PARTITIONS", "SIGTERM", "./kwire-data", "0 takes a free one"):
        assert text in serve


@pytest.mark.parametrize("asked", ["version", "--version"])
def test_version(asked: str) -> None:
    result = CliRunner().invoke(cli, [asked])
    assert result.exit_code == 0
    assert result.output.startswith("kwire ")
    assert "Apache Kafka 4.3.1" in result.output


def test_the_ready_file_is_whole_or_not_there(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    write_ready_file(ready, [Address("PLAINTEXT", "127.0.0.1", 41234), Address("SSL", "127.0.0.1", 2)])
    assert ready.read_text() == "127.0.0.1:41234\n"
    write_ready_file(ready, [Address("PLAINTEXT", "::1", 5)])
    assert ready.read_text() == "[::1]:5\n"
    for everywhere in ("", "0.0.0.0", "::"):
        write_ready_file(ready, [Address("PLAINTEXT", everywhere, 7)])
        assert ready.read_text() == "127.0.0.1:7\n", "one can connect to it"
    assert [path.name for path in tmp_path.iterdir()] == ["ready"]


def test_a_ready_file_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(OSError) as caught:  # noqa: PT011
        write_ready_file(tmp_path / "no" / "ready", [Address("PLAINTEXT", "127.0.0.1", 1)])
    assert caught.value.errno == errno.ENOENT


def test_start_lines_are_kafkas() -> None:
    assert start_lines(3) == [
        "[BrokerLifecycleManager id=3] The broker has been unfenced. Transitioning from RECOVERY to RUNNING.",
        "[BrokerServer id=3] Transition from STARTING to STARTED",
        "[KafkaRaftServer nodeId=3] Kafka Server started",
        "[KafkaServer id=3] started",
    ]
