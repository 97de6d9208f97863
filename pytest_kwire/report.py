"""What a failing test's report tells of its clusters: their last requests and their groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from kwire.testing import Cluster, ControlClient, KwireError

_TIMEOUT_S: Final = 3.0
_GROUPS: Final = 20
_LINE_CHARACTERS: Final = 200


def add_sections(report: pytest.TestReport, clusters: Sequence[Cluster], most_requests: int) -> None:
    """Add a section for each cluster. Nothing that goes wrong here hides the test's own failure."""
    for each in clusters:
        # A broker that answers no more shall not hold up the run.
        http = ControlClient(each.http.url, each.http.token, timeout_s=_TIMEOUT_S)
        cluster = Cluster(http, each.name, each.description)
        lines = [
            line if len(line) <= _LINE_CHARACTERS else f"{line[:_LINE_CHARACTERS]}..."
            for line in _lines(cluster, most_requests)
        ]
        if lines:
            report.sections.append((f"kafka cluster {cluster.name}", "\n".join(lines) + "\n"))


def _lines(cluster: Cluster, most_requests: int) -> Iterator[str]:
    yield f"bootstrap_servers: {cluster.bootstrap_servers}"
    try:
        yield from group_lines(cluster)
        if most_requests > 0:
            yield from request_lines(cluster, most_requests)
    except KwireError as error:
        yield f"(the broker tells no more: {error})"


def group_lines(cluster: Cluster) -> Iterator[str]:
    """A line for each group: state, members, how far behind."""
    groups = list(cluster.groups)
    for group in groups[:_GROUPS]:
        state = group.show()
        members = ", ".join(member.instance_id or member.member_id for member in state.members) or "no members"
        behind = ", ".join(f"{each.topic}-{each.partition}: {each.lag}" for each in state.offsets if each.lag)
        yield (
            f"group {state.group}: {state.state}, generation {state.generation}, {members}; "
            f"lag {state.lag}{f' ({behind})' if behind else ''}"
        )
    if len(groups) > _GROUPS:
        yield f"... and {len(groups) - _GROUPS} more groups"


def request_lines(cluster: Cluster, most: int) -> Iterator[str]:
    """A line for each of the last requests, and for those that have no answer yet."""
    query = {"limit": most, "bodies": False}
    transcript = cluster.http.request("GET", f"{cluster.path}/transcript", query=query)
    if not transcript["enabled"]:
        yield "(the transcript is off)"
        return
    exchanges, unanswered = transcript["exchanges"], transcript["open"]
    yield f"the last {len(exchanges)} of {transcript['next_sequence']} requests, by the cluster's clock:"
    for exchange in exchanges:
        yield f"  {_exchange(exchange)} -> {_answer(exchange)}"
    for exchange in unanswered:
        yield f"  {_exchange(exchange)} (no answer yet)"


def _exchange(exchange: dict[str, Any]) -> str:
    began = datetime.fromtimestamp(exchange["began_ms"] / 1000, UTC)
    about = " ".join([*exchange["topics"], *(f"group={group}" for group in exchange["groups"])])
    return (
        f"{began:%H:%M:%S}.{began.microsecond // 1000:03d} node {exchange['node']} {exchange['client_id'] or '-'} "
        f"{exchange['api']} v{exchange['version']}{f' {about}' if about else ''}"
    )


def _answer(exchange: dict[str, Any]) -> str:
    errors = ", ".join(
        name if count == 1 else f"{name} x {count}" for name, count in exchange["errors"].items() if name != "NONE"
    )
    outcome = "ok" if exchange["outcome"] == "answered" else exchange["outcome"]
    notes = "".join(f" [{note}]" for note in exchange["notes"])
    return f"{errors or outcome} in {exchange['latency_ms']:.1f} ms{notes}"
