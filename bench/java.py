"""Where Java and Kafka's jars are."""

from __future__ import annotations

import os
import shutil
import subprocess
from glob import glob
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KAFKA_VERSION = "4.3.1"
JARS = ROOT / ".cache" / f"kafka-{KAFKA_VERSION}"
POM = ROOT / "compat_tests" / "kafka" / "pom.xml"

HEAP_FLAGS = ["-Xms1G", "-Xmx1G"]
# Besides the heap, the flags that Kafka's own start script gives.
JVM_FLAGS = [
    "-server",
    *HEAP_FLAGS,
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-Djava.awt.headless=true",
]


class JavaMissingError(RuntimeError):
    """Java or Kafka's jars are not there; the message says which."""


def find_java() -> str:
    """The java to run Kafka with: KWIRE_BENCH_JAVA, Temurin 25 where installed, JAVA_HOME, the PATH."""
    given = os.environ.get("KWIRE_BENCH_JAVA")
    if given:
        return given
    for home in sorted(glob("/usr/lib/jvm/temurin-25*")):
        if os.access(f"{home}/bin/java", os.X_OK):
            return f"{home}/bin/java"
    home = os.environ.get("JAVA_HOME", "")
    if home and os.access(f"{home}/bin/java", os.X_OK):
        return f"{home}/bin/java"
    found = shutil.which("java")
    if not found:
        raise JavaMissingError("no java on this machine")
    return found


def java_version(java: str) -> str:
    """The first line of `java -version`."""
    done = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    return (done.stderr or done.stdout).splitlines()[0]


def class_path() -> str:
    """Kafka's jars as a class path; fetched through Maven into .cache when missing."""
    if not glob(str(JARS / "kafka_2.13-*.jar")):
        maven = shutil.which("mvn")
        if not maven:
            raise JavaMissingError(f"no Kafka jars in {JARS} and no mvn to fetch them")
        subprocess.run(
            [maven, "-q", "-f", str(POM), "dependency:copy-dependencies", f"-DoutputDirectory={JARS}"],
            check=True,
        )
    return f"{JARS}/*"
