"""Writes docs/PROTOCOL_COVERAGE.md from the broker's route table and the list of Kafka 4.3.1's APIs.

python -m tools.coverage            write it
python -m tools.coverage --check    exit code 1 when it is not up to date
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from broker.routes import Route, routes, table

ROOT: Final = Path(__file__).resolve().parents[1]
DOCUMENT: Final = ROOT / "docs" / "PROTOCOL_COVERAGE.md"
KAFKA_APIS: Final = Path(__file__).parent / "data" / "kafka_apis.csv"

# Answered in Kafka's versions, but not all that Kafka's answer: what a version range does not say.
_NOTES: Final = {
    "FindCoordinator": "of classic groups and transactions",
    "ConsumerGroupHeartbeat": "only UNSUPPORTED_VERSION: not there yet",
    "UpdateFeatures": "features of what is not there yet stay 0",
} | dict.fromkeys(
    (
        *("SaslHandshake", "SaslAuthenticate", "DescribeAcls", "CreateAcls", "DeleteAcls"),
        *("CreateDelegationToken", "RenewDelegationToken", "ExpireDelegationToken", "DescribeDelegationToken"),
    ),
    "the refusal of a broker that has it off",
)

_HEAD: Final = """\
# Protocol coverage

Made by `python -m tools.coverage` from `broker/routes.py`; do not edit. Versions of the APIs that a broker of Apache
Kafka 4.3.1 answers on a listener for clients, and those that kwire answers. What is missing is neither advertised nor
answered: a client is told at once that the broker does not support it.

"""


@frozen
class KafkaApi:
    """One API of Kafka's; the versions as `3-13`, "" where it is not advertised."""

    key: int
    name: str
    advertised: str
    schema: str


class _Anything:
    """Stands for the services of a broker: the table names them, and here none is called."""

    def __getattr__(self, name: str) -> None:
        return None


def kafka_apis() -> list[KafkaApi]:
    """Kafka 4.3.1's, by key."""
    with open(KAFKA_APIS, encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        next(rows)
        return [KafkaApi(int(key), name, advertised, schema) for key, name, advertised, schema in rows]


def kwire_routes() -> dict[int, Route]:
    """The route table, by key."""
    services: Any = _Anything()
    return table(routes(services))


def render(apis: Iterable[KafkaApi], served: dict[int, Route]) -> str:
    """The document."""
    rows = ["| key | API | Kafka 4.3.1 | kwire | |", "|---|---|---|---|---|"]
    counts = {"same": 0, "part": 0, "missing": 0}
    for api in apis:
        route = served.get(api.key)
        theirs = api.advertised or f"({api.schema})"
        if route is None:
            ours, note, kind = "", "not there yet", "missing"
        else:
            ours = str(route.advertised) if route.advertised is not None else f"({route.served})"
            kind = "same" if ours == theirs else "part"
            note = _NOTES.get(api.name, "") if kind == "same" else "differs"
        counts[kind] += 1
        rows.append(f"| {api.key} | {api.name} | {theirs} | {ours} | {note} |")
    total = sum(counts.values())
    summary = (
        f"{counts['same']} of {total} APIs in the same versions, {counts['part']} in others, "
        f"{counts['missing']} not there yet. In parentheses: answered but not advertised, as in Kafka.\n\n"
    )
    return _HEAD + summary + "\n".join(rows) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """See the module; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.coverage", description="Write docs/PROTOCOL_COVERAGE.md.")
    parser.add_argument("--check", action="store_true", help="only say whether it is up to date")
    options = parser.parse_args(arguments)
    text = render(kafka_apis(), kwire_routes())
    current = DOCUMENT.read_text(encoding="utf-8") if DOCUMENT.exists() else ""
    if options.check:
        if text != current:
            print("docs/PROTOCOL_COVERAGE.md is not up to date: python -m tools.coverage", file=sys.stderr)
            return 1
        return 0
    DOCUMENT.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
