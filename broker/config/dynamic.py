"""Which broker settings may change while it runs, and to what (Kafka's DynamicBrokerConfig.validate)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from broker.config import cleaner_memory
from broker.config.broker_config import BrokerConfig
from broker.config.synonyms import LISTENER_KEY
from broker.config.values import InvalidConfigError, parse
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError

# The size of these pools moves by at most a factor of two at a time.
_THREAD_POOLS: Final = (
    "background.threads",
    "num.io.threads",
    "num.network.threads",
    "num.recovery.threads.per.data.dir",
    "num.replica.fetchers",
)
_OF_THE_CLUSTER_PER_LISTENER: Final = frozenset(
    {"max.connections", "max.connection.creation.rate", "num.network.threads"}
)
# Kafka applies these at once; kwire opens its listeners at start only (docs/DIFFERENCES.md).
_AT_START_ONLY: Final = frozenset({"listeners", "listener.security.protocol.map"})


def validate_broker_change(config: BrokerConfig, settings: Mapping[str, str], *, per_broker: bool) -> None:
    """Check all settings that would be set for this broker (per_broker) or for all brokers.

    Raises ApiError INVALID_REQUEST, which is what Kafka answers for a bad value here.
    """
    _refuse(
        (name for name in settings if name in config.definitions and config.definitions[name].read_only),
        "Cannot update these configs dynamically",
    )
    _refuse(
        (name for name in settings if name.startswith("ssl.") and name in config.definitions),
        "These security configs can be dynamically updated only per-listener using the listener prefix",
    )
    for name, text in settings.items():
        definition = config.definition(name)
        if definition is not None:
            try:
                definition.parse(text)
            except InvalidConfigError as error:
                raise ApiError(ErrorCode.INVALID_REQUEST, str(error)) from None
    if not per_broker:
        _refuse(
            (name for name in settings if _of_one_broker(config, name)),
            "Cannot update these configs at default cluster level, broker id must be specified",
        )
    _refuse(
        (name for name in settings if name in _AT_START_ONLY and settings[name] != config.effective.get(name)),
        "These configs are applied at start only",
    )
    _check_pools(config, settings, per_broker=per_broker)
    _check_cleaner(config, settings, per_broker=per_broker)
    _check_overrides(settings)


def _refuse(names: Iterable[str], reason: str) -> None:
    found = sorted(names)
    if found:
        raise ApiError(ErrorCode.INVALID_REQUEST, f"{reason}: [{', '.join(found)}]")


def _of_one_broker(config: BrokerConfig, name: str) -> bool:
    match = LISTENER_KEY.match(name)
    if match is not None:
        return match.group(1) not in _OF_THE_CLUSTER_PER_LISTENER
    definition = config.definitions.get(name)
    return definition is not None and definition.per_broker


def _check_pools(config: BrokerConfig, settings: Mapping[str, str], *, per_broker: bool) -> None:
    if per_broker:
        after = config.overridden(config.dynamic_default, settings)
    else:
        after = config.overridden(settings, config.dynamic_broker)
    for name in _THREAD_POOLS:
        definition = config.definitions[name]
        text = after.get(name)
        wanted = definition.default() if text is None else parse(name, text, definition.kind)
        current = config.get_int(name)
        if not isinstance(wanted, int) or wanted == current:
            continue
        problem = f"Dynamic thread count update validation failed for {name}={wanted}, "
        if wanted < current // 2:
            problem += f"value should be at least half the current value {current}"
        elif wanted > current * 2:
            problem += f"value should not be greater than double the current value {current}"
        else:
            continue
        raise ApiError(ErrorCode.INVALID_REQUEST, problem)


def _check_cleaner(config: BrokerConfig, settings: Mapping[str, str], *, per_broker: bool) -> None:
    if per_broker:
        after = config.overridden(config.dynamic_default, settings)
    else:
        after = config.overridden(settings, config.dynamic_broker)

    def wanted(name: str) -> int:
        definition = config.definitions[name]
        text = after.get(name)
        value = definition.default() if text is None else parse(name, text, definition.kind)
        return value if isinstance(value, int) else 0

    threads = wanted(cleaner_memory.THREADS)
    problem = cleaner_memory.problem(threads, wanted(cleaner_memory.BUFFER)) or cleaner_memory.change_problem(
        threads, config.get_int(cleaner_memory.THREADS)
    )
    if problem is not None:
        raise ApiError(ErrorCode.INVALID_REQUEST, problem)


def _check_overrides(settings: Mapping[str, str]) -> None:
    name = "max.connections.per.ip.overrides"
    for entry in (part.strip() for part in settings.get(name, "").split(",")):
        host, _, count = entry.rpartition(":")
        if entry and (not host or not count.strip().isdigit()):
            raise ApiError(
                ErrorCode.INVALID_REQUEST,
                f"Error parsing configuration property '{name}': {entry!r} is not HOST:COUNT",
            )
