"""DescribeConfigs and IncrementalAlterConfigs, sent as they are: kafka-python's own methods know no default of all
brokers and hide the codes of errors."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from broker.cli.client import reason
from broker.cli.metadata import config_hint
from broker.cli.output import CommandError

TOPIC: Final = 2
BROKER: Final = 4
BROKER_LOGGER: Final = 8
CLIENT_METRICS: Final = 16
GROUP: Final = 32

RESOURCE_NAMES: Final = {
    TOPIC: "topic",
    BROKER: "broker",
    BROKER_LOGGER: "broker-logger",
    CLIENT_METRICS: "client-metrics",
    GROUP: "group",
}
_SOURCES: Final = {
    0: "unknown",
    1: "topic",
    2: "broker",
    3: "all brokers",
    4: "broker's file",
    5: "default",
    6: "broker logger",
    7: "client metrics",
    8: "group",
}
_SET: Final = 0
_DELETE: Final = 1
Resource = tuple[int, str]


def send(admin: Any, request: Any, node_id: int | None = None) -> Any:
    """One request of kafka-python's protocol classes, to a node or to any."""

    async def exchange() -> Any:
        return await admin._manager.send(request, node_id=node_id)

    return admin._manager.run(exchange)


def _node(resource: Resource) -> int | None:
    """Who answers: a broker's own configs and loggers are told by itself."""
    kind, name = resource
    return int(name) if kind in (BROKER, BROKER_LOGGER) and re.fullmatch(r"\d{1,10}", name) else None


def describe(admin: Any, resources: Sequence[Resource], *, everything: bool) -> list[dict[str, Any]]:
    """A dict for each config of each resource. everything: defaults and the settings of files too.

    Raises CommandError for what the broker refuses.
    """
    from kafka.protocol.admin import DescribeConfigsRequest

    found: list[dict[str, Any]] = []
    for resource in resources:
        kind, name = resource
        request = DescribeConfigsRequest(resources=[(kind, name, None)], include_synonyms=True, min_version=1)
        for result in send(admin, request, _node(resource)).results:
            if result.error_code:
                raise CommandError(
                    f"{RESOURCE_NAMES[kind]} {name or 'default'}: {reason(result.error_code, result.error_message)}"
                )
            for config in sorted(result.configs, key=lambda each: str(each.name)):
                source = int(config.config_source)
                if everything or source not in (4, 5):
                    found.append(_row(kind, result.resource_name, config, source))
    return found


def _row(kind: int, name: str, config: Any, source: int) -> dict[str, Any]:
    return {
        "entity_type": RESOURCE_NAMES[kind],
        "entity_name": name or None,
        "name": config.name,
        "value": None if config.is_sensitive else config.value,
        "source": _SOURCES.get(source, str(source)),
        "sensitive": bool(config.is_sensitive),
        "read_only": bool(config.read_only),
        "synonyms": [
            {"name": each.name, "value": each.value, "source": _SOURCES.get(int(each.source), str(each.source))}
            for each in (config.synonyms or ())
        ],
    }


def alter(
    admin: Any,
    resources: Sequence[Resource],
    values: Mapping[str, str],
    deleted: Collection[str],
    *,
    validate_only: bool = False,
) -> None:
    """Set `values` and put `deleted` back to their defaults. Raises CommandError with all that is refused."""
    from kafka.protocol.admin import IncrementalAlterConfigsRequest

    entries: list[tuple[str, int, str | None]] = [(name, _SET, value) for name, value in values.items()]
    entries += [(name, _DELETE, None) for name in deleted]
    failures = []
    hint = None
    for resource in resources:
        kind, name = resource
        request = IncrementalAlterConfigsRequest(resources=[(kind, name, entries)], validate_only=validate_only)
        for response in send(admin, request, _node(resource)).responses:
            if response.error_code:
                failures.append(
                    f"{RESOURCE_NAMES[kind]} {name or 'default'}: {reason(response.error_code, response.error_message)}"
                )
                hint = hint or config_hint(response.error_message)
    if failures:
        raise CommandError("; ".join(failures), hint=hint)
