"""Child processes and directories that never outlive the test run, whatever ends it."""

import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def dies_with_parent() -> Callable[[], None]:
    """A ``preexec_fn``: the kernel kills the child when this process is gone, SIGKILL included (Linux)."""
    prctl = ctypes.CDLL(None).prctl

    def set_signal() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    return set_signal


class ScratchDirectory:
    """A private directory, removed by ``close`` or, when the run is killed, by a watcher.

    The watcher is a shell that reads a pipe whose only writing end this process holds: end of file means we are
    gone, by whatever way.
    """

    def __init__(self, prefix: str = "kwire-compat-") -> None:
        self.path = Path(tempfile.mkdtemp(prefix=prefix))
        self._watcher = subprocess.Popen(
            ["/bin/sh", "-c", 'cat >/dev/null; sleep 0.2; rm -rf "$1"', "sh", str(self.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def close(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        assert self._watcher.stdin is not None
        self._watcher.stdin.close()
        self._watcher.wait()


def start_process(
    command: list[str], *, cwd: Path, log: Path, env: dict[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start ``command`` with both outputs appended to the file ``log``; it dies with us."""
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            preexec_fn=dies_with_parent(),
            start_new_session=True,
        )
