"""A compiled pattern: all its states are followed at once, and the sets of states seen are remembered."""

from __future__ import annotations

from typing import Final

from broker.re2.characters import END
from broker.re2.parser import Parser

_MAX_REMEMBERED: Final = 10_000


class Pattern:
    """A compiled pattern. Raises PatternError."""

    __slots__ = ("_asserts", "_first", "_last", "_remembered", "_states")

    def __init__(self, text: str) -> None:
        parser = Parser(text)
        whole = parser.parse()
        self._states = parser.states
        self._first, self._last = whole.first, whole.last
        self._asserts = any(state.assertion is not None for state in self._states)
        self._remembered: dict[tuple[frozenset[int], str, str], frozenset[int]] = {}

    def matches(self, text: str) -> bool:
        """Whether the whole text matches."""
        now = frozenset((self._first,))
        before = END
        remembered = self._remembered
        for char in text:
            key = (now, before if self._asserts else "", char)
            after = remembered.get(key)
            if after is None:
                after = self._step(now, before, char)
                if len(remembered) >= _MAX_REMEMBERED:
                    remembered.clear()
                remembered[key] = after
            if not after:
                return False
            now, before = after, char
        return self._last in self._reached(now, before, END)

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
        return seen
