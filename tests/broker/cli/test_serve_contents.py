"""`kwire serve --topic`, `--contents`, KAFKA_CREATE_TOPICS: a process that begins with what is declared."""

from __future__ import annotations

from pathlib import Path

from tests.broker.cli.conftest import STOCK_CLIENT, Command, Start

pytestmark = STOCK_CLIENT

SHOP = """\
topics:
  events:
    partitions: 2
    records: [a, b, {key: k, value: {x: 1}, partition: 0}]
groups:
  reader: {events: {0: 1, 1: earliest}}
"""


def test_what_is_declared_is_there_when_it_is_ready(start: Start, tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(SHOP)
    data = str(tmp_path / "data")
    arguments = ["--port", "0", "--data-dir", data, "--contents", str(tmp_path / "shop.yaml")]
    environment = {"KAFKA_CREATE_TOPICS": "Topic1:1:1,Topic2:1:1:compact"}
    serve = start(*arguments, "--topic", "orders:6:cleanup.policy=compact", environment=environment)
    assert "created topics Topic1, Topic2, events, orders; 3 records, 2 offsets" in serve.read_until("created topics")
    serve.read_until("Kafka Server started")
    command = Command(f"127.0.0.1:{serve.port}")
    assert {row["topic"]: row["partitions"] for row in command.rows("topics", "list")} == {
        "Topic1": 1,
        "Topic2": 1,
        "events": 2,
        "orders": 6,
    }
    (orders,) = command.rows("topics", "describe", "orders")
    assert orders["configs"] == {"cleanup.policy": "compact"}
    rows = command.rows("consume", "events", "-e")
    assert sorted(row["value"] for row in rows) == ["a", "b", '{"x":1}']
    assert [row["current_offset"] for row in command.rows("groups", "offsets", "reader")] == [1, 0]
    assert serve.stop() == 0

    again = start(*arguments, "--topic", "orders:9", environment=environment)
    assert "kept topics Topic1, Topic2, events, orders" in again.read_until("kept topics")
    assert "topic orders has 6 partitions, declared are 9: it is kept as it is" in again.read_until("WARN")
    again.read_until("Kafka Server started")
    assert len(Command(f"127.0.0.1:{again.port}").rows("consume", "events", "-e")) == 3
    assert again.stop() == 0


def test_mistakes_are_told_before_anything_is_made(start: Start, tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(SHOP.replace("partitions: 2", "partitons: 2"))
    data = tmp_path / "data"
    serve = start("--port", "0", "--data-dir", str(data), "--contents", str(tmp_path / "shop.yaml"))
    assert serve.wait() == 2
    assert "shop.yaml: line 3, column 5 (topics.events.partitons): is not known here" in serve.output
    assert not data.exists()


def test_what_the_cluster_refuses_ends_the_start(start: Start) -> None:
    serve = start("--port", "0", "--ephemeral", "--topic", "fine:1", "--topic", "orders:1:3")
    assert serve.wait() == 1
    assert "topics.orders: Unable to replicate the partition 3 time(s)" in serve.output
    assert "Kafka Server started" not in serve.output
    assert not serve.ready_file.exists()
