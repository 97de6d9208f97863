"""The client x capability matrix: results of runs, kept as data, shown in docs/COMPATIBILITY.md.

Each run with ``--matrix`` replaces what it ran (client and capability of its own target) in
``compat_tests/data/matrix.json`` and writes the document anew from both targets' results.
"""

import json
from collections import defaultdict
from pathlib import Path

import pytest
from attrs import define, field

HERE = Path(__file__).resolve().parent
RAW = "raw frames"
DATA = HERE / "data" / "matrix.json"
DOCUMENT = HERE.parent / "docs" / "COMPATIBILITY.md"

Table = dict[str, dict[str, dict[str, dict[str, int]]]]  # target -> client -> capability -> outcome -> count
OVER_TLS = "over TLS"


def client_of(item: pytest.Item) -> str:
    """The client a test stands for: its ``client`` marker, else its module's name."""
    marker = item.get_closest_marker("client")
    if marker is not None:
        return str(marker.args[0])
    if item.path.parent.name == "raw":
        return RAW
    return item.path.stem.removeprefix("test_").replace("_", "-")


def capabilities_of(item: pytest.Item) -> list[str]:
    """The rows a test counts in: its ``capability`` marker's, and what runs over TLS in one of its own too."""
    marker = item.get_closest_marker("capability")
    if marker is not None:
        rows = [str(marker.args[0])]
    elif item.path.parent.name == "raw":
        rows = [item.path.stem.removeprefix("test_").replace("_", " ")]
    else:
        rows = ["other"]
    callspec = getattr(item, "callspec", None)
    if callspec is not None and callspec.params.get("any_endpoint") == "tls":
        rows.append(OVER_TLS)
    return rows


@define
class Results:
    """Outcomes of the running session. A test may name its own (``record_property("matrix", "refused by name")``)."""

    _outcomes: dict[tuple[str, str], dict[str, str]] = field(factory=lambda: defaultdict(dict))

    def add(self, item: pytest.Item, report: pytest.TestReport) -> None:
        if HERE not in item.path.parents:
            return
        for capability in capabilities_of(item):
            tests = self._outcomes[client_of(item), capability]
            if report.failed:
                tests[item.nodeid] = "failed"
            elif report.skipped:
                tests.setdefault(item.nodeid, "skipped")
            elif report.when == "call":
                named = dict(report.user_properties).get("matrix", "passed")
                tests.setdefault(item.nodeid, str(named))

    def write(self, target: str) -> None:
        """Merge into the data file and write the document."""
        table: Table = json.loads(DATA.read_text()) if DATA.exists() else {}
        clients = table.setdefault(target, {})
        for (client, capability), tests in self._outcomes.items():
            counts = clients.setdefault(client, {})[capability] = {}
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
    named = [outcome for outcome in counts if outcome not in ("failed", "passed", "skipped")]
    if named:
        return ", ".join(named)
    if passed:
        return str(passed)
    return f"skipped: {skipped}" if skipped else ""


def _lines(clients: dict[str, dict[str, dict[str, int]]], names: list[str]) -> list[str]:
    """One table: capabilities down, the clients of ``names`` across."""
    if not names:
        return []
    lines = ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for capability in sorted({c for name in names for c in clients[name]}):
        cells = " | ".join(_cell(clients[name].get(capability)) for name in names)
        lines.append(f"| {capability} | {cells} |")
    return [*lines, ""]


def render(table: Table) -> str:
    """The document's text. Clients that produce and consume share a table; tools and frameworks have their own."""
    parts = [
        "# Which clients do what",
        "",
        "Written by `pytest compat_tests --matrix`. A cell is the number of tests of `compat_tests/` that pass; empty:"
        " there is no such test for that client. The same tests ran on each target.",
        "",
    ]
    for target, title in (("kwire", "kwire"), ("kafka", "Apache Kafka 4.3.1")):
        clients = table.get(target)
        if not clients:
            continue
        names = sorted(name for name in clients if name != RAW)
        general = [name for name in names if any(c.startswith(("produce:", "consume:")) for c in clients[name])]
        parts += [f"## {title}", "", *_lines(clients, general)]
        for name in [name for name in names if name not in general] + ([RAW] if RAW in clients else []):
            parts += _lines(clients, [name])
    return "\n".join(parts).rstrip() + "\n"
