"""A Connect worker in distributed mode with the file connectors: file -> topic -> file."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from compat_tests.java_clients.clients import Java, eventually
from compat_tests.java_clients.jvm import java_command
from compat_tests.processes import start_process
from compat_tests.targets import free_ports

pytestmark = pytest.mark.client("Connect")

WORKER = "org.apache.kafka.connect.cli.ConnectDistributed"


class Worker:
    """A worker's REST interface."""

    def __init__(self, port: int, log: Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.log = log

    def ask(self, path: str, body: object = None, method: str | None = None) -> Any:
        """The answer's JSON; None for no content, or while the worker does not answer or is rebalancing."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                text = answer.read()
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return None
        return json.loads(text) if text else None

    def state(self, connector: str) -> list[str]:
        """The states of a connector and its tasks."""
        status = self.ask(f"/connectors/{connector}/status")
        if status is None:
            return []
        return [status["connector"]["state"], *(task["state"] for task in status["tasks"])]

    def complaints(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(line for line in lines if " ERROR " in line)


@pytest.fixture
def worker(java: Java, tmp_path: Path) -> Iterator[Worker]:
    """A running worker; its internal topics are made by it."""
    (port,) = free_ports(1)
    name = java.fresh_name("connect")
    settings = {
        "bootstrap.servers": java.bootstrap,
        "group.id": name,
        "key.converter": "org.apache.kafka.connect.storage.StringConverter",
        "value.converter": "org.apache.kafka.connect.storage.StringConverter",
        "offset.storage.topic": f"{name}-offsets",
        "offset.storage.partitions": "2",
        "config.storage.topic": f"{name}-configs",
        "status.storage.topic": f"{name}-status",
        "status.storage.partitions": "2",
        **{f"{kind}.storage.replication.factor": "1" for kind in ("offset", "config", "status")},
        "offset.flush.interval.ms": "500",
        "listeners": f"http://127.0.0.1:{port}",
        "plugin.discovery": "service_load",
        "scheduled.rebalance.max.delay.ms": "0",
    }
    config = tmp_path / "worker.properties"
    config.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    log = tmp_path / "worker.log"
    process = start_process(java_command(WORKER, str(config)), cwd=tmp_path, log=log)
    try:
        made = Worker(port, log)
        eventually(lambda: process.poll() is None and made.ask("/connectors"), [])
        yield made
    finally:
        process.terminate()
        process.wait(30)


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
