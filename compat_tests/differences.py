"""Where kwire answers otherwise than Apache Kafka 4.3.1, on purpose: read from docs/DIFFERENCES.md.

A test that expects another answer on kwire names a row of that document by its first cell:
``expected("Produce with null records", broker.kind)``. A target that was started elsewhere is taken for a Kafka.
"""

from functools import cache
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "DIFFERENCES.md"

# APIs that Kafka 4.3.1 advertises and kwire does not have yet (rows of the document name them).
NOT_YET_ADVERTISED = frozenset(
    {
        "AddRaftVoter",
        "AlterClientQuotas",
        "AlterShareGroupOffsets",
        "AlterUserScramCredentials",
        "ConsumerGroupDescribe",
        "DeleteShareGroupOffsets",
        "DeleteShareGroupState",
        "DescribeShareGroupOffsets",
        "InitializeShareGroupState",
        "ReadShareGroupState",
        "ReadShareGroupStateSummary",
        "RemoveRaftVoter",
        "ShareAcknowledge",
        "ShareFetch",
        "ShareGroupDescribe",
        "ShareGroupHeartbeat",
        "StreamsGroupDescribe",
        "StreamsGroupHeartbeat",
        "WriteShareGroupState",
    }
)

# Features whose level is 0 on kwire: clients believe features, and these are not built yet.
FEATURES_NOT_YET = frozenset({"group.version", "share.version", "streams.version"})


@cache
def _tables() -> dict[str, dict[str, tuple[str, str]]]:
    """{heading: {first cell: (Kafka's cell, kwire's cell)}} of the tables with four columns."""
    tables: dict[str, dict[str, tuple[str, str]]] = {}
    rows: dict[str, tuple[str, str]] = {}
    for line in DOCUMENT.read_text().splitlines():
        if line.startswith("## "):
            rows = tables.setdefault(line[3:].strip(), {})
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("|") and len(cells) == 4 and not set(cells[0]) <= {"-"}:
            rows[cells[0]] = (cells[1], cells[2])
    return tables


def expected(what: str, kind: str, table: str = "Answers") -> str:
    """The cell of the row ``what`` of a table for a broker of ``kind`` ("kwire", "kafka", "remote")."""
    kafka, kwire = _tables()[table][what]
    return kwire if kind == "kwire" else kafka


def different_defaults() -> dict[str, str]:
    """Broker settings whose default differs from Kafka's: name -> kwire's default."""
    rows = _tables()["Defaults of broker settings"]
    return {name.strip("`"): kwire for name, (_, kwire) in rows.items() if name.startswith("`")}
