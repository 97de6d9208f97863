"""What a check finds wrong, with the operations that show it."""

from __future__ import annotations

from attrs import define, field

from tests.history.model import Operation, Place


@define(eq=False)
class Anomaly:
    """check: the name of the check. subject: what it is about, in a word. related: the offending operations."""

    check: str
    subject: str
    expected: str
    seen: str
    related: list[Operation] = field(factory=list)
    place: Place | None = None
    offsets: tuple[int, int] | None = None
    """Where in `place` to look, first and last."""
