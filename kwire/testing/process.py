"""A broker in a process of its own: started, found, stopped; gone with us, however we end.

The broker holds the reading end of a pipe whose writing end only we have (`kwire serve --stop-with-stdin`): when this
process is gone, also by SIGKILL, the broker stops and removes its data. Its log goes to a file without a name.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from kwire.testing.errors import BrokerStartError

START_TIMEOUT_S: Final = 30.0
_STOP_TIMEOUT_S: Final = 10.0
_POLL_S: Final = 0.002
_LAUNCHER: Final = Path(__file__).resolve().parents[1] / "launcher.py"
# Settings of the user's own programs, which the broker would take for its own.
_FOREIGN_VARIABLES: Final = ("KAFKA_", "KWIRE_")
_LOG_TAIL_BYTES: Final = 4096


class BrokerProcess:
    """A running `kwire serve --ephemeral`. address: host:port for Kafka's clients; url: of the control plane."""

    def __init__(self, address: str, url: str, process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
        self.address = address
        self.url = url
        self._process = process
        self._log = log
        self._finalizer = weakref.finalize(self, _stop, process, log, os.getpid())

    @classmethod
    def start(
        cls,
        *,
        settings: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
        log_level: str = "INFO",
        log_file: str | os.PathLike[str] | None = None,
        timeout_s: float = START_TIMEOUT_S,
    ) -> BrokerProcess:
        """Start one and wait until it answers.

        settings: Kafka's broker settings. options: more of `kwire serve`'s command line. log_file: where its log goes,
        appended; None: a file without a name, see `log_text`. Raises BrokerStartError.
        """
        ready_file = Path(tempfile.gettempdir()) / f"kwire-ready-{os.getpid()}-{secrets.token_hex(8)}"
        command = [sys.executable, "-I", str(_LAUNCHER), "serve", "--ephemeral", "--stop-with-stdin"]
        command += ["--port", "0", "--http", "0", "--ready-file", str(ready_file), "--log-level", log_level]
        for key, value in (settings or {}).items():
            command += ["--set", f"{key}={value}"]
        log = tempfile.TemporaryFile("w+b") if log_file is None else open(log_file, "a+b")  # noqa: SIM115
        process = subprocess.Popen(
            [*command, *options],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN_VARIABLES)},
            # A Ctrl-C at the terminal is for us; we stop the broker when we no longer need it.
            start_new_session=True,
        )
        try:
            address, url = _wait_until_ready(process, ready_file, log, timeout_s)
        except BaseException:
            _stop(process, log, os.getpid())
            raise
        finally:
            ready_file.unlink(missing_ok=True)
        return cls(address, url, process, log)

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def death(self) -> str | None:
        """Of one that ended by itself: exit code (below 0: the signal) and the end of its log. None: it did not."""
        code = self._process.poll()
        if code is None or not self._finalizer.alive:
            return None
        return f"the broker ended with exit code {code}; its log ends with:\n{self.log_text()}"

    def log_text(self, most_bytes: int = _LOG_TAIL_BYTES) -> str:
        """The end of its log."""
        return "" if self._log.closed else _tail(self._log, most_bytes)

    def stop(self) -> None:
        """Stop it and wait until it is gone with its data. Once more does nothing."""
        self._finalizer()


def _wait_until_ready(
    process: subprocess.Popen[bytes], ready_file: Path, log: IO[bytes], timeout_s: float
) -> tuple[str, str]:
    deadline = time.monotonic() + timeout_s
    while not ready_file.exists():
        code = process.poll()
        if code is not None:
            raise BrokerStartError(f"the broker ended with exit code {code} before it was ready:\n{_tail(log)}")
        if time.monotonic() > deadline:
            raise BrokerStartError(f"the broker was not ready after {timeout_s:g} s:\n{_tail(log)}")
        time.sleep(_POLL_S)
    address, *rest = ready_file.read_text(encoding="ascii").splitlines()
    if not rest:
        raise BrokerStartError(f"the broker told no control URL, only {address}:\n{_tail(log)}")
    return address, rest[0]


def _tail(log: IO[bytes], most_bytes: int = _LOG_TAIL_BYTES) -> str:
    # By position: the broker writes where the descriptor that we share stands.
    size = os.fstat(log.fileno()).st_size
    data = os.pread(log.fileno(), most_bytes, max(0, size - most_bytes))
    return data.decode("utf-8", "replace")


def _stop(process: subprocess.Popen[bytes], log: IO[bytes], owner: int) -> None:
    if os.getpid() != owner:
        # A fork of ours ends; the broker is not its own.
        return
    if process.poll() is None:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.returncode:
        # It had no time to tidy up.
        for left in Path(tempfile.gettempdir()).glob(f"kwire-{process.pid}-*"):
            shutil.rmtree(left, ignore_errors=True)
    log.close()
