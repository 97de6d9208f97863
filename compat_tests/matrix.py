"""The client x capability matrix: results of runs, kept as data, shown in docs/COMPATIBILITY.md.

Each run with ``--matrix`` replaces the results of its own target in ``compat_tests/data/matrix.json`` (only for
the clients it ran) and writes the document anew from both targets' results.
"""

import json
from collections import defaultdict
from pathlib import Path

import pytest
from attrs import define, field

HERE = Path(__file__).resolve().parent
DATA = HERE / "data" / "matrix.json"
DOCUMENT = HERE.parent / "docs" / "COMPATIBILITY.md"

Table = dict[str, dict[str, dict[str, dict[str, int]]]]  # target -> client -> capability -> outcome -> count


def client_of(item: pytest.Item) -> str:
    """The client a test stands for: its ``client`` marker, else its module's name."""
    marker = item.get_closest_marker("client")
    if marker is not None:
        return str(marker.args[0])
    if item.path.parent.name == "raw":
        return "raw frames"
    return item.path.stem.removeprefix("test_").replace("_", "-")


def capability_of(item: pytest.Item) -> str:
    marker = item.get_closest_marker("capability")
    if marker is not None:
        return str(marker.args[0])
    if item.path.parent.name == "raw":
        return "edges: " + item.path.stem.removeprefix("test_").replace("_", " ")
    return "other"


@define
class Results:
    """Outcomes of the running session."""

    _outcomes: dict[tuple[str, str], dict[str, str]] = field(factory=lambda: defaultdict(dict))

    def add(self, item: pytest.Item, report: pytest.TestReport) -> None:
        if HERE not in item.path.parents:
            return
        tests = self._outcomes[client_of(item), capability_of(item)]
        if report.failed:
            tests[item.nodeid] = "failed"
        elif report.skipped:
            tests.setdefault(item.nodeid, "skipped")
        elif report.when == "call":
            tests.setdefault(item.nodeid, "passed")

    def write(self, target: str) -> None:
        """Merge into the data file and write the document."""
        table: Table = json.loads(DATA.read_text()) if DATA.exists() else {}
        clients = table.setdefault(target, {})
        for client in {client for client, _ in self._outcomes}:
            clients[client] = {}
        for (client, capability), tests in self._outcomes.items():
            counts = clients[client].setdefault(capability, {})
            for outcome in tests.values():
                counts[outcome] = counts.get(outcome, 0) + 1
        DATA.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n")
        DOCUMENT.write_text(render(table))


def _cell(counts: dict[str, int] | None) -> str:
    if not counts:
        return ""
    failed, passed, skipped = (counts.get(k, 0) for k in ("failed", "passed", "skipped"))
    if failed:
        return f"**{failed} of {failed + passed} fail**"
    if passed:
        return f"yes ({passed})"
    return f"skipped ({skipped})" if skipped else ""


def render(table: Table) -> str:
    """The document's text: per target one table, capabilities down, clients across."""
    parts = [
        "# Which clients do what",
        "",
        "Written by `pytest compat_tests --matrix`. A cell counts the tests of `compat_tests/` that pass; empty: the"
        " suite has no such test for that client. The same tests ran on each target.",
        "",
    ]
    for target, title in (("kwire", "kwire"), ("kafka", "Apache Kafka 4.3.1")):
        clients = table.get(target)
        if not clients:
            continue
        names = sorted(clients, key=lambda name: (name == "raw frames", name))
        parts.append(f"## {title}\n")
        # The raw-frames tests have rows of their own, so a table of their own.
        for shown in ([n for n in names if n != "raw frames"], [n for n in names if n == "raw frames"]):
            if not shown:
                continue
            capabilities = sorted({c for name in shown for c in clients[name]})
            parts.append("| capability | " + " | ".join(shown) + " |")
            parts.append("|---" * (len(shown) + 1) + "|")
            for capability in capabilities:
                cells = " | ".join(_cell(clients[name].get(capability)) for name in shown)
                parts.append(f"| {capability} | {cells} |")
            parts.append("")
    return "\n".join(parts).rstrip() + "\n"
