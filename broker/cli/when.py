"""Times as people write them on a command line."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

import click

WORDS: Final = {"earliest": -2, "latest": -1, "max-timestamp": -3, "earliest-local": -4, "latest-tiered": -5}
_UNITS_MS: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|[smhdw])")
_ISO_DURATION: Final = re.compile(
    r"P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?", re.IGNORECASE
)


def now_ms() -> int:
    """Now, as ms since 1970."""
    from broker.clock import SystemClock

    return SystemClock().now_ms()


def timestamp_of(text: str) -> int:
    """`earliest`, `latest`, ... as ListOffsets has them; else milliseconds since 1970. Raises click.UsageError."""
    word = text.strip().lower()
    if word in WORDS:
        return WORDS[word]
    if re.fullmatch(r"-[1-5]|\d{1,18}", word):
        return int(word)
    return moment_ms(text)


def moment_ms(text: str) -> int:
    """A time in ISO 8601, UTC when it names no zone (as Kafka's tools), as ms since 1970. Raises click.UsageError."""
    try:
        moment = datetime.fromisoformat(text.strip())
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        timestamp_ms = round(moment.timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        raise click.UsageError(
            f"{text!r} is no time: milliseconds since 1970, or 2026-01-31, 2026-01-31T12:00:00, 2026-01-31T12:00:00Z"
        ) from None
    if timestamp_ms < 0:
        raise click.UsageError(f"{text!r} is before 1970")
    return timestamp_ms


def duration_ms(text: str) -> int:
    """`90s`, `1h30m`, `7d`, or ISO 8601's `P1DT2H`. Raises click.UsageError."""
    word = text.strip()
    iso = _ISO_DURATION.fullmatch(word)
    if iso is not None and len(word) > 1 and any(iso.groups()):
        weeks, days, hours, minutes, seconds = (float(each or 0) for each in iso.groups())
        return round(((weeks * 7 + days) * 86_400 + hours * 3600 + minutes * 60 + seconds) * 1000)
    found = _DURATION.findall(word)
    if not found or _DURATION.sub("", word).strip() or len(word) > 60:
        raise click.UsageError(f"{text!r} is no duration: 90s, 1h30m, 7d or PT1H30M")
    return round(sum(float(number) * _UNITS_MS[unit] for number, unit in found))


def shown_time(timestamp_ms: int) -> str:
    """UTC to the millisecond; empty for none."""
    if timestamp_ms < 0:
        return ""
    try:
        moment = datetime.fromtimestamp(timestamp_ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return str(timestamp_ms)
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
