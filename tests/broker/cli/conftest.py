"""A `kwire serve` in a process of its own, and commands against it."""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import CliRunner, Result

from broker.cli.main import cli

ROOT: Final = Path(__file__).parents[3]
LIMIT_S: Final = 90


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
            # What an ephemeral one had no time to remove.
            for left in Path(tempfile.gettempdir()).glob(f"kwire-{self.process.pid}-*"):
                shutil.rmtree(left, ignore_errors=True)
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


class Command:
    """`kwire` in this process, its commands against one broker."""

    def __init__(self, address: str) -> None:
        self.address = address

    def run(self, *arguments: str, input: str | bytes | None = None, code: int = 0) -> Result:
        """Fails when the exit code is another."""
        environment = {"KWIRE_BOOTSTRAP": self.address}
        result = CliRunner().invoke(cli, arguments, input=input, env=environment, catch_exceptions=False)
        assert result.exit_code == code, f"{arguments}: exit code {result.exit_code}\n{result.output}"
        return result

    def rows(self, *arguments: str, input: str | bytes | None = None) -> list[Any]:
        """The lines of JSON it prints."""
        return [json.loads(line) for line in self.run(*arguments, input=input).stdout.splitlines()]

    def refused(self, *arguments: str, input: str | bytes | None = None, code: int = 1) -> str:
        """What it says on standard error."""
        return self.run(*arguments, input=input, code=code).stderr


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """A broker for the tests of a module."""
    directory = tmp_path_factory.mktemp("broker")
    arguments = ["--port", "0", "--ephemeral", "--ready-file", str(directory / "ready")]
    serve = Serve(directory, [*arguments, "--set", "auto.create.topics.enable=false"], {})
    try:
        serve.read_until("Kafka Server started")
        yield Command(serve.ready_file.read_text().split()[0])
        assert serve.stop() == 0, serve.output
    finally:
        serve.kill()


@pytest.fixture(scope="module", autouse=True)
def _nothing_of_stock_clients_left() -> Iterator[None]:
    yield
    if "kafka" in sys.modules:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


STOCK_CLIENT = [
    # kafka-python leaves sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
"""For the `pytestmark` of modules with commands against a broker."""
