"""Walking plain objects and noting every mistake with its place, up to a bound."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator
from typing import Any, Final

from attrs import define, field

from broker.contents.model import ContentsError, Path, Problem

MAX_PROBLEMS: Final = 20


@define
class Checker:
    """Collects problems. A value that is wrong is noted and read as None, so that the others are looked at too."""

    problems: list[Problem] = field(factory=list)

    def note(self, path: Path, message: str) -> None:
        """One mistake more. Raises ContentsError when there are enough of them."""
        self.problems.append(Problem(path, message))
        if len(self.problems) >= MAX_PROBLEMS:
            raise ContentsError(self.problems)

    def finish(self) -> None:
        """Raises ContentsError when anything was noted."""
        if self.problems:
            raise ContentsError(self.problems)

    def mapping(self, value: Any, path: Path, known: Collection[str]) -> dict[str, Any]:
        """A mapping with keys among `known`; others are noted with the nearest one."""
        if not isinstance(value, dict):
            self.note(path, f"must be a mapping with {_listed(known)}, not {described(value)}")
            return {}
        found = {}
        for key, each in value.items():
            if key in known:
                found[key] = each
                continue
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {_listed(known)}"
            self.note((*path, str(key)), f"is not known here; {hint}")
        return found

    def names(self, value: dict[Any, Any], path: Path) -> Iterator[tuple[str, Any]]:
        """The items whose key is text; numbers count as text."""
        for key, each in value.items():
            if isinstance(key, str):
                yield key, each
            elif isinstance(key, int) and not isinstance(key, bool):
                yield str(key), each
            else:
                self.note((*path, str(key)), f"the name must be text, not {described(key)}; put it into quotes")

    def integer(self, value: Any, path: Path, low: int, high: int, what: str) -> int | None:
        """A number from low to high."""
        if isinstance(value, bool) or not isinstance(value, int):
            self.note(path, f"{what} must be a whole number from {low} to {high}, not {described(value)}")
            return None
        if not low <= value <= high:
            self.note(path, f"{what} must be from {low} to {high}, not {value}")
            return None
        return value


def described(value: Any) -> str:
    """What a value is, for a message: short whatever it holds."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (bytes, bytearray)):
        return "bytes"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _listed(names: Collection[str]) -> str:
    return ", ".join(names)
