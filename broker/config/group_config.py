"""Rules for the settings of one group (Kafka's GroupConfigManager.validate): within what the broker allows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from broker.config.definitions import group_definitions
from broker.config.values import ConfigValue, InvalidConfigError
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError

# Settings that must be within group.X.min.Y and group.X.max.Y of the broker, in the order Kafka checks them.
_BOUNDED: Final = (
    "consumer.heartbeat.interval.ms",
    "consumer.session.timeout.ms",
    "consumer.assignment.interval.ms",
    "share.heartbeat.interval.ms",
    "share.session.timeout.ms",
    "share.assignment.interval.ms",
    "share.record.lock.duration.ms",
    "share.delivery.count.limit",
    "share.partition.max.record.locks",
    "streams.heartbeat.interval.ms",
    "streams.session.timeout.ms",
    "streams.assignment.interval.ms",
    "streams.num.standby.replicas",
)
_WITHOUT_MINIMUM: Final = frozenset({"streams.num.standby.replicas"})
_LIVELINESS: Final = (
    ("consumer.session.timeout.ms", "consumer.heartbeat.interval.ms"),
    ("share.session.timeout.ms", "share.heartbeat.interval.ms"),
    ("streams.session.timeout.ms", "streams.heartbeat.interval.ms"),
)


class BrokerSettings(Protocol):
    """What the rules need of broker_config.BrokerConfig."""

    def get_int(self, name: str) -> int: ...


def group_defaults(broker: BrokerSettings) -> dict[str, ConfigValue]:
    """What a group without settings of its own has: the broker's value, else the setting's default."""
    return {
        name: broker.get_int(definition.synonyms[0]) if definition.synonyms else definition.default()
        for name, definition in group_definitions().items()
    }


def group_values(texts: Mapping[str, str]) -> dict[str, ConfigValue]:
    """The typed values of settings that exist; others are left out. Raises InvalidConfigError."""
    definitions = group_definitions()
    return {name: definitions[name].parse(text) for name, text in texts.items() if name in definitions}


def validate_group_configs(configs: Mapping[str, str], broker: BrokerSettings) -> None:
    """Check all settings a group would have of its own. Raises ApiError INVALID_CONFIG."""
    for name in configs:
        if name not in group_definitions():
            raise ApiError(ErrorCode.INVALID_CONFIG, f"Unknown group config name: {name}")
    try:
        own = group_values(configs)
    except InvalidConfigError as error:
        raise ApiError(ErrorCode.INVALID_CONFIG, str(error)) from None
    values = {**group_defaults(broker), **own}
    for name in _BOUNDED:
        value = values[name]
        if not isinstance(value, int):
            continue
        protocol, _, rest = name.partition(".")
        low, high = f"group.{protocol}.min.{rest}", f"group.{protocol}.max.{rest}"
        if name == "streams.num.standby.replicas":
            high = "group.streams.max.standby.replicas"
        if name not in _WITHOUT_MINIMUM and value < broker.get_int(low):
            raise ApiError(ErrorCode.INVALID_CONFIG, f"{name} must be greater than or equal to {low}")
        if value > broker.get_int(high):
            raise ApiError(ErrorCode.INVALID_CONFIG, f"{name} must be less than or equal to {high}")
    for session, heartbeat in _LIVELINESS:
        longest, interval = values[session], values[heartbeat]
        if isinstance(longest, int) and isinstance(interval, int) and longest <= interval:
            raise ApiError(ErrorCode.INVALID_CONFIG, f"{session} must be greater than {heartbeat}")
