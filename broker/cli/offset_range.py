"""Where `kwire consume` begins and ends: -o as kcat and rpk have it. Pure."""

from __future__ import annotations

import re
from typing import Final

from attrs import frozen

from broker.cli.when import duration_ms, moment_ms

_WORDS: Final = {
    "beginning": "start",
    "earliest": "start",
    "start": "start",
    "smallest": "start",
    "end": "end",
    "latest": "end",
    "largest": "end",
    "stored": "stored",
}
_OFFSET: Final = re.compile(r"[+-]?\d{1,18}")


class OffsetError(ValueError):
    """No such place; says what there is."""


@frozen
class Position:
    """One of them. word: start, end or stored (the group's, else the start); offset: this one; back: so many before the
    end; forward: so many after the start; timestamp_ms: the first record at or after it."""

    word: str | None = None
    offset: int | None = None
    back: int | None = None
    forward: int | None = None
    timestamp_ms: int | None = None


@frozen
class OffsetRange:
    """From `begin`, up to but without `end` (None: it goes on for ever)."""

    begin: Position
    end: Position | None = None


def offset_range(texts: tuple[str, ...]) -> OffsetRange:
    """Of every -o that was given; none: from the start. Raises OffsetError.

    beginning, end, stored, N, -N (before the end), +N (after the start), s@TIME and e@TIME (from and to), @TIME,
    @TIME:TIME, A:B (from A to before B, or what is the end now), :end. TIME: ms, a date, or -1h (before now).
    """
    begin: Position | None = None
    end: Position | None = None
    for text in texts:
        first, last = _range(text.strip())
        for given, known in ((first, begin), (last, end)):
            if given is not None and known is not None:
                raise OffsetError(f"{text!r} says again where to begin or end")
        begin, end = first or begin, last or end
    return OffsetRange(begin or Position("start"), end)


def _range(text: str) -> tuple[Position | None, Position | None]:
    if text[:2] in ("s@", "e@"):
        position = Position(timestamp_ms=_time(text[2:]))
        return (position, None) if text[0] == "s" else (None, position)
    if text.startswith("@"):
        low, high = _times(text[1:])
        return Position(timestamp_ms=_time(low)), None if high is None else _end_time(high)
    low, colon, high = text.partition(":")
    if not colon:
        return _position(low), None
    return _position(low) if low else Position("start"), _position(high) if high else None


def _times(text: str) -> tuple[str, str | None]:
    """Two times with a colon between; a date may hold colons too, so the whole and then each colon is tried."""
    if _is_time(text):
        return text, None
    for match in re.finditer(":", text):
        low, high = text[: match.start()], text[match.end() :]
        if _is_time(low) and (high == "end" or _is_time(high)):
            return low, high
    return text, None


def _end_time(text: str) -> Position:
    return Position("end") if text == "end" else Position(timestamp_ms=_time(text))


def _is_time(text: str) -> bool:
    try:
        _time(text)
    except OffsetError:
        return False
    return True


def _time(text: str) -> int:
    """Milliseconds, a date, or what `-1h` is before now, as a negative number of ms."""
    if re.fullmatch(r"\d{1,15}", text):
        return int(text)
    import click

    try:
        if text.startswith("-"):
            return -duration_ms(text[1:])
        return moment_ms(text)
    except click.UsageError as error:
        raise OffsetError(f"{error.message}; or -1h for an hour ago") from None


def _position(text: str) -> Position:
    word = _WORDS.get(text.lower())
    if word is not None:
        return Position(word)
    if _OFFSET.fullmatch(text) is None:
        raise OffsetError(
            f"{text!r} is no offset: beginning, end, stored, N, -N (before the end), +N, s@TIME, e@TIME, @TIME, A:B"
        )
    if text[0] == "-":
        return Position(back=int(text[1:]))
    if text[0] == "+":
        return Position(forward=int(text[1:]))
    return Position(offset=int(text))
