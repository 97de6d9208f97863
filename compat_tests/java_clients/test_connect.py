"""A Connect worker in distributed mode with the file connectors: file -> topic -> file."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from compat_tests.java_clients.clients import Java, eventually
from compat_tests.java_clients.connect_worker import Worker, running_worker

pytestmark = pytest.mark.client("Connect")


@pytest.fixture
def worker(java: Java, tmp_path: Path) -> Iterator[Worker]:
    """A running worker; its internal topics are made by it."""
    with running_worker(java, tmp_path, java.fresh_name("connect")) as made:
        assert made.ask("/connectors") == []
        yield made


@pytest.mark.capability("distributed worker, file source and sink")
def test_file_to_topic_to_file(java: Java, worker: Worker, tmp_path: Path) -> None:
    topic = java.create_topic("connect")
    source, sink = tmp_path / "in.txt", tmp_path / "out.txt"
    source.write_text("one\ntwo\n")
    configs = {
        "source": {"connector.class": "FileStreamSource", "file": str(source), "topic": topic},
        "sink": {"connector.class": "FileStreamSink", "file": str(sink), "topics": topic},
    }
    for name, config in configs.items():
        created = worker.ask("/connectors", {"name": name, "config": {**config, "tasks.max": "1"}})
        assert created is not None, worker.complaints()
        assert created["name"] == name
        eventually(partial(worker.state, name), ["RUNNING", "RUNNING"])
    with source.open("a") as file:
        file.write("three\n")
    eventually(lambda: sink.exists() and sink.read_text(), "one\ntwo\nthree\n")
    consumer = java.consumer()
    consumer.assign((topic, 0))
    assert consumer.values(3) == ["one", "two", "three"]
    worker.ask("/connectors/sink/pause", method="PUT")
    eventually(lambda: worker.state("sink"), ["PAUSED", "PAUSED"])
    with source.open("a") as file:
        file.write("four\n")
    assert consumer.values(1) == ["four"]
    worker.ask("/connectors/sink/resume", method="PUT")
    eventually(lambda: sink.read_text(), "one\ntwo\nthree\nfour\n")
    eventually(
        lambda: worker.ask("/connectors/sink/offsets"),
        {"offsets": [{"partition": {"kafka_topic": topic, "kafka_partition": 0}, "offset": {"kafka_offset": 4}}]},
    )
    for name in configs:
        worker.ask(f"/connectors/{name}", method="DELETE")
    eventually(lambda: worker.ask("/connectors"), [])
    assert worker.complaints() == ""
