"""Warnings and errors that clients log: no test may cause one that it does not cause on Kafka.

``compat_tests/data/client_warnings.json`` holds, for each test, the lines seen in runs on Kafka (``--target kafka
--record`` adds to them), with all that changes from run to run replaced.
"""

import json
import logging
import re
from pathlib import Path

DATA = Path(__file__).resolve().parent.parent / "data" / "client_warnings.json"

_CHANGING = (
    (re.compile(r"\x1b\[[0-9;]*m"), ""),
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "<uuid>"),
    (re.compile(r"0x[0-9a-f]+"), "<address>"),
    (re.compile(r"[a-z][\w.-]*?-\d+-\d+\b"), "<name>"),
    (re.compile(r"\b\d+(\.\d+)*(us|ms|s)?\b"), "<n>"),
    (re.compile(r"\(after <n> in state \w+\)"), "(after <n> in some state)"),
    (re.compile(r", <n> identical error\(s\) suppressed"), ""),
)

# What a client says of a busy machine, or when it is closed while it refreshes its metadata, on any broker.
_OF_THE_MACHINE = re.compile(
    r"ran for [\d.]+s \(>[\d.]+s threshold\)|Executing .* took [\d.]+ seconds|Metadata refresh: failed Cancelled$"
)


def normalised(line: str) -> str:
    """The line without what differs between two runs: numbers, ids, names made for the test."""
    for pattern, replacement in _CHANGING:
        line = pattern.sub(replacement, line)
    return line


class WarningsLog(logging.Handler):
    """Collects what the clients' loggers say at WARNING and above, and lines given to ``add``."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.add(f"{record.name} {record.levelname}: {record.getMessage()}")

    def add(self, line: str) -> None:
        if not _OF_THE_MACHINE.search(line):
            self.lines.append(line)

    def expect(self, text: str) -> None:
        """Lines with ``text`` are what the test is about."""
        self.lines = [line for line in self.lines if text not in line]

    def seen(self) -> dict[str, str]:
        """{normalised line: the line}"""
        return {normalised(line): line for line in self.lines}


def allowed(test: str) -> set[str]:
    stored = json.loads(DATA.read_text()) if DATA.exists() else {}
    return set(stored.get(test, ()))


def record(test: str, lines: set[str]) -> None:
    stored = json.loads(DATA.read_text()) if DATA.exists() else {}
    merged = sorted(lines | set(stored.get(test, ())))
    if merged:
        stored[test] = merged
        DATA.write_text(json.dumps(stored, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
