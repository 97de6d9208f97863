"""What the suite runs against: kwire, Apache Kafka 4.3.1, or a broker somebody else started.

The two brokers the suite starts itself get the same server.properties (``PROPERTIES`` and the listeners), so that a
difference in an answer is a difference between the brokers.
"""

import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from attrs import define, field

from compat_tests.certificates import Certificates
from compat_tests.processes import start_process
from tools.free_ports import free_ports

REPOSITORY = Path(__file__).resolve().parent.parent
KAFKA_VERSION = "4.3.1"
KAFKA_JARS = REPOSITORY / ".cache" / f"kafka-{KAFKA_VERSION}"
CLUSTER_ID = "5L6g3nShT-eMCtK--X86sw"
START_TIMEOUT_S = 120.0

PROPERTIES = {
    "num.partitions": "4",
    "auto.create.topics.enable": "true",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    # Kafka looks for transactions past their time every 10 s.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "200",
    # and for idle producers every ten minutes.
    "producer.id.expiration.check.interval.ms": "100",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # Kafka's default of 3 s is only a wait; kwire's default is 0.
    "group.initial.rebalance.delay.ms": "0",
}

KAFKA_JVM_FLAGS = ["-Xms512M", "-Xmx512M", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]

_LOG4J = """<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="WARN">
  <Appenders><Console name="out"><PatternLayout pattern="[%d] %p %m (%c)%n"/></Console></Appenders>
  <Loggers><Root level="INFO"><AppenderRef ref="out"/></Root></Loggers>
</Configuration>
"""


class TargetUnavailableError(Exception):
    """The target cannot be started here (no Java, no Maven, ...): the text says what is missing."""


def answers_requests(host: str, port: int) -> bool:
    """True when the broker answers ApiVersions v0."""
    frame = struct.pack(">hhih", 18, 0, 7, -1)
    try:
        with socket.create_connection((host, port), timeout=2) as connection:
            connection.sendall(struct.pack(">i", len(frame)) + frame)
            head = connection.recv(8, socket.MSG_WAITALL)
    except OSError:
        return False
    return len(head) == 8 and head[4:8] == struct.pack(">i", 7)


@define
class Broker:
    """A running broker that was started by someone else; ``OwnBroker`` adds starting and killing.

    Addresses are ``host:port``; ``tls`` is None when there is no TLS listener.
    """

    kind: str  # "kafka", "kwire" or "remote"
    plain: str
    tls: str | None = None
    certificates: Certificates | None = None

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.plain.rsplit(":", 1)
        return host, int(port)

    @property
    def tls_address(self) -> tuple[str, int] | None:
        if self.tls is None:
            return None
        host, port = self.tls.rsplit(":", 1)
        return host, int(port)


@define
class OwnBroker(Broker):
    """A broker process of the suite. Ports and directory stay the same over ``kill`` and ``start``."""

    directory: Path = field(kw_only=True)
    properties: Mapping[str, str] = field(kw_only=True, factory=dict)
    _process: subprocess.Popen[bytes] | None = field(init=False, default=None)

    @property
    def log_file(self) -> Path:
        return self.directory / "broker.log"

    @property
    def data_directory(self) -> Path:
        return self.directory / "data"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start and return once requests are answered. Raises RuntimeError with the log's tail when that fails."""
        if self._process is not None and self._process.poll() is None:
            return
        self._process = start_process(self._command(), cwd=self.directory, log=self.log_file, env=self._environment())
        deadline = time.monotonic() + START_TIMEOUT_S
        while not answers_requests(*self.address):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                tail = self.log_file.read_text(errors="replace")[-4000:]
                raise RuntimeError(f"{self.kind} did not start; the end of its log:\n{tail}")
            time.sleep(0.02)

    def kill(self) -> None:
        """kill -9, and wait until the process is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self, timeout_s: float = 30) -> None:
        """SIGTERM and wait; kill -9 after ``timeout_s``."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise RuntimeError(f"{self.kind} did not stop within {timeout_s} s of SIGTERM") from None

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _environment(self) -> dict[str, str]:
        return {}

    def _write_properties(self, properties: Mapping[str, str]) -> Path:
        path = self.directory / "server.properties"
        path.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
        return path

    def _listener_properties(self, *more: str) -> dict[str, str]:
        listeners = [f"PLAINTEXT://{self.plain}"]
        properties: dict[str, str] = {}
        if self.tls is not None and self.certificates is not None:
            listeners.append(f"SSL://{self.tls}")
            properties["ssl.keystore.type"] = "PEM"
            properties["ssl.keystore.location"] = str(self.certificates.keystore)
        properties["advertised.listeners"] = ",".join(listeners)
        properties["listeners"] = ",".join([*listeners, *more])
        return properties


@define
class KafkaBroker(OwnBroker):
    """Apache Kafka as one KRaft node, broker and controller."""

    java: str = field(kw_only=True)

    def prepare(self) -> None:
        """Write server.properties and format the data directory."""
        (controller_port,) = free_ports(1)
        path = self._write_properties(
            {
                **PROPERTIES,
                "process.roles": "broker,controller",
                "node.id": "1",
                "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
                "controller.listener.names": "CONTROLLER",
                "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SSL:SSL,CONTROLLER:PLAINTEXT",
                "inter.broker.listener.name": "PLAINTEXT",
                # On a busy machine a heartbeat may be late; a broker taken for dead refuses to make topics.
                "broker.session.timeout.ms": "30000",
                "log.dirs": str(self.data_directory),
                **self._listener_properties(f"CONTROLLER://127.0.0.1:{controller_port}"),
                **self.properties,
            }
        )
        (self.directory / "log4j2.xml").write_text(_LOG4J)
        done = subprocess.run(
            [*self._jvm(), "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(path)],
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"formatting failed: {done.stdout}{done.stderr}")

    def _jvm(self, *flags: str) -> list[str]:
        log4j = f"-Dlog4j2.configurationFile={self.directory / 'log4j2.xml'}"
        return [self.java, *KAFKA_JVM_FLAGS, *flags, log4j, "-cp", f"{KAFKA_JARS}/*"]

    def _command(self) -> list[str]:
        return [*self._jvm(), "kafka.Kafka", str(self.directory / "server.properties")]


@define
class KwireBroker(OwnBroker):
    """kwire from this checkout, in the interpreter that runs the tests."""

    def prepare(self) -> None:
        self._write_properties(
            {
                **PROPERTIES,
                "node.id": "1",
                "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SSL:SSL",
                **self._listener_properties(),
                **self.properties,
            }
        )

    def _command(self) -> list[str]:
        return [
            sys.executable,
            "-m",
            "kwire",
            "serve",
            "--config",
            str(self.directory / "server.properties"),
            "--data-dir",
            str(self.data_directory),
            "--ready-file",
            str(self.directory / "ready"),
        ]

    def _environment(self) -> dict[str, str]:
        return {"PYTHONPATH": str(REPOSITORY)}


def find_java() -> str:
    """The java command; raises TargetUnavailableError without one."""
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    if java is None:
        raise TargetUnavailableError("Apache Kafka needs Java 17 or newer; none is in PATH")
    return java


def kafka_jars() -> Path:
    """The folder with Kafka's jars, filled through Maven when it is empty."""
    return maven_jars(KAFKA_JARS, REPOSITORY / "compat_tests" / "kafka")


def maven_jars(folder: Path, project: Path) -> Path:
    """`folder`, filled through Maven with what the pom.xml in `project` names unless that is there."""
    if not list(folder.glob("*.jar")):
        maven = shutil.which("mvn")
        if maven is None:
            raise TargetUnavailableError(f"the jars of {project.name} come from Maven Central; mvn is not in PATH")
        partial = folder.with_suffix(".new")
        shutil.rmtree(partial, ignore_errors=True)
        subprocess.run(
            [maven, "-q", "dependency:copy-dependencies", f"-DoutputDirectory={partial}"], cwd=project, check=True
        )
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    return folder


def make_broker(
    kind: str, directory: Path, certificates: Certificates | None, properties: Mapping[str, str] | None = None
) -> OwnBroker:
    """A prepared, not yet started broker in ``directory``, with ``properties`` over the common ones.

    Raises TargetUnavailableError when this machine lacks what it needs.
    """
    directory.mkdir(parents=True, exist_ok=True)
    plain, tls = (f"127.0.0.1:{port}" for port in free_ports(2))
    more = dict(properties or {})
    broker: KafkaBroker | KwireBroker
    secure = tls if certificates is not None else None
    if kind == "kafka":
        java = find_java()
        kafka_jars()
        broker = KafkaBroker(kind, plain, secure, certificates, directory=directory, properties=more, java=java)
    else:
        broker = KwireBroker(kind, plain, secure, certificates, directory=directory, properties=more)
    broker.prepare()
    return broker
