"""What a setting's value may be, read from the text by which Kafka prints its validators.

The texts stand in `data/*.csv`, column `valid`: `[0,...]`, `[0,...,1]`, `[1,...,9] or -1`, `[a, b]`,
`(case insensitive) [a, b]`, `non-empty string`, `non-empty list`, `non-null string`, and two of a single setting each.
A validator takes the name and the parsed value and raises InvalidConfigError.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Final

from broker.config.values import ConfigType, ConfigValue, InvalidConfigError

Validator = Callable[[str, ConfigValue], None]

_RANGE: Final = re.compile(r"\[(-?[0-9.]+),\.\.\.(?:,(-?[0-9.]+))?\]( or -1)?\Z")
_REPLICAS: Final = re.compile(r"\d+:\d+\Z")
_THROTTLED: Final = "[partitionId]:[brokerId],[partitionId]:[brokerId],..."
# Of older Kafkas (broker.personality).
_FORMAT: Final = re.compile(r"[0-3]\.\d{1,2}(\.\d){0,2}(-IV\d)?\Z")
_OFFSET_RESET: Final = "[latest, earliest, by_duration:PnDTnHnMn.nS]"
# ISO-8601 durations as java.time.Duration.parse takes them; at least one part must be there.
_DURATION: Final = re.compile(
    r"P(?=[-+\dT])(?:[-+]?\d+D)?(?:T(?=[-+\d])(?:[-+]?\d+H)?(?:[-+]?\d+M)?(?:[-+]?\d+(?:[.,]\d{0,9})?S)?)?\Z",
    re.IGNORECASE,
)


@cache
def validator(valid: str, kind: ConfigType) -> Validator | None:
    """The check that `valid` describes for a setting of type `kind`; None when anything of the type will do."""
    if not valid:
        return None
    if match := _RANGE.match(valid):
        low, high, or_minus_one = match.groups()
        return _minus_one_or(int(low), int(high)) if or_minus_one else _between(low, high)
    if valid == _THROTTLED:
        return _throttled_replicas
    if valid == _OFFSET_RESET:
        return _offset_reset
    if valid == "non-null string":
        return None
    if valid == "non-empty string":
        return _non_empty
    if valid == "a release of Kafka":
        return _release
    if valid == "a message format":
        return _message_format
    if valid == "non-empty list":
        # Printed for the two lists of controller addresses, whose default is the empty list all the same.
        return None
    if valid.startswith("(case insensitive) ["):
        return _one_of_ignoring_case(valid[len("(case insensitive) [") : -1].split(", "))
    if valid.startswith("[") and valid.endswith("]"):
        words = valid[1:-1].split(", ")
        return _all_of(words) if kind is ConfigType.LIST else _one_of(words)
    raise ValueError(f"no validator is known for {valid!r}")


def _number(value: ConfigValue) -> float:
    if isinstance(value, str | list) or value is None:
        raise TypeError(f"a range applies to numbers, not to {value!r}")
    return value


def _between(low: str, high: str | None) -> Validator:
    least = float(low)
    most = float(high) if high is not None else None

    def check(name: str, value: ConfigValue) -> None:
        number = _number(value)
        if number < least:
            raise InvalidConfigError(name, value, f"Value must be at least {low}")
        if most is not None and number > most:
            raise InvalidConfigError(name, value, f"Value must be no more than {high}")

    return check


def _minus_one_or(low: int, high: int) -> Validator:
    def check(name: str, value: ConfigValue) -> None:
        number = _number(value)
        if number != -1 and not low <= number <= high:
            raise InvalidConfigError(name, value, f"Value must be between {low} and {high} or equal to -1")

    return check


def _one_of(words: list[str]) -> Validator:
    def check(name: str, value: ConfigValue) -> None:
        if value not in words:
            raise InvalidConfigError(name, value, "String must be one of: " + ", ".join(words))

    return check


def _one_of_ignoring_case(words: list[str]) -> Validator:
    upper = {word.upper() for word in words}

    def check(name: str, value: ConfigValue) -> None:
        if not isinstance(value, str) or value.upper() not in upper:
            raise InvalidConfigError(name, value, "String must be one of (case insensitive): " + ", ".join(words))

    return check


def _all_of(words: list[str]) -> Validator:
    one = _one_of(words)

    def check(name: str, value: ConfigValue) -> None:
        for entry in value if isinstance(value, list) else []:
            if entry:
                one(name, entry)
            else:
                no_empty_entries(name, value)

    return check


class InvalidListError(InvalidConfigError):
    """A list that is empty, has an empty entry or one entry twice: Kafka's texts for these have a form of their own."""

    def __init__(self, name: str, value: ConfigValue, reason: str) -> None:
        super().__init__(name, value, reason)
        self.args = (f"Configuration '{name}' {reason}.",)


def no_empty_entries(name: str, value: ConfigValue) -> None:
    """Refuse `a,`."""
    if isinstance(value, list) and "" in value:
        raise InvalidListError(name, value, "values must not be empty")


def no_double_entries(name: str, value: ConfigValue) -> None:
    """Refuse `a,a`. Kafka refuses it in broker settings only (KIP-1161)."""
    if isinstance(value, list) and len(set(value)) != len(value):
        raise InvalidListError(name, value, "values must not be duplicated")


def not_empty(name: str, value: ConfigValue, valid: str) -> None:
    """Refuse the empty list."""
    if value == []:
        raise InvalidListError(
            name, value, f"must not be empty. Valid values include: {valid or 'any non-empty value'}"
        )


def _non_empty(name: str, value: ConfigValue) -> None:
    if value == "":
        raise InvalidConfigError(name, value, "String must be non-empty")


def _release(name: str, value: ConfigValue) -> None:
    from broker.personality.releases import RELEASES, UnknownReleaseError, release_line

    try:
        release_line(str(value))
    except UnknownReleaseError:
        raise InvalidConfigError(name, value, "must be one of: " + ", ".join(RELEASES)) from None


def _message_format(name: str, value: ConfigValue) -> None:
    if not _FORMAT.match(str(value)):
        raise InvalidConfigError(name, value, "must be a version of Kafka such as 0.10.2 or 2.8-IV1")


def _throttled_replicas(name: str, value: ConfigValue) -> None:
    entries = value if isinstance(value, list) else []
    if entries == ["*"] or all(_REPLICAS.match(entry) for entry in entries):
        return
    raise InvalidConfigError(
        name, value, f"{name} must be the literal '*' or a list of replicas in the following format: {_THROTTLED}"
    )


def _offset_reset(name: str, value: ConfigValue) -> None:
    text = str(value)
    if text in ("latest", "earliest"):
        return
    prefix, _, duration = text.partition(":")
    if prefix == "by_duration" and _DURATION.match(duration) and "-" not in duration:
        return
    raise InvalidConfigError(
        name,
        value,
        f"Invalid value `{text}` for configuration {name}. The value must be either 'earliest', 'latest' or of "
        "the format 'by_duration:<PnDTnHnMn.nS>'.",
    )
