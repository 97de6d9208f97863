"""What a character of a pattern stands for: classes, and assertions between two characters."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Final, TypeAlias

Test: TypeAlias = Callable[[str], bool]
# What has to hold between two characters ("" before the first and after the last).
Assertion: TypeAlias = Callable[[str, str], bool]
END: Final = ""


class PatternError(ValueError):
    """Not a pattern in RE2's syntax, or one that is too large."""


CLASSES: Final[dict[str, Test]] = {
    "d": lambda c: "0" <= c <= "9",
    "w": lambda c: c.isascii() and (c.isalnum() or c == "_"),
    "s": lambda c: c in "\t\n\f\r ",
}
POSIX: Final[dict[str, Test]] = {
    "alnum": lambda c: c.isascii() and c.isalnum(),
    "alpha": lambda c: c.isascii() and c.isalpha(),
    "ascii": str.isascii,
    "blank": lambda c: c in "\t ",
    "cntrl": lambda c: c < " " or c == "\x7f",
    "digit": CLASSES["d"],
    "graph": lambda c: "!" <= c <= "~",
    "lower": lambda c: "a" <= c <= "z",
    "print": lambda c: " " <= c <= "~",
    "punct": lambda c: "!" <= c <= "~" and not c.isalnum(),
    "space": lambda c: c in "\t\n\v\f\r ",
    "upper": lambda c: "A" <= c <= "Z",
    "word": CLASSES["w"],
    "xdigit": lambda c: c in "0123456789abcdefABCDEF",
}


def is_word(char: str) -> bool:
    return char != END and CLASSES["w"](char)


ASSERTIONS: Final[dict[str, Assertion]] = {
    "begin": lambda before, _: before == END,
    "end": lambda _, after: after == END,
    "line begin": lambda before, _: before in ("", "\n"),
    "line end": lambda _, after: after in ("", "\n"),
    "word": lambda before, after: is_word(before) != is_word(after),
    "no word": lambda before, after: is_word(before) == is_word(after),
}


CATEGORIES: Final = frozenset(
    f"{major}{minor}"
    for major, minors in {
        "C": "cfos",
        "L": "lmotu",
        "M": "cen",
        "N": "dlo",
        "P": "cdefios",
        "S": "ckmo",
        "Z": "lps",
    }.items()
    for minor in ["", *minors]
)


def inverted(test: Test, negated: bool) -> Test:
    return (lambda c: not test(c)) if negated else test


def between(low: str, high: str) -> Test:
    return lambda c: low <= c <= high


def unicode_class(name: str) -> Test:
    """A general category: L, Lu, ...; Any. Scripts are not known here."""
    if name == "Any":
        return lambda _: True
    if name not in CATEGORIES:
        raise PatternError("invalid character class range")
    return lambda c: unicodedata.category(c).startswith(name)
