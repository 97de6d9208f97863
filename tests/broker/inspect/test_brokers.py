"""`kwire check` and `kwire dump` on what whole brokers wrote, Kafka and kwire: live, after kill -9, after a stop.

The long form only: it waits for brokers to start, and for their cleaners.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.cli.dump import Selection, select
from broker.inspect.check import Checker
from broker.inspect.entries import DumpOptions
from broker.inspect.findings import Finding, Severity
from compat_tests.targets import KAFKA_JARS, KafkaBroker, KwireBroker, OwnBroker, find_java
from tests.broker.inspect.kafka_load import load
from tools.free_ports import free_ports

SETTINGS = {
    "offsets.topic.num.partitions": "3",
    "transaction.state.log.num.partitions": "3",
    "log.cleaner.backoff.ms": "500",
    "log.retention.check.interval.ms": "2000",
    "log.initial.task.delay.ms": "500",
    "metadata.log.max.record.bytes.between.snapshots": "2000",
}
pytestmark = pytest.mark.slow


def start_broker(kind: str, directory: Path) -> OwnBroker:
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    broker: KafkaBroker | KwireBroker
    if kind == "kafka":
        log_dirs = {"log.dirs": f"{directory / 'data'},{directory / 'data2'}"}
        broker = KafkaBroker(
            kind=kind, plain=address, directory=directory, java=find_java(), properties=SETTINGS | log_dirs
        )
    else:
        broker = KwireBroker(kind=kind, plain=address, directory=directory, properties=SETTINGS)
    broker.prepare()
    broker.start()
    return broker


@pytest.fixture(
    params=[
        "kwire",
        pytest.param(
            "kafka",
            marks=[
                pytest.mark.java,
                pytest.mark.skipif(shutil.which("java") is None, reason="no java in PATH"),
                pytest.mark.skipif(not KAFKA_JARS.is_dir(), reason="Kafka's jars are not there"),
            ],
        ),
    ]
)
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OwnBroker]:
    started = start_broker(request.param, tmp_path)
    yield started
    started.kill()


def serious(directories: list[Path], *, live: bool = False) -> list[Finding]:
    found: list[Finding] = []
    totals = Checker(found.append, live=live).check([str(path) for path in directories])
    assert totals.records > 10_000
    return [finding for finding in found if finding.severity is not Severity.INFO]


def test_sound_directories_have_no_findings(broker: OwnBroker) -> None:
    load(broker.plain, ("classic", "consumer") if broker.kind == "kafka" else ("classic",))
    directories = [path for path in (broker.directory / "data", broker.directory / "data2") if path.exists()]
    assert serious(directories, live=True) == []
    broker.kill()
    assert serious(directories) == []
    broker.start()
    broker.stop()
    assert serious(directories) == []
    options = Selection(DumpOptions(records=True))
    for entry in select([str(path) for path in directories], options):
        assert entry["type"] != "damage", entry
        assert "error" not in entry, entry
        assert "problem" not in entry, entry
