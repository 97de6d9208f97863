"""The brokers that are measured: kwire, Apache Kafka, or one that runs already.

`with start("kafka") as target:` gives a running broker on 127.0.0.1 with a private data directory that is gone
afterwards. Both get the same settings, so that neither has an advantage the other could have too.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench import java, process, wire
from bench.tls import Certificate, make_certificate

ROOT = java.ROOT
START_TIMEOUT_SECONDS = 60.0
_POLL_SECONDS = 0.002

# The same for both. No rebalance delay and quick deletes: rows must not wait for, or disturb, each other.
SETTINGS = {
    "num.partitions": "1",
    "default.replication.factor": "1",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "log.segment.delete.delay.ms": "1000",
}


@dataclass
class Target:
    """A running broker.

    `start_seconds`: from spawning the process to a Metadata answer that names a broker. `format_seconds`: what had
    to be done before (Kafka only). `pid` is None for a broker that the harness did not start.
    """

    name: str
    bootstrap: str
    pid: int | None
    directory: Path
    start_seconds: float = 0.0
    format_seconds: float = 0.0
    tls_bootstrap: str | None = None
    certificate: Certificate | None = None
    details: dict[str, str] = field(default_factory=dict)

    def cpu_seconds(self) -> float:
        """CPU time used so far, 0.0 when unknown."""
        return process.cpu_seconds(self.pid) if self.pid else 0.0

    def rss_mb(self) -> float:
        """Resident memory in MB, 0.0 when unknown."""
        return process.memory_mb(self.pid) if self.pid else 0.0

    def log_tail(self, lines: int = 30) -> str:
        """The end of what the broker printed."""
        path = self.directory / "broker.log"
        if not path.exists():
            return ""
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


def free_port() -> int:
    """A TCP port that is free right now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _properties(settings: dict[str, str]) -> str:
    return "".join(f"{key}={value}\n" for key, value in settings.items())


def _tls_settings(certificate: Certificate) -> dict[str, str]:
    return {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(certificate.both),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(certificate.certificate),
        "ssl.client.auth": "none",
    }


# As a person's shell has it: with compiled modules kept, which some build machines turn off.
_ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def _spawn(command: list[str], directory: Path, environment: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    with open(directory / "broker.log", "ab") as log:
        running = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**_ENVIRONMENT, **(environment or {})},
        )
    if niceness := os.getpriority(os.PRIO_PROCESS, 0):
        process.set_niceness(niceness, running.pid)
    return running


def _stop(running: subprocess.Popen[bytes], patience_seconds: float = 10.0) -> None:
    """SIGTERM, then SIGKILL to what is left of the process group."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(running.pid, signal.SIGTERM)
    try:
        running.wait(patience_seconds)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()


def _wait_ready(target: Target, running: subprocess.Popen[bytes], began: float, bootstrap: str | None) -> None:
    ready_file = target.directory / "ready"
    deadline = began + START_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        if running.poll() is not None:
            raise RuntimeError(f"{target.name} ended with {running.returncode}:\n{target.log_tail()}")
        address = bootstrap
        if address is None and ready_file.exists():
            address = ready_file.read_text().strip() or None
        if address and wire.is_ready(address):
            target.start_seconds = time.monotonic() - began
            target.bootstrap = address
            return
        time.sleep(_POLL_SECONDS)
    raise RuntimeError(f"{target.name} was not ready after {START_TIMEOUT_SECONDS} s:\n{target.log_tail()}")


def _kwire_command(target: Target, certificate: Certificate | None, extra: dict[str, str]) -> list[str]:
    command = [sys.executable]
    profile = os.environ.get("KWIRE_BENCH_CPROFILE")
    command += ["-m", "cProfile", "-o", profile] if profile else []
    command += ["-m", "kwire", "serve", "--ephemeral", "--ready-file", str(target.directory / "ready")]
    settings = {**SETTINGS, **extra}
    if certificate is None:
        command += ["--port", "0"]
    else:
        port, tls_port = free_port(), free_port()
        target.tls_bootstrap = f"127.0.0.1:{tls_port}"
        settings["listeners"] = f"PLAINTEXT://127.0.0.1:{port},SSL://127.0.0.1:{tls_port}"
        settings.update(_tls_settings(certificate))
    config = target.directory / "server.properties"
    config.write_text(_properties(settings))
    return [*command, "--config", str(config)]


def _kafka_settings(target: Target, certificate: Certificate | None, extra: dict[str, str]) -> dict[str, str]:
    port, controller_port = free_port(), free_port()
    target.bootstrap = f"127.0.0.1:{port}"
    listeners = f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}"
    settings = {
        **SETTINGS,
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SSL:SSL,CONTROLLER:PLAINTEXT",
        "log.dirs": str(target.directory / "data"),
    }
    if certificate is not None:
        tls_port = free_port()
        target.tls_bootstrap = f"127.0.0.1:{tls_port}"
        listeners += f",SSL://127.0.0.1:{tls_port}"
        settings.update(_tls_settings(certificate))
    return {**settings, "listeners": listeners, **extra}


def _start_kafka(target: Target, certificate: Certificate | None, extra: dict[str, str]) -> subprocess.Popen[bytes]:
    executable, class_path = java.find_java(), java.class_path()
    config = target.directory / "server.properties"
    config.write_text(_properties(_kafka_settings(target, certificate, extra)))
    began = time.monotonic()
    subprocess.run(
        [
            *(executable, "-cp", class_path, "kafka.tools.StorageTool", "format"),
            *("-t", "a2JlbmNoa2JlbmNoa2JlbA", "-c", str(config)),
        ],
        check=True,
        capture_output=True,
    )
    target.format_seconds = time.monotonic() - began
    target.details = {"java": java.java_version(executable), "flags": " ".join(java.JVM_FLAGS)}
    began = time.monotonic()
    running = _spawn([executable, *java.JVM_FLAGS, "-cp", class_path, "kafka.Kafka", str(config)], target.directory)
    target.pid = running.pid
    try:
        _wait_ready(target, running, began, target.bootstrap)
    except BaseException:
        _stop(running, 0.0)
        raise
    return running


def _start_kwire(target: Target, certificate: Certificate | None, extra: dict[str, str]) -> subprocess.Popen[bytes]:
    command = _kwire_command(target, certificate, extra)
    target.details = {"python": sys.version.split()[0]}
    began = time.monotonic()
    running = _spawn(command, target.directory, {"TMPDIR": str(target.directory)})
    target.pid = running.pid
    try:
        _wait_ready(target, running, began, None)
    except BaseException:
        _stop(running, 0.0)
        raise
    return running


@contextlib.contextmanager
def start(name: str, *, tls: bool = False, settings: dict[str, str] | None = None) -> Iterator[Target]:
    """A broker for the duration of the block.

    name: "kwire", "kafka", or "host:port" of one that runs. settings: server.properties keys on top of SETTINGS.
    Raises RuntimeError with the end of the broker's log when it does not get ready.
    """
    directory = Path(tempfile.mkdtemp(prefix=f"bench-{name.partition(':')[0]}-"))
    target = Target(name, "", None, directory)
    running: subprocess.Popen[bytes] | None = None
    try:
        certificate = make_certificate(directory) if tls else None
        target.certificate = certificate
        if name == "kwire":
            running = _start_kwire(target, certificate, settings or {})
        elif name == "kafka":
            running = _start_kafka(target, certificate, settings or {})
        else:
            target.bootstrap = name
        yield target
    finally:
        if running is not None:
            _stop(running)
        shutil.rmtree(directory, ignore_errors=True)
