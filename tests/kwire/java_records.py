"""Asks Kafka's own record classes and partition log: `java/Records.java`, which says what may be asked."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

JARS = Path(os.environ.get("KAFKA_JARS", Path(__file__).parents[2] / ".cache/kafka-4.3.1"))
_LOGGING_OFF = '<Configuration status="OFF"><Loggers><Root level="OFF"/></Loggers></Configuration>'


def skip_without_java() -> None:
    if shutil.which("java") is None:
        pytest.skip("no java in PATH")
    if not JARS.exists():
        pytest.skip(f"Kafka's jars are not there: {JARS}")


def ask(questions: list[dict[str, Any]], tmp_path: Path) -> list[dict[str, Any]]:
    """Kafka's answers, in one process."""
    logging = tmp_path / "log4j2.xml"
    logging.write_text(_LOGGING_OFF)
    command = [
        "java",
        "-Xmx512m",
        "-XX:TieredStopAtLevel=1",
        f"-Dlog4j2.configurationFile={logging}",
        f"-Djava.io.tmpdir={tmp_path}",
        "-cp",
        ":".join(str(jar) for jar in sorted(JARS.glob("*.jar"))),
        str(Path(__file__).parent / "java/Records.java"),
    ]
    lines = "\n".join(json.dumps(question) for question in questions)
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(questions)
    return answers


def b64(data: bytes | bytearray | memoryview | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()


def unb64(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)
