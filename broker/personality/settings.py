"""Settings of older Kafkas: topic settings that 4.0 removed, and defaults that it changed.

(KIP-724: message.format.version and down-conversion; KIP-937, KIP-1030: distances of timestamps)
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from copy import copy
from pathlib import Path
from typing import Final

from broker.config.definitions import ConfigDefinition
from broker.config.values import ConfigValue
from broker.personality.releases import UnknownReleaseError, ordinal, release_line

DOWN_CONVERSION: Final = "message.downconversion.enable"
BROKERS_DOWN_CONVERSION: Final = "log.message.downconversion.enable"
_AFTER: Final = "log.message.timestamp.after.max.ms"
_SEGMENT: Final = "log.segment.bytes"
_TOPICS_SEGMENT: Final = "segment.bytes"
_FORMAT: Final = "message.format.version"
_DIFFERENCE: Final = "message.timestamp.difference.max.ms"
_NO_LIMIT: Final = 2**63 - 1
_TABLE: Final = Path(__file__).parent / "data/topic_settings.csv"
# The newest of each line (Kafka: ApiVersion); from 3.0 on it stayed what it was.
_FORMATS: Final = {
    "0.11": "0.11.0-IV2",
    "1.0": "1.0-IV0",
    "1.1": "1.1-IV0",
    "2.0": "2.0-IV1",
    "2.1": "2.1-IV2",
    "2.2": "2.2-IV1",
    "2.3": "2.3-IV1",
    "2.4": "2.4-IV1",
    "2.5": "2.5-IV0",
    "2.6": "2.6-IV0",
    "2.7": "2.7-IV2",
    "2.8": "2.8-IV1",
}
_LAST_FORMAT: Final = "3.0-IV1"
_FIRST_WITHOUT: Final = "4.0"


def broker_definitions(version: str, today: Mapping[str, ConfigDefinition]) -> Mapping[str, ConfigDefinition]:
    """The broker's settings as they were: those of topics' defaults that 4.0 removed, and another default.

    A release nobody knows changes none: that is refused itself.
    """
    rows = _rows(version)
    if not rows:
        return today
    after = copy(today[_AFTER])
    after.default_text = str(_NO_LIMIT)
    found = {**today, _AFTER: after, _SEGMENT: _of_any_size(today[_SEGMENT])}
    for name, *row, _update, synonym in rows:
        found[synonym] = ConfigDefinition([synonym, *row, "read-only", ""], _default(name, version))
    return dict(sorted(found.items()))


def topic_definitions(version: str, today: Mapping[str, ConfigDefinition]) -> Mapping[str, ConfigDefinition]:
    """The topic settings as they were: those of today, and those that 4.0 removed."""
    rows = _rows(version)
    if not rows:
        return today
    found = {**today, _TOPICS_SEGMENT: _of_any_size(today[_TOPICS_SEGMENT])}
    found.update({row[0]: ConfigDefinition(row, _default(row[0], version)) for row in rows})
    return dict(sorted(found.items()))


def _of_any_size(segment_bytes: ConfigDefinition) -> ConfigDefinition:
    """A segment is of 1 MiB at least since 4.0 only. (KIP-1030)"""
    changed = copy(segment_bytes)
    changed.valid = "[14,...]"
    return changed


def with_timestamp_difference(values: dict[str, ConfigValue]) -> dict[str, ConfigValue]:
    """The older setting of a timestamp's distance holds for each direction whose own is not set.

    (Kafka 3.9: LogConfig.getMessageTimestampBeforeMaxMs, getMessageTimestampAfterMaxMs)
    """
    difference = values[_DIFFERENCE]
    for name in ("message.timestamp.before.max.ms", "message.timestamp.after.max.ms"):
        if values[name] == _NO_LIMIT:
            values[name] = difference
    return values


def _default(name: str, version: str) -> str | None:
    """Where it is not the one of the table."""
    return _FORMATS.get(release_line(version), _LAST_FORMAT) if name == _FORMAT else None


def _rows(version: str) -> list[list[str]]:
    """Of the settings that there were: the columns of broker/config/data/topic.csv."""
    try:
        release = ordinal(release_line(version))
    except UnknownReleaseError:
        return []
    if release >= ordinal(_FIRST_WITHOUT):
        return []
    with _TABLE.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        next(rows)
        return [row for since, *row in rows if release >= ordinal(since)]
