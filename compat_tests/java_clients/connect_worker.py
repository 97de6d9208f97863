"""A Connect worker in distributed mode as a process of its own, and its REST interface."""

import contextlib
import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from compat_tests.java_clients.clients import Java, eventually
from compat_tests.java_clients.jvm import java_command
from compat_tests.processes import start_process
from tools.free_ports import free_ports

WORKER = "org.apache.kafka.connect.cli.ConnectDistributed"


class Worker:
    """A worker's REST interface."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
        self.process = process
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
        """What it logged as an error."""
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(line for line in lines if " ERROR " in line)


@contextlib.contextmanager
def running_worker(java: Java, folder: Path, name: str, **more: str) -> Iterator[Worker]:
    """A worker of the group `name`, whose internal topics carry that name; `more` settings with _ for the dots."""
    (port,) = free_ports(1)
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
        **{key.replace("_", "."): value for key, value in more.items()},
    }
    config = folder / "worker.properties"
    config.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    log = folder / "worker.log"
    process = start_process(java_command(WORKER, str(config)), cwd=folder, log=log)
    try:
        made = Worker(process, port, log)
        eventually(lambda: process.poll() is None and made.ask("/connectors") is not None, True)
        yield made
    finally:
        process.terminate()
        process.wait(30)
