"""Connect's exactly-once source: a worker that is killed while it writes leaves nothing twice, nothing out."""

from functools import partial
from pathlib import Path

import pytest

from compat_tests.java_clients.clients import Java, eventually
from compat_tests.java_clients.connect_worker import running_worker

pytestmark = pytest.mark.client("Connect")


@pytest.mark.long
@pytest.mark.capability("exactly-once source")
def test_a_killed_worker_writes_each_line_once(java: Java, tmp_path: Path) -> None:
    topic, name = java.create_topic("connect"), java.fresh_name("connect")
    lines = [f"line {number}" for number in range(3000)]
    source = tmp_path / "in.txt"
    source.write_text("".join(f"{line}\n" for line in lines[:2000]))
    connector = {
        "connector.class": "FileStreamSource",
        "file": str(source),
        "topic": topic,
        "tasks.max": "1",
        "batch.size": "100",
        "exactly.once.support": "required",
        "transaction.boundary": "poll",
    }
    # What the killed worker left open holds its successor back until the transaction times out.
    connector["producer.override.transaction.timeout.ms"] = "2000"
    support = {"exactly_once_source_support": "enabled", "session_timeout_ms": "6000", "heartbeat_interval_ms": "500"}
    reader = java.consumer(isolation_level="read_committed")
    reader.assign((topic, 0))
    with running_worker(java, tmp_path, name, **support) as worker:
        assert worker.ask("/connectors", {"name": "source", "config": connector}) is not None, worker.complaints()
        seen = reader.values(100, timeout_ms=30000)
        worker.process.kill()
        worker.process.wait()
    with source.open("a") as file:
        file.writelines(f"{line}\n" for line in lines[2000:])
    with running_worker(java, tmp_path, name, **support) as worker:
        eventually(partial(worker.state, "source"), ["RUNNING", "RUNNING"], patience_s=60)
        seen += reader.values(len(lines) - len(seen), timeout_ms=30000)
        assert seen == lines
        assert worker.ask("/connectors/source", method="DELETE") is None
        eventually(lambda: worker.ask("/connectors"), [])
    assert reader.values(1, timeout_ms=500) == []
