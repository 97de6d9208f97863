"""Events are the same however their bytes are portioned."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from kwire.testing.events import EventParser, ServerSentEvent

TEXT = (
    b'event: a\r\ndata: {"x": 1}\r\n\r\n: ping\n\ndata: one\ndata:  two\nid: 5\n\nevent: empty\n\ndata: "\xc3\xbc"\n\n'
)
EVENTS = [
    ServerSentEvent({"x": 1}, "a"),
    ServerSentEvent("one\n two", "message", "5"),
    ServerSentEvent("ü", "message", "5"),
]


@given(st.lists(st.integers(0, len(TEXT)), max_size=20))
def test_any_portions_give_the_same_events(cuts: list[int]) -> None:
    parser = EventParser()
    at = [0, *sorted(cuts), len(TEXT)]
    told = [event for a, b in pairwise(at) for event in parser.feed(TEXT[a:b])]
    assert told == EVENTS
