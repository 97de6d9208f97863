"""Runs `java/Exchange.java` on the jars of a Kafka release."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

from kwire.schema import Struct, info_of

JARS = Path(os.environ.get("KAFKA_JARS", Path(__file__).parents[2] / ".cache/kafka-4.3.1"))
PAST_JAR = Path(
    os.environ.get("KAFKA_PAST_JAR", Path(__file__).parents[2] / ".cache/kafka-3.9.1/kafka-clients-3.9.1.jar")
)

_PACKAGES = {
    "share_group_state": "org.apache.kafka.coordinator.share.generated",
    "transaction_state": "org.apache.kafka.coordinator.transaction.generated",
    "remote_log": "org.apache.kafka.server.log.remote.metadata.storage.generated",
    "producer_snapshot": "org.apache.kafka.server.log.remote.metadata.storage.generated",
    "metadata_records": "org.apache.kafka.common.metadata",
    "group_offsets": "org.apache.kafka.coordinator.group.generated",
    "consumer_groups": "org.apache.kafka.coordinator.group.generated",
    "share_groups": "org.apache.kafka.coordinator.group.generated",
    "streams_groups": "org.apache.kafka.coordinator.group.generated",
}


class Item(NamedTuple):
    cls: type[Struct]
    version: int
    json: dict[str, Any]
    data: bytes | None


class Answer(NamedTuple):
    """What Kafka wrote: filled from the JSON, and read from our bytes and written again."""

    filled: bytes
    rewritten: bytes | None


def java_class(cls: type[Struct]) -> str:
    name = cls.__name__ + ("Data" if info_of(cls).kind in ("request", "response") else "")
    return f"{_PACKAGES.get(cls.__module__.rpartition('.')[2], 'org.apache.kafka.common.message')}.{name}"


def why_not(jar: Path) -> str | None:
    """The reason why the exchange cannot run, if there is one."""
    if shutil.which("java") is None:
        return "no java in PATH"
    return None if jar.exists() else f"Kafka's jars are not there: {jar}"


def current_jars() -> list[Path]:
    return sorted(JARS.glob("*.jar"))


def past_jars() -> list[Path]:
    return [PAST_JAR, *(jar for jar in current_jars() if not jar.name.startswith("kafka"))]


def exchange(items: list[Item], jars: list[Path]) -> list[Answer]:
    """Kafka's answer to each item. Raises AssertionError with Kafka's own error."""
    lines = []
    for item in items:
        line = {"class": java_class(item.cls), "version": item.version, "json": item.json}
        if item.data is not None:
            line["bytes"] = base64.b64encode(item.data).decode()
        lines.append(json.dumps(line))
    source = Path(__file__).parent / "java/Exchange.java"
    command = ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", ":".join(map(str, jars)), str(source)]
    done = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    answers = []
    for item, line in zip(items, done.stdout.splitlines(), strict=True):
        assert not line.startswith("error"), f"{item.cls.__name__} v{item.version}: {line}\n{item.json}"
        filled, rewritten = line.split(" ")
        answers.append(Answer(base64.b64decode(filled), None if rewritten == "-" else base64.b64decode(rewritten)))
    return answers
