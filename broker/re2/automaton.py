"""The states a pattern becomes, and how parts of it are put together."""

from __future__ import annotations

from attrs import define

from broker.re2.characters import Assertion, Test

MAX_STATES = 20_000


@define(slots=True)
class State:
    """One state: passes a character (`test`), or nothing under a condition (`assertion`), or nothing at all.

    next: where to; other: a second way.
    """

    test: Test | None = None
    assertion: Assertion | None = None
    next: int = -1
    other: int = -1


@define(slots=True)
class Fragment:
    """A part of the automaton: from `first`, through, to `last`, whose `next` is still open."""

    first: int
    last: int
