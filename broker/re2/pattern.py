"""A compiled pattern: all its states are followed at once, and the sets of states seen are remembered.

A character costs a look into a dict where the set of states it leads to is remembered, else a walk over up to
MAX_STATES states. Patterns come from clients, so the walks are counted, bounded, and done in portions.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Final

from broker.re2.characters import END, PatternError
from broker.re2.parser import Parser

MAX_VISITS: Final = 10_000_000
"""States that one pattern may walk over, all its texts together: some seconds."""
_PORTION: Final = 10_000
"""States and characters between two pauses."""
_MAX_REMEMBERED: Final = 500_000
"""States in all sets remembered: some ten megabytes."""


class Pattern:
    """A compiled pattern. Raises PatternError."""

    __slots__ = ("_asserts", "_first", "_last", "_remembered", "_sets", "_size", "_states", "_visits", "_work")

    def __init__(self, text: str) -> None:
        parser = Parser(text)
        whole = parser.parse()
        self._states = parser.states
        self._first, self._last = whole.first, whole.last
        self._asserts = any(state.assertion is not None for state in self._states)
        self._remembered: dict[tuple[frozenset[int], str, str], frozenset[int]] = {}
        # Each set once: equal ones are then compared by identity.
        self._sets: dict[frozenset[int], frozenset[int]] = {}
        self._size = 0
        self._visits = 0
        self._work = 0

    def matches(self, text: str) -> bool:
        """Whether the whole text matches. PatternError: see `matching`."""
        work = self.matching(text)
        while True:
            try:
                next(work)
            except StopIteration as done:
                return bool(done.value)

    def matching(self, text: str) -> Generator[None, None, bool]:
        """The same in portions of some milliseconds at most.

        PatternError: so much work was done for this pattern that it is not worth more.
        """
        now = self._one(frozenset((self._first,)))
        before = END
        self._work += len(text)
        for char in text:
            key = (now, before if self._asserts else "", char)
            after = self._remembered.get(key)
            if after is None:
                after = self._one(self._step(now, before, char))
                if self._size > _MAX_REMEMBERED:
                    self._remembered.clear()
                    self._sets.clear()
                    self._size = 0
                    now, after = self._one(now), self._one(after)
                self._remembered[key] = after
                self._size += 1
                if self._work > _PORTION:
                    if self._visits > MAX_VISITS:
                        raise PatternError("the expression takes too long")
                    self._work = 0
                    yield
            if not after:
                return False
            now, before = after, char
        if self._work > _PORTION:
            self._work = 0
            yield
        return self._last in self._reached(now, before, END)

    def _one(self, states: frozenset[int]) -> frozenset[int]:
        """The set that stands for all that are equal."""
        known = self._sets.get(states)
        if known is None:
            known = self._sets[states] = states
            self._size += len(states)
        return known

    def _step(self, now: frozenset[int], before: str, char: str) -> frozenset[int]:
        found = set()
        for index in self._reached(now, before, char):
            state = self._states[index]
            if state.test is not None and state.test(char):
                found.add(state.next)
        return frozenset(found)

    def _reached(self, now: frozenset[int], before: str, after: str) -> set[int]:
        """All states that need no character to be reached."""
        seen: set[int] = set()
        ways = list(now)
        while ways:
            index = ways.pop()
            if index in seen or index < 0:
                continue
            seen.add(index)
            state = self._states[index]
            if state.test is None and (state.assertion is None or state.assertion(before, after)):
                ways += (state.next, state.other)
        self._visits += 1 + len(seen)
        self._work += 1 + len(seen)
        return seen
