"""Rules for the settings of topics (Kafka's LogConfig.validate)."""

from __future__ import annotations

from collections.abc import Mapping

from broker.config.definitions import ConfigDefinition
from broker.config.values import ConfigValue, InvalidConfigError
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError


def topic_values(texts: Mapping[str, str], definitions: Mapping[str, ConfigDefinition]) -> dict[str, ConfigValue]:
    """The typed values of settings that exist; others are left out. Raises InvalidConfigError."""
    return {name: definitions[name].parse(text) for name, text in texts.items() if name in definitions}


def validate_topic_configs(
    configs: Mapping[str, str],
    defaults: Mapping[str, ConfigValue],
    definitions: Mapping[str, ConfigDefinition],
    *,
    remote_storage: bool = False,
) -> None:
    """Check all settings a topic would have of its own.

    defaults: the values of those it does not set. remote_storage: remote.log.storage.system.enable.
    Raises ApiError INVALID_CONFIG.
    """
    for name in configs:
        if name not in definitions:
            raise ApiError(ErrorCode.INVALID_CONFIG, f"Unknown topic config name: {name}")
    try:
        values = {**defaults, **topic_values(configs, definitions)}
    except InvalidConfigError as error:
        raise ApiError(ErrorCode.INVALID_CONFIG, str(error)) from None
    least, most = values["min.compaction.lag.ms"], values["max.compaction.lag.ms"]
    if isinstance(least, int) and isinstance(most, int) and least > most:
        raise ApiError(
            ErrorCode.INVALID_CONFIG,
            f"conflict topic config setting min.compaction.lag.ms ({least}) > max.compaction.lag.ms ({most})",
        )
    if values["remote.storage.enable"] and not remote_storage:
        raise ApiError(
            ErrorCode.INVALID_CONFIG,
            "Tiered Storage functionality is disabled in the broker. "
            "Topic cannot be configured with remote log storage.",
        )
