"""Rules for client metrics subscriptions (Kafka's ClientMetricsConfigs.validate, KIP-714)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from broker.config.definitions import client_metrics_definitions
from broker.config.values import InvalidConfigError
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError

_LEAST_INTERVAL_MS: Final = 100
_MOST_INTERVAL_MS: Final = 3_600_000
_LABELS: Final = frozenset(
    {
        "client_instance_id",
        "client_id",
        "client_software_name",
        "client_software_version",
        "client_source_address",
        "client_source_port",
    }
)


def validate_client_metrics_configs(name: str, configs: Mapping[str, str]) -> None:
    """Check all settings of the subscription `name`. Raises ApiError INVALID_REQUEST or INVALID_CONFIG."""
    if not name:
        raise ApiError(ErrorCode.INVALID_REQUEST, "Subscription name can't be empty")
    definitions = client_metrics_definitions()
    for key in configs:
        if key not in definitions:
            raise ApiError(ErrorCode.INVALID_REQUEST, f"Unknown client metrics configuration: {key}")
    try:
        values = {key: definitions[key].parse(text) for key, text in configs.items()}
    except InvalidConfigError as error:
        raise ApiError(ErrorCode.INVALID_CONFIG, str(error)) from None
    interval = values.get("interval.ms")
    if isinstance(interval, int) and not _LEAST_INTERVAL_MS <= interval <= _MOST_INTERVAL_MS:
        raise ApiError(
            ErrorCode.INVALID_REQUEST,
            f"Invalid value {interval} for interval.ms, interval must be between "
            f"{_LEAST_INTERVAL_MS} and {_MOST_INTERVAL_MS} (1 hour)",
        )
    match = values.get("match")
    for entry in match if isinstance(match, list) else []:
        label, separator, pattern = entry.partition("=")
        if not separator or "=" in pattern or label.strip() not in _LABELS or not _compiles(pattern.strip()):
            raise ApiError(ErrorCode.INVALID_CONFIG, f"Illegal client matching pattern: {entry}")


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True
