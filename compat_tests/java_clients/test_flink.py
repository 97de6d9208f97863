"""Flink's exactly-once sink: a job that fails after a checkpoint and goes on, with both ways of naming transactions."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from compat_tests.java_clients.clients import Java
from compat_tests.java_clients.jvm import QUICK_START
from compat_tests.targets import REPOSITORY, TargetUnavailableError, find_java, maven_jars

pytestmark = [pytest.mark.client("Flink"), pytest.mark.long]

PROJECT = REPOSITORY / "compat_tests" / "flink"
RECORDS = 600


@pytest.fixture(scope="session")
def class_path() -> str:
    """The job's classes, compiled when it changed, and Flink's jars."""
    source = PROJECT / "FlinkSink.java"
    digest = hashlib.sha256(source.read_bytes() + (PROJECT / "pom.xml").read_bytes()).hexdigest()[:12]
    classes = REPOSITORY / ".cache" / f"compat-flink-{digest}"
    try:
        jars = maven_jars(REPOSITORY / ".cache" / "flink-jars", PROJECT)
        java = Path(find_java())
    except TargetUnavailableError as error:
        pytest.skip(str(error))
    if not classes.exists():
        beside = java.with_name("javac")
        javac = str(beside) if beside.exists() else shutil.which("javac")
        if javac is None:
            pytest.skip("the Flink tests need a JDK: javac is not there")
        partial = classes.with_suffix(".new")
        subprocess.run(
            [javac, "-nowarn", "--release", "17", "-d", str(partial), "-cp", f"{jars}/*", str(source)], check=True
        )
        partial.rename(classes)
    return f"{classes}:{jars}/*"


@pytest.mark.capability("exactly-once sink")
@pytest.mark.parametrize("naming", ["INCREMENTING", "POOLING"])
def test_a_job_that_fails_writes_each_number_once(java: Java, class_path: str, naming: str, tmp_path: Path) -> None:
    topic = java.create_topic("flink", partitions=2)
    flags = ["-Xmx512m", *QUICK_START, f"-Djava.io.tmpdir={tmp_path}"]
    command = [find_java(), *flags, "-cp", class_path, "FlinkSink", java.bootstrap, topic, str(RECORDS), naming]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "done, failed once: true" in done.stdout
    reader = java.consumer(isolation_level="read_committed")
    reader.assign((topic, 0), (topic, 1))
    values = reader.values(RECORDS)
    assert sorted(int(value or "") for value in values) == list(range(RECORDS))
    assert reader.values(1, timeout_ms=500) == []
