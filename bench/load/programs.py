"""The C load generators, compiled when first needed, and how they are run beside a broker.

Both follow one protocol: warm up, print "ready", wait for a line, measure, print one line of JSON. In between the
harness reads the broker's CPU time. Where there is no C compiler, `python -m bench.load.fallback` takes the same
arguments and does the same, slower: results then say so (`generator`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import confluent_kafka

from bench import java, process
from bench.targets import ROOT, Target

HERE = Path(__file__).resolve().parent
CACHE = ROOT / ".cache" / "bench"
_TOUCHED_MB = 2000


def program(name: str) -> list[str]:
    """The command of `raw_load` or `rdkafka_load`, compiled into .cache/bench."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or (name == "rdkafka_load" and librdkafka() is None):
        return [sys.executable, "-m", "bench.load.fallback", name]
    source = HERE / f"{name}.c"
    binary = CACHE / f"{name}-{hashlib.sha256(source.read_bytes()).hexdigest()[:12]}"
    if not binary.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        partial = binary.with_suffix(".new")
        subprocess.run([compiler, "-O2", "-o", str(partial), str(source), "-ldl"], check=True)
        partial.rename(binary)
    return [str(binary)]


def librdkafka() -> Path | None:
    """The library inside the confluent-kafka wheel."""
    folder = Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs"
    return next(iter(sorted(folder.glob("librdkafka*.so*"))), None)


@dataclass
class Result:
    """What a generator printed, the CPU seconds the broker used meanwhile, and which generator it was."""

    values: dict[str, Any]
    broker_cpu_seconds: float
    generator: str

    def __getitem__(self, key: str) -> Any:
        return self.values[key]


class LoadError(RuntimeError):
    """A generator failed; the message holds its standard error."""


class Generator:
    """A started generator, warmed up: `measure()` lets it run to its end."""

    def __init__(self, command: list[str], target: Target) -> None:
        self.target = target
        self.name = "python" if command[0] == sys.executable else "c"
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert self.process.stdout is not None
        said = ""
        while (line := self.process.stdout.readline()).strip() != "ready":
            said += line
            if not line:
                self._fail(said)
        self._cpu_before = 0.0

    def _fail(self, line: str) -> None:
        self.process.kill()
        _, errors = self.process.communicate()
        raise LoadError(f"on {self.target.name}: {line}{errors[-2000:]}")

    def begin(self) -> None:
        """Start the measured part."""
        assert self.process.stdin is not None
        self._cpu_before = self.target.cpu_seconds()
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def finish(self) -> Result:
        """Wait for the end; closes standard input, which ends a `flood`. Raises LoadError."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        line = self.process.stdout.readline()
        cpu = self.target.cpu_seconds() - self._cpu_before
        try:
            values = json.loads(line)
        except ValueError:
            self.process.stdin = None
            self._fail(line)
        self.process.wait(30)
        self._close()
        if values.get("failed"):
            raise LoadError(f"on {self.target.name}: {values['failed']} requests were answered with an error")
        return Result(values, cpu, self.name)

    def _close(self) -> None:
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()

    def kill(self) -> None:
        """End it whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._close()


@contextlib.contextmanager
def _generator(command: list[str], target: Target) -> Iterator[Generator]:
    made = Generator(command, target)
    try:
        yield made
    finally:
        made.kill()


@contextlib.contextmanager
def raw(
    target: Target,
    frame: bytes,
    *,
    connections: int = 1,
    in_flight: int = 1,
    seconds: float = 2.0,
    warmup_seconds: float = 0.5,
    interval_us: int = 0,
    error_offset: int = -1,
) -> Iterator[Generator]:
    """`raw_load` with this frame (see raw_load.c)."""
    host, port = target.bootstrap.rsplit(":", 1)
    with tempfile.NamedTemporaryFile(prefix="bench-frame-") as file:
        file.write(frame)
        file.flush()
        numbers = [connections, in_flight, seconds, warmup_seconds, interval_us, error_offset]
        command = [*program("raw_load"), host, port, *map(str, numbers), file.name]
        with _generator(command, target) as made:
            yield made


@contextlib.contextmanager
def java_transactions(
    target: Target, topic: str, *, count: int, warmup: int, value_size: int, partitions: int
) -> Iterator[Generator]:
    """`TransactionLoad` (see TransactionLoad.java), compiled by the JVM that runs it. Raises JavaMissingError."""
    command = [java.find_java(), "-Xmx256m", "-cp", java.class_path(), str(HERE / "TransactionLoad.java")]
    numbers = [partitions, count, warmup, value_size]
    with _generator([*command, target.bootstrap, topic, *map(str, numbers)], target) as made:
        yield made


@contextlib.contextmanager
def rdkafka(
    target: Target,
    mode: str,
    topic: str,
    *,
    count: int,
    warmup: int,
    values: list[bytes],
    partitions: int = 1,
    settings: dict[str, str] | None = None,
    tls: bool = False,
) -> Iterator[Generator]:
    """`rdkafka_load` in this mode (see rdkafka_load.c); all values have one size."""
    given = {"bootstrap.servers": target.bootstrap, **(settings or {})}
    if tls:
        assert target.tls_bootstrap is not None
        assert target.certificate is not None
        given["bootstrap.servers"] = target.tls_bootstrap
        given["security.protocol"] = "ssl"
        given["ssl.ca.location"] = str(target.certificate.certificate)
    with tempfile.NamedTemporaryFile(prefix="bench-values-") as file:
        file.write(b"".join(values))
        file.flush()
        command = [*program("rdkafka_load"), str(librdkafka()), mode, topic, str(partitions), str(count)]
        command += [str(warmup), file.name, str(len(values[0]))]
        with _generator([*command, *(f"{key}={value}" for key, value in given.items())], target) as made:
            if mode in ("produce", "flood"):
                process.touch_free_memory(max(2 * count * len(values[0]) // 1_000_000, _TOUCHED_MB))
            yield made
