"""Broker settings that stand for one another, and settings of one listener (Kafka's DynamicBrokerConfig).

`log.retention.ms`, `.minutes` and `.hours` are one setting in three units: the finest that is set wins.
`listener.name.NAME.KEY` is KEY for that listener only, `listener.name.NAME.MECHANISM.KEY` for a SASL mechanism there.
"""

from __future__ import annotations

import re
from typing import Final

LISTENER_KEY: Final = re.compile(r"listener\.name\.[^.]*\.(.*)\Z", re.DOTALL)

_ROLL: Final = ("log.roll.ms", "log.roll.hours")
_JITTER: Final = ("log.roll.jitter.ms", "log.roll.jitter.hours")
_RETENTION: Final = ("log.retention.ms", "log.retention.minutes", "log.retention.hours")
_FLUSH: Final = ("log.flush.interval.ms", "log.flush.scheduler.interval.ms")
_UNITS: Final[dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(_ROLL, _ROLL),
    **dict.fromkeys(_JITTER, _JITTER),
    **dict.fromkeys(_RETENTION, _RETENTION),
    "log.flush.interval.ms": _FLUSH,
}
_OF_MECHANISM: Final = (
    "sasl.jaas.config",
    "sasl.login.callback.handler.class",
    "sasl.login.class",
    "sasl.server.callback.handler.class",
    "connections.max.reauth.ms",
)
MILLISECONDS: Final = {"ms": 1, "minutes": 60_000, "hours": 3_600_000}


def broker_synonyms(name: str, *, of_listener: bool = True) -> tuple[str, ...]:
    """The names under which `name` may be set, the first that is set wins."""
    units = _UNITS.get(name)
    if units is not None:
        return units
    if of_listener and name.startswith("listener.name."):
        match = LISTENER_KEY.match(name)
        if match is not None:
            return (name, base_name(name))
    return (name,)


def base_name(name: str) -> str:
    """The setting that `name` gives to one listener or mechanism; `name` itself when it is for all."""
    match = LISTENER_KEY.match(name)
    if match is None:
        return name
    base = match.group(1)
    return next((key for key in _OF_MECHANISM if base.endswith(key)), base)
