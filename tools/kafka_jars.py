"""Fetches the jars of Apache Kafka that the tests compare with, through Maven, into .cache: python -m tools.kafka_jars

Kafka 4.3.1 with its tools, and the clients of 3.9.1 for the versions that 4.0 removed. Where Java or Maven is missing,
or Maven gets nothing, it says so and the tests that need them are skipped.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
CURRENT: Final = "4.3.1"
PAST: Final = "3.9.1"


def missing(cache: Path) -> list[list[str]]:
    """The arguments of Maven for each folder of jars that is not there."""
    wanted = []
    if not list((cache / f"kafka-{CURRENT}").glob("kafka_2.13-*.jar")):
        wanted.append(["dependency:copy-dependencies", f"-DoutputDirectory={cache / f'kafka-{CURRENT}'}"])
    if not (cache / f"kafka-{PAST}" / f"kafka-clients-{PAST}.jar").exists():
        wanted.append(
            [
                "dependency:copy",
                f"-Dartifact=org.apache.kafka:kafka-clients:{PAST}",
                f"-DoutputDirectory={cache / f'kafka-{PAST}'}",
            ]
        )
    return wanted


def fetch(
    cache: Path,
    find: Callable[[str], str | None] = shutil.which,
    run: Callable[[Sequence[str]], int] = lambda command: (
        subprocess.run(command, cwd=ROOT / "compat_tests" / "kafka", check=False).returncode
    ),
) -> str | None:
    """Fetch what is missing. A line for a person when something stays missing, else None."""
    wanted = missing(cache)
    if not wanted:
        return None
    for program in ("java", "mvn"):
        if find(program) is None:
            return f"no {program} in PATH: the tests that compare with Apache Kafka's own classes will be skipped"
    if any(run([find("mvn") or "mvn", "-q", "-B", *arguments]) for arguments in wanted):
        return "Maven could not fetch Kafka's jars: the tests that compare with its classes will be skipped"
    return None


if __name__ == "__main__":
    reason = fetch(ROOT / ".cache")
    if reason is not None:
        print(reason, file=sys.stderr)
