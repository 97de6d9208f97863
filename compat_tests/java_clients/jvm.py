"""One JVM for all Java tests: `compat_tests/java` compiled once, driven by lines of JSON over its standard streams."""

import hashlib
import json
import os
import shutil
import subprocess
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from compat_tests.processes import dies_with_parent
from compat_tests.targets import REPOSITORY, TargetUnavailableError, find_java, kafka_jars

SOURCES = REPOSITORY / "compat_tests" / "java"
PATIENCE_S = 60.0


class JavaError(Exception):
    """What an operation threw: `kind` is the simple name of the Java exception's class."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(f"{error['class']}: {error['message']}")
        self.kind: str = error["class"]
        self.message: str = error["message"]
        self.retriable: bool = error["retriable"]
        self.cause: dict[str, Any] | None = error.get("cause")


def compiled_driver() -> Path:
    """The folder with the driver's classes, compiled when the sources changed. Raises TargetUnavailableError."""
    jars = kafka_jars()
    sources = sorted(SOURCES.glob("*.java"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
    folder = REPOSITORY / ".cache" / f"compat-java-{digest}"
    if (folder / "compat" / "Driver.class").exists():
        return folder
    beside = Path(find_java()).with_name("javac")
    javac = str(beside) if beside.exists() else shutil.which("javac")
    if javac is None:
        raise TargetUnavailableError("the Java tests need a JDK: javac is not there")
    partial = folder.with_suffix(".new")
    shutil.rmtree(partial, ignore_errors=True)
    subprocess.run(
        [javac, "-nowarn", "--release", "17", "-d", str(partial), "-cp", f"{jars}/*", *map(str, sources)], check=True
    )
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    return folder


QUICK_START = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]


def java_command(main: str, *arguments: str, flags: tuple[str, ...] = ()) -> list[str]:
    """The command for a JVM of its own with Kafka's jars."""
    log4j = f"-Dlog4j2.configurationFile={SOURCES / 'log4j2.xml'}"
    return [find_java(), *QUICK_START, log4j, *flags, "-cp", f"{kafka_jars()}/*", main, *arguments]


class Jvm:
    """The running driver. `submit` returns at once, `call` waits; operations of one `lane` run in order."""

    def __init__(self, log: Path) -> None:
        java, classes = find_java(), compiled_driver()
        self.log = log
        flags = ["-Xmx768M", *QUICK_START]
        flags += [f"-Dlog4j2.configurationFile={SOURCES / 'log4j2.xml'}", "-Djava.awt.headless=true"]
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [java, *flags, "-cp", f"{classes}:{kafka_jars()}/*", "compat.Driver"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=REPOSITORY,
                env={**os.environ, "KAFKA_OPTS": ""},
                preexec_fn=dies_with_parent(),
            )
        self._waiting: dict[int, Future[Any]] = {}
        self._lock = threading.Lock()
        self._last_id = 0
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            answer = json.loads(line)
            with self._lock:
                future = self._waiting.pop(answer["id"])
            if "error" in answer:
                future.set_exception(JavaError(answer["error"]))
            else:
                future.set_result(answer["result"])
        with self._lock:
            left, self._waiting = self._waiting, {}
        for future in left.values():
            future.set_exception(RuntimeError(f"the JVM ended; its standard error is in {self.log}"))

    def submit(self, op: str, **arguments: Any) -> "Future[Any]":
        """Start an operation of the driver."""
        future: Future[Any] = Future()
        assert self._process.stdin is not None
        with self._lock:
            self._last_id += 1
            self._waiting[self._last_id] = future
            self._process.stdin.write(json.dumps({"id": self._last_id, "op": op, **arguments}) + "\n")
            self._process.stdin.flush()
        return future

    def call(self, op: str, **arguments: Any) -> Any:
        """The result of an operation. Raises JavaError with what it threw, TimeoutError after a minute."""
        return self.submit(op, **arguments).result(PATIENCE_S)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
