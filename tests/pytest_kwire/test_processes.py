"""One broker for all workers, none where nobody asks, and none left behind, however pytest ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from tests.kwire_testing.processes import LIMIT_S, Watched

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]
# What else is installed takes a second to load.
ALONE = ["-q", "-p", "xdist", "-p", "pytest_kwire.plugin", "-p", "no:cacheprovider"]
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(ROOT),
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
}

# Each test notes which broker it has, in which worker and process it runs, and its cluster.
NOTES = """
import os, signal, sys
from pathlib import Path
import pytest

def note(*words):
    with open(os.environ["NOTES"], "a") as notes:
        print(*words, file=notes, flush=True)

@pytest.fixture
def noted(kafka_cluster, kafka_broker):
    note(kafka_broker.url, os.environ.get("PYTEST_XDIST_WORKER", "none"), os.getpid(), kafka_cluster.name)
    return kafka_cluster
"""


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "notes"
    path.touch()
    monkeypatch.setenv("NOTES", str(path))
    return path


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "scratch"
    directory.mkdir()
    monkeypatch.setenv("TMPDIR", str(directory))
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    return directory


def start_pytest(pytester: pytest.Pytester, source: str, *arguments: str) -> subprocess.Popen[str]:
    """pytest in a process of its own, with no plugins but ours and xdist."""
    pytester.makepyfile(NOTES + source)
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", *ALONE, *arguments],
        cwd=pytester.path,
        env=ENVIRONMENT | {name: os.environ[name] for name in ("NOTES", "TMPDIR")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def brokers_of(scratch: Path) -> list[Watched]:
    """The brokers whose data is there; their directories are named by their ids."""
    return [Watched(int(path.name.split("-")[1])) for path in scratch.glob("kwire-[0-9]*-*")]


def test_the_workers_share_one_broker_also_one_that_comes_for_another_that_crashed(
    pytester: pytest.Pytester, notes: Path, scratch: Path
) -> None:
    source = """
@pytest.mark.parametrize("n", range(6))
def test_it(noted, n):
    if n == 2:
        os.kill(os.getpid(), signal.SIGKILL)

def test_what_is_loaded(noted):
    noted.produce("orders", "a")
    assert noted.consume_until("orders", 1)
    servers = {"broker", "log", "trio", "asyncio", "msgspec", "h11", "kafka", "click"}
    assert not servers & {name.partition(".")[0] for name in sys.modules}
"""
    process = start_pytest(pytester, source, "-n", "2")
    output, _ = process.communicate(timeout=LIMIT_S)
    assert "1 failed, 6 passed" in output, output
    lines = [line.split() for line in notes.read_text().splitlines()]
    assert len(lines) == 7
    assert len({url for url, *_ in lines}) == 1
    assert len({worker for _, worker, *_ in lines}) >= 2
    assert all(name.startswith(f"{worker}-test_") for _, worker, _, name in lines)
    assert list(scratch.glob("kwire-*")) == []


@pytest.mark.parametrize("workers", [0, 2])
def test_when_pytest_is_killed_no_broker_is_left(
    pytester: pytest.Pytester, notes: Path, scratch: Path, workers: int
) -> None:
    source = """
def test_it(noted):
    note("there")
    signal.pause()
"""
    notes.unlink()
    os.mkfifo(notes)
    process = start_pytest(pytester, source, "-n", str(workers))
    with notes.open() as lines:
        pid = lines.readline().split()[2]
    worker = Watched(int(pid))
    (broker,) = brokers_of(scratch)
    process.send_signal(signal.SIGKILL)
    process.wait(LIMIT_S)
    assert broker.ended()
    if workers:
        # xdist's worker ends by itself too, but gives a test that runs five seconds, which may be over.
        with suppress(ProcessLookupError):
            os.kill(worker.pid, signal.SIGKILL)
    assert worker.ended()
    assert list(scratch.glob("kwire-*")) == []
    process.communicate()


def test_a_run_without_these_fixtures_starts_and_imports_nothing(pytester: pytest.Pytester, scratch: Path) -> None:
    pytester.makepyfile(
        test_it="def test_it(): pass",
        run=f"""
import sys
import pytest
code = pytest.main([*{ALONE!r}, *sys.argv[1:], "test_it.py"])
print("loaded", sorted(name for name in sys.modules if name.partition(".")[0] in ("kwire", "pytest_kwire", "broker")))
sys.exit(code)
""",
    )
    for arguments in ([], ["-n", "1"]):
        done = subprocess.run(
            [sys.executable, "run.py", *arguments],
            cwd=pytester.path,
            env=ENVIRONMENT | {"TMPDIR": str(scratch)},
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        loaded = done.stdout.splitlines()[-1]
        allowed = ["pytest_kwire", "pytest_kwire.plugin", *(["pytest_kwire.sharing"] if arguments else [])]
        assert loaded == f"loaded {allowed}"
    assert list(scratch.glob("kwire-*")) == []
