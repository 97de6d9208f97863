"""The clock rule: time comes from broker/clock.py only, so that a test can hold or move the time of one cluster.

    python -m tools.check_clock

Forbidden in kwire, log and broker: the modules `time` and `sched`, `datetime`'s now, and trio's own time (`sleep*`,
`move_on_*`, `fail_*`, `current_time`). broker/clock.py is the exception; broker/reactor.py may wait with trio, which
it does for the clock. Exit code 1 with one line for each place.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
PACKAGES: Final = ("kwire", "log", "broker")
CLOCK: Final = "broker/clock.py"
REACTOR: Final = "broker/reactor.py"
# A client of the broker, in the user's process: it waits in real time.
CLIENT: Final = "kwire/testing/"

_MODULES: Final = frozenset({"time", "sched"})
_TRIO_PREFIXES: Final = ("sleep", "move_on_", "fail_", "current_time")
_DATETIME: Final = frozenset({"now", "utcnow", "today"})


def problems(path: str, source: str) -> Iterator[tuple[int, str]]:
    """Line and name of each use of a clock in the file `path` (from the root, with slashes)."""
    if path == CLOCK or path.startswith(CLIENT):
        return
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name in _MODULES:
                    yield node.lineno, f"import {alias.name}"
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            if node.module in _MODULES:
                yield node.lineno, f"from {node.module} import ..."
            elif node.module == "trio" and path != REACTOR:
                for alias in node.names:
                    if alias.name.startswith(_TRIO_PREFIXES):
                        yield node.lineno, f"trio.{alias.name}"
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id == "trio" and node.attr.startswith(_TRIO_PREFIXES) and path != REACTOR:
                yield node.lineno, f"trio.{node.attr}"
            elif node.value.id in ("datetime", "date") and node.attr in _DATETIME:
                yield node.lineno, f"{node.value.id}.{node.attr}"


def main() -> int:
    """Print what breaks the rule; the exit code."""
    found = 0
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            for line, what in problems(name, path.read_text(encoding="utf-8")):
                print(f"{name}:{line}: {what}: time comes from broker/clock.py only")
                found += 1
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
