"""One node's directories, on which kwire and Apache Kafka 4.3.1 are started in turn."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final, Literal

from attrs import define, field

from compat_tests.processes import start_process
from compat_tests.raw.groups import wait_for_coordinator
from compat_tests.raw.wire import Wire, eventually
from compat_tests.targets import (
    CLUSTER_ID,
    KAFKA_JARS,
    KAFKA_JVM_FLAGS,
    PROPERTIES,
    REPOSITORY,
    answers_requests,
    find_java,
    kafka_jars,
)
from tools.free_ports import free_ports

Kind = Literal["kafka", "kwire"]
Quorum = Literal["static", "dynamic"]

_START_S: Final = 60.0
_LOG4J: Final = """<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="WARN">
  <Appenders><Console name="out"><PatternLayout pattern="[%d] %p %m (%c)%n"/></Console></Appenders>
  <Loggers><Root level="INFO"><AppenderRef ref="out"/></Root></Loggers>
</Configuration>
"""
_LINE: Final = re.compile(r"^\[[^\]]*\] (WARN|ERROR|FATAL) (.*)$")
# What Kafka logs on a directory of its own as well, after a format, a clean stop or a kill -9 (each seen there).
_KAFKA_ALSO_SAYS: Final = (
    re.compile(r"Performing controller activation\. "),
    re.compile(r"Attempting to close NetworkClient that has already been closed"),
    re.compile(r"The client connection to node \d+ was lost|Connection to node \S+ .* could not be established"),
    re.compile(r"Unable to send a heartbeat because|Unable to register"),
    re.compile(r"Broker \d+ sees an older epoch"),
    # After a kill -9 leadership changes twice while the coordinators load.
    re.compile(r"Failed to load metadata from \S+ with epoch \d+ due to Stopped loading records"),
    re.compile(r"This is not the correct coordinator|this error indicates that the broker is not the current leader"),
    re.compile(r"late-\d+ .*with error NOT_COORDINATOR|late-\d+ failed due to error NOT_COORDINATOR"),
    # Partitions that lie in no directory yet are told where to go before the broker is registered anew; it asks again.
    re.compile(r"apiKey=ASSIGN_REPLICAS_TO_DIRS|global error: Response-level error: STALE_BROKER_EPOCH. Retrying"),
    re.compile(r"Exception while getting share coordinator"),
    # A machine that is busy with other things.
    re.compile(r"Exceptionally slow controller event|controller event queue overloaded"),
    re.compile(r"Auto topic creation failed for __\w+ with error 'TOPIC_ALREADY_EXISTS'"),
    # A topic that is deleted as soon as it is made.
    re.compile(r"AssignReplicasToDirsRequest from broker 1 references unknown topic"),
    # The gap in the sequence that the tests produce on purpose.
    re.compile(r"Error processing append operation on partition \S+idempotent-0 "),
    # A group of the new protocols whose members did not come back.
    re.compile(r"Member \S+ .*(fenced|expired)"),
)


class NodeError(Exception):
    """A start or stop that went wrong: with the end of the log."""


@define
class Node:
    """``kind`` is what runs, None when nothing does. Ports, ids and directories stay."""

    base: Path
    quorum: Quorum = "static"
    directory_count: int = 1
    properties: dict[str, str] = field(factory=dict)
    kind: Kind | None = field(default=None, init=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _ports: list[int] = field(factory=lambda: free_ports(2), init=False)
    _starts: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self.base.mkdir(parents=True, exist_ok=True)
        (self.base / "log4j2.xml").write_text(_LOG4J)
        common = {
            **PROPERTIES,
            "node.id": "1",
            "log.dirs": ",".join(map(str, self.directories)),
            "min.insync.replicas": "1",
            "group.min.session.timeout.ms": "500",
            "broker.session.timeout.ms": "5000",
            "broker.heartbeat.interval.ms": "500",
            "log.cleaner.backoff.ms": "200",
            **self.properties,
        }
        controller = f"127.0.0.1:{self._ports[1]}"
        kafka = {
            "process.roles": "broker,controller",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "listeners": f"PLAINTEXT://{self.address_text},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.address_text},CONTROLLER://{controller}",
        }
        if self.quorum == "static":
            kafka["controller.quorum.voters"] = f"1@{controller}"
        else:
            kafka["controller.quorum.bootstrap.servers"] = controller
        self._write("kafka", common | kafka)
        self._write("kwire", common | {"listeners": f"PLAINTEXT://{self.address_text}"})

    def _write(self, kind: Kind, properties: dict[str, str]) -> None:
        text = "".join(f"{key}={value}\n" for key, value in properties.items())
        (self.base / f"{kind}.properties").write_text(text)

    @property
    def directories(self) -> list[Path]:
        return [self.base / f"data{number}" for number in range(self.directory_count)]

    @property
    def metadata_directory(self) -> Path:
        return self.directories[0] / "__cluster_metadata-0"

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self._ports[0]

    @property
    def address_text(self) -> str:
        return f"127.0.0.1:{self._ports[0]}"

    @property
    def log_file(self) -> Path:
        """Of the latest start."""
        return self.base / f"{self._starts}-{self.kind}.log"

    # Running

    def format(self, *more: str) -> None:
        """As a user formats directories for Kafka."""
        self._tool("kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", f"{self.base}/kafka.properties", *more)

    def _java(self) -> list[str]:
        kafka_jars()
        log4j = f"-Dlog4j2.configurationFile={self.base / 'log4j2.xml'}"
        return [find_java(), *KAFKA_JVM_FLAGS, log4j, "-cp", f"{KAFKA_JARS}/*"]

    def _tool(self, *arguments: str) -> str:
        done = subprocess.run([*self._java(), *arguments], capture_output=True, text=True, check=False, cwd=self.base)
        if done.returncode:
            raise NodeError(f"{arguments}: {done.stdout}{done.stderr}")
        return done.stdout

    def dumped(self, *files: Path) -> str:
        """What Kafka's dump tool prints of metadata logs and snapshots."""
        names = ",".join(map(str, files))
        return self._tool("org.apache.kafka.tools.DumpLogSegments", "--cluster-metadata-decoder", "--files", names)

    def start(self, kind: Kind) -> Wire:
        """Start one of the two; a connection once its group coordinator answers."""
        assert self.kind is None, f"{self.kind} is running"
        self.kind = kind
        self._starts += 1
        if kind == "kafka":
            command = [*self._java(), "kafka.Kafka", str(self.base / "kafka.properties")]
        else:
            command = [sys.executable, "-m", "kwire", "serve", "--config", str(self.base / "kwire.properties")]
        self._process = start_process(
            command, cwd=self.base, log=self.log_file, env={"PYTHONPATH": str(REPOSITORY), "KAFKA_OPTS": ""}
        )
        deadline = time.monotonic() + _START_S
        while not answers_requests(*self.address):
            if self._process.poll() is not None or time.monotonic() > deadline:
                text = self.log_file.read_text(errors="replace")
                self.kill()
                raise NodeError(f"{kind} did not start; the end of its log:\n{text[-4000:]}")
            time.sleep(0.02)
        wire = Wire(self.address)
        if self.has_topics:
            wait_for_coordinator(wire, "any")
            self._wait_until_led(wire)
        return wire

    @property
    def has_topics(self) -> bool:
        return any(any(directory.glob("__consumer_offsets-*")) for directory in self.directories)

    def cleaned_to(self, topic: str) -> dict[int, int]:
        """Partition and offset below which it is compacted, as both brokers note it."""
        found = {}
        for directory in self.directories:
            file = directory / "cleaner-offset-checkpoint"
            for line in file.read_text().splitlines()[2:] if file.exists() else ():
                name, partition, offset = line.split(" ")
                if name == topic:
                    found[int(partition)] = int(offset)
        return found

    @staticmethod
    def _wait_until_led(wire: Wire) -> None:
        """Kafka answers before its own partitions have their leader back."""
        eventually(
            lambda: [
                partition.leader_id
                for topic in wire.ask("Metadata", 12, topics=None, allow_auto_topic_creation=False).topics
                for partition in topic.partitions
            ],
            lambda leaders: set(leaders) == {1},
            "every partition has its leader",
        )

    def stop(self) -> None:
        """SIGTERM; the exit must be a clean one."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()
            raise NodeError(f"{self.kind} did not stop within 30 s") from None
        expected = (143, 0) if self.kind == "kafka" else (0,)
        assert code in expected, f"{self.kind} ended with {code}"
        for directory in self.directories:
            assert (directory / ".kafka_cleanshutdown").exists(), f"{directory} was not closed cleanly"
        self._ended()

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._ended()

    def _ended(self) -> None:
        self._process = None
        self.kind = None

    def complaints(self) -> list[str]:
        """WARN and ERROR lines of the latest start's log, but for what Kafka says on directories of its own.

        To be asked while it runs.
        """
        found = []
        for line in self.log_file.read_text(errors="replace").splitlines():
            match = _LINE.match(line)
            if match is None or (self.kind == "kafka" and any(each.search(line) for each in _KAFKA_ALSO_SAYS)):
                continue
            found.append(line)
        return found
