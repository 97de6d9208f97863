"""The types of settings, and how text becomes a value and back, as in Kafka's ConfigDef."""

from __future__ import annotations

import math
import re
from enum import Enum
from typing import Final

ConfigValue = bool | int | float | str | list[str] | None

_INTEGER: Final = re.compile(r"[+-]?[0-9]+\Z")
# Java's Double.parseDouble also takes a trailing type letter and hexadecimal; the former is kept, the latter left out.
_DOUBLE: Final = re.compile(r"[+-]?(NaN|Infinity|([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?[fFdD]?)\Z")
_COMMA: Final = re.compile(r"\s*,\s*")


class ConfigType(Enum):
    """A setting's type. `wire_id` is what DescribeConfigs v3+ answers as configType."""

    BOOLEAN = "boolean"
    STRING = "string"
    INT = "int"
    SHORT = "short"
    LONG = "long"
    DOUBLE = "double"
    LIST = "list"
    CLASS = "class"
    PASSWORD = "password"

    @property
    def wire_id(self) -> int:
        return _WIRE_IDS[self]


_WIRE_IDS: Final = {
    ConfigType.BOOLEAN: 1,
    ConfigType.STRING: 2,
    ConfigType.INT: 3,
    ConfigType.SHORT: 4,
    ConfigType.LONG: 5,
    ConfigType.DOUBLE: 6,
    ConfigType.LIST: 7,
    ConfigType.CLASS: 8,
    ConfigType.PASSWORD: 9,
}
_BITS: Final = {ConfigType.SHORT: 16, ConfigType.INT: 32, ConfigType.LONG: 64}


class InvalidConfigError(Exception):
    """A setting's value that is not allowed.

    name: the setting. value: as given. reason: what is allowed. The text is the one Kafka's clients see.
    """

    def __init__(self, name: str, value: object, reason: str) -> None:
        super().__init__(f"Invalid value {printed(value)} for configuration {name}: {reason}")
        self.name = name
        self.value = value
        self.reason = reason


def printed(value: object) -> str:
    """A parsed value as Java prints it within a message: `[a, b]` for a list, `true`, `2.0`, `null`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return double_text(value)
    if isinstance(value, list):
        return "[" + ", ".join(value) + "]"
    return str(value)


def parse(name: str, text: str, kind: ConfigType) -> ConfigValue:
    """The value that `text` stands for. Surrounding white space does not count. Raises InvalidConfigError."""
    trimmed = text.strip()
    if kind in _BITS:
        if not _INTEGER.match(trimmed):
            raise InvalidConfigError(name, text, f"Not a number of type {kind.name}")
        # A bound before int(): a text of a million digits would take seconds.
        if len(trimmed) > 40:
            raise InvalidConfigError(name, text, f"Not a number of type {kind.name}")
        number = int(trimmed)
        limit = 1 << (_BITS[kind] - 1)
        if not -limit <= number < limit:
            raise InvalidConfigError(name, text, f"Not a number of type {kind.name}")
        return number
    if kind is ConfigType.BOOLEAN:
        lowered = trimmed.lower()
        if lowered == "true":
            return True
        if lowered == "false":
            return False
        raise InvalidConfigError(name, text, "Expected value to be either true or false")
    if kind is ConfigType.DOUBLE:
        if not _DOUBLE.match(trimmed):
            raise InvalidConfigError(name, text, f"Not a number of type {kind.name}")
        return float(trimmed.rstrip("fFdD") if trimmed[-1:] in "fFdD" else trimmed)
    if kind is ConfigType.LIST:
        return _COMMA.split(trimmed) if trimmed else []
    return trimmed


def to_text(value: ConfigValue) -> str | None:
    """The text of a value, as DescribeConfigs answers it; None stays None."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return double_text(value)
    return ",".join(value)


def double_text(value: float) -> str:
    """A double as Java's Double.toString writes it: 0.5, 1.0, 1.7976931348623157E308."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        text = repr(value)
        if "e" not in text:
            return text
        return f"{value:f}"
    mantissa, _, exponent = f"{value!r}".partition("e")
    if not exponent:
        sign = "-" if value < 0 else ""
        whole, _, fraction = mantissa.lstrip("-").partition(".")
        digits = (whole + ("" if fraction == "0" else fraction)).lstrip("0")
        power = len(whole) - 1 if whole != "0" else -(len(fraction) - len(fraction.lstrip("0")) + 1)
        digits = digits.rstrip("0") or "0"
        return f"{sign}{digits[0]}.{digits[1:] or '0'}E{power}"
    if "." not in mantissa:
        mantissa += ".0"
    return f"{mantissa}E{int(exponent)}"
