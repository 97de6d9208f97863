"""Whose standard input ends, or whose parent is another one, stops; and leaves when stopping takes too long."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]

WATCH = """
import os, threading
from broker.cli.owner import watch_owner
told = threading.Event()
def gone():
    print("gone", flush=True)
    told.set()
print("ready", flush=True)
watch_owner(gone, patience_ms={patience_ms}, give_up=lambda: os._exit(7))
told.wait()
{then}
"""


def watcher(stdin: int, *, patience_ms: int | None = None, then: str = "") -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", WATCH.format(patience_ms=patience_ms, then=then)],
        cwd=ROOT,
        stdin=stdin,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def rest(process: subprocess.Popen[str]) -> str:
    """What it prints until it ends."""
    assert process.stdout is not None
    return process.stdout.read()


def test_what_is_written_does_not_matter_but_the_end_does() -> None:
    with watcher(subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write("words" * 10_000)
        process.stdin.flush()
        assert process.poll() is None
        process.stdin.close()
        assert rest(process) == "gone\n"
    assert process.returncode == 0


def test_an_input_that_is_at_its_end_already() -> None:
    with watcher(subprocess.DEVNULL) as process:
        assert rest(process) == "gone\n"


def test_who_takes_too_long_leaves() -> None:
    with watcher(subprocess.DEVNULL, patience_ms=1, then="threading.Event().wait()") as process:
        assert rest(process) == "gone\n"
    assert process.returncode == 7
