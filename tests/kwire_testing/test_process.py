"""A broker in a process of its own goes with whoever started it, however that one ends, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from kwire.testing import Broker, BrokerStartError
from tests.kwire_testing.processes import LIMIT_S, Watched

ROOT = Path(__file__).parents[2]

START = "from kwire.testing import Broker; broker = Broker.start(); print(broker.pid, flush=True)"


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go, ours and those of what we start."""
    directory = tmp_path / "scratch"
    directory.mkdir()
    monkeypatch.setenv("TMPDIR", str(directory))
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    return directory


def start_owner(script: str) -> tuple[subprocess.Popen[str], Watched]:
    """A process that starts a broker and prints process ids; it, and the first of these."""
    owner = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout is not None
    return owner, Watched(int(owner.stdout.readline()))


def close(owner: subprocess.Popen[str]) -> None:
    assert owner.stdin is not None
    assert owner.stdout is not None
    owner.stdin.close()
    owner.stdout.close()


def test_a_broker_starts_answers_and_is_gone_with_its_data(scratch: Path) -> None:
    with Broker.start() as broker:
        assert broker.http.request("GET", "/v1")["kafka"] == "4.3.1"
        assert broker.pid is not None
        process = Watched(broker.pid)
        (left,) = scratch.iterdir()
        assert left.name.startswith(f"kwire-{broker.pid}-")
        assert "started" in broker.log_text()
    assert process.ended()
    assert list(scratch.iterdir()) == []
    broker.close()


def test_when_its_owner_is_killed_the_broker_ends_and_its_data_is_gone(scratch: Path) -> None:
    owner, broker = start_owner(f"{START}; import sys; sys.stdin.read()")
    owner.send_signal(signal.SIGKILL)
    owner.wait(LIMIT_S)
    assert broker.ended()
    assert list(scratch.iterdir()) == []
    close(owner)


def test_a_child_that_the_owner_forked_does_not_keep_the_broker(scratch: Path) -> None:
    # The child has the pipe's writing end too.
    owner, child = start_owner(
        "import os, sys\n"
        "from kwire.testing import Broker\n"
        "broker = Broker.start()\n"
        "child = os.fork()\n"
        "if child == 0: sys.stdin.read(); os._exit(0)\n"
        "print(child, broker.pid, sep='\\n', flush=True)\n"
        "sys.stdin.read()"
    )
    assert owner.stdout is not None
    broker = Watched(int(owner.stdout.readline()))
    owner.send_signal(signal.SIGKILL)
    owner.wait(LIMIT_S)
    assert broker.ended()
    assert not child.ended(0)
    assert list(scratch.iterdir()) == []
    close(owner)
    assert child.ended()


def test_an_owner_that_just_ends_stops_the_broker(scratch: Path) -> None:
    owner, broker = start_owner(START)
    assert owner.wait(LIMIT_S) == 0
    assert broker.ended()
    assert list(scratch.iterdir()) == []
    close(owner)


def test_of_a_broker_that_was_killed_nothing_is_left(scratch: Path) -> None:
    broker = Broker.start()
    assert broker.pid is not None
    os.kill(broker.pid, signal.SIGKILL)
    broker.close()
    assert list(scratch.iterdir()) == []


def test_a_broker_that_cannot_start_says_why(scratch: Path) -> None:
    with pytest.raises(BrokerStartError, match=r"exit code 2 before it was ready:\n.*num\.partitions"):
        Broker.start(settings={"num.partitions": "many"})
    assert list(scratch.iterdir()) == []


def test_settings_are_the_brokers_and_variables_of_the_users_programs_are_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KAFKA_NUM_PARTITIONS", "none of its business")
    log_file = tmp_path / "broker.log"
    with Broker.start(settings={"num.partitions": "3"}, log_file=log_file):
        pass
    assert "started" in log_file.read_text()


def test_a_users_interpreter_loads_nothing_of_the_server() -> None:
    script = (
        "import sys\n"
        "from kwire.testing import Broker\n"
        "with Broker.start() as broker: broker.http.request('GET', '/v1')\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules}))\n"
        "print(sorted(name for name in sys.modules if name.startswith('kwire.')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=True
    )
    top, ours = done.stdout.splitlines()
    for name in ("broker", "log", "trio", "asyncio", "msgspec", "h11", "kafka", "click", "pytest"):
        assert f"'{name}'" not in top
    assert "kwire.codec" not in ours
    assert "kwire.messages" not in ours
