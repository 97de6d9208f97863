"""A `kwire serve` in a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[3]
LIMIT_S: Final = 30


class Serve:
    """The process; the lines it logs tell what has happened, so that nobody needs to sleep."""

    def __init__(self, directory: Path, arguments: list[str], environment: dict[str, str]) -> None:
        self.directory = directory
        self.ready_file = directory / "ready"
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-m", "kwire", "serve", *arguments],
            cwd=directory,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []

    def read_until(self, text: str) -> str:
        """The first further line of output with `text` in it; fails when the process ends before."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if text in line:
                return line
        raise AssertionError(f"the process ended without {text!r}:\n{''.join(self.lines)}")

    def wait(self) -> int:
        """The exit code."""
        rest, _ = self.process.communicate(timeout=LIMIT_S)
        self.lines.append(rest)
        return self.process.returncode

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    @property
    def output(self) -> str:
        return "".join(self.lines)

    @property
    def port(self) -> int:
        return int(self.ready_file.read_text().rpartition(":")[2])

    def answers(self) -> bool:
        """True when an ApiVersions v0 request is answered without an error."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT_S) as connection:
            connection.sendall(struct.pack(">ihhih", 10, 18, 0, 7, -1))
            with connection.makefile("rb") as stream:
                (size,) = struct.unpack(">i", stream.read(4))
                correlation_id, error_code = struct.unpack_from(">ih", stream.read(size))
        return (correlation_id, error_code) == (7, 0)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


Start = Callable[..., Serve]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """start(*arguments, environment={}): a broker on a free port; killed at the end if it still runs."""
    running: list[Serve] = []

    def begin(*arguments: str, environment: dict[str, str] | None = None) -> Serve:
        directory = tmp_path / f"run-{len(running)}"
        directory.mkdir()
        serve = Serve(directory, ["--ready-file", str(directory / "ready"), *arguments], environment or {})
        running.append(serve)
        return serve

    yield begin
    for serve in running:
        serve.kill()
