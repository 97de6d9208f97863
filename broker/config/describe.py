"""Settings as DescribeConfigs and CreateTopics answer them: value, where it comes from, what stands behind it.

The rules are Kafka's ConfigHelper: a setting's synonyms are listed by layer (this broker's changes, all brokers'
changes, what was given at start, defaults), within a layer the finest unit first, and those before the setting's own
name are dropped; the first one left tells the source, `DEFAULT` when none is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum

from attrs import frozen

from broker.config.broker_config import BrokerConfig
from broker.config.definitions import (
    ConfigDefinition,
    client_metrics_definitions,
    descriptions,
    group_definitions,
)
from broker.config.group_config import group_defaults, group_values
from broker.config.synonyms import broker_synonyms
from broker.config.values import ConfigValue, parse, to_text


class Source(IntEnum):
    """Where a value comes from, as on the wire."""

    TOPIC = 1
    DYNAMIC_BROKER = 2
    DYNAMIC_DEFAULT = 3
    STATIC_BROKER = 4
    DEFAULT = 5
    BROKER_LOGGER = 6
    CLIENT_METRICS = 7
    GROUP = 8


@frozen
class Synonym:
    name: str
    value: str | None
    source: Source


@frozen
class Described:
    """One setting. kind: the wire's config type, 0 unknown. description: None unless asked for."""

    name: str
    value: str | None
    source: Source
    read_only: bool
    sensitive: bool
    kind: int
    synonyms: Sequence[Synonym]
    description: str | None


class Layers:
    """Where the broker's settings come from, the strongest first."""

    __slots__ = ("_config", "_layers")

    def __init__(
        self,
        config: BrokerConfig,
        broker: Mapping[str, str] | None = None,
        default: Mapping[str, str] | None = None,
    ) -> None:
        self._config = config
        self._layers = (
            (config.dynamic_broker if broker is None else broker, Source.DYNAMIC_BROKER),
            (config.dynamic_default if default is None else default, Source.DYNAMIC_DEFAULT),
            (config.static, Source.STATIC_BROKER),
        )

    def synonyms(self, name: str, *, sensitive: bool = False) -> list[Synonym]:
        """All values that stand behind the broker setting `name`."""
        names = broker_synonyms(name)
        found = [
            Synonym(each, None if sensitive else layer[each], source)
            for layer, source in self._layers
            for each in names
            if each in layer
        ]
        for each in names:
            definition = self._config.definition(each)
            if definition is not None and definition.name == each and definition.default_text is not None:
                text = to_text(definition.default())
                found.append(Synonym(each, None if sensitive else text, Source.DEFAULT))
        while found and found[0].name != name:
            found.pop(0)
        return found


def _described(
    table: str,
    name: str,
    definition: ConfigDefinition | None,
    value: ConfigValue,
    synonyms: list[Synonym],
    documentation: bool,
    *,
    read_only: bool = False,
    source: Source | None = None,
) -> Described:
    sensitive = definition is None or definition.sensitive
    if source is None:
        source = synonyms[0].source if synonyms else Source.DEFAULT
    return Described(
        name=name,
        value=None if sensitive else to_text(value),
        source=source,
        read_only=read_only,
        sensitive=sensitive,
        kind=0 if definition is None else definition.kind.wire_id,
        synonyms=synonyms,
        description=descriptions().get(f"{table}/{name}") if documentation else None,
    )


def describe_topic(
    config: BrokerConfig,
    overrides: Mapping[str, str],
    *,
    documentation: bool = False,
    layers: Layers | None = None,
    defaults: Mapping[str, ConfigValue] | None = None,
) -> list[Described]:
    """Every setting of a topic that has `overrides` of its own, by name.

    layers, defaults: the broker's settings to look through instead of those in force.
    """
    layers = layers or Layers(config)
    inherited = config.topic_defaults() if defaults is None else defaults
    found = []
    for name, definition in config.topic_definitions.items():
        own = overrides.get(name)
        if definition.internal and own is None:
            continue
        value = inherited[name] if own is None else parse(name, own, definition.kind)
        synonyms = layers.synonyms(definition.synonyms[0]) if definition.synonyms else []
        if own is not None:
            synonyms.insert(0, Synonym(name, to_text(value), Source.TOPIC))
        found.append(_described("topic", name, definition, value, synonyms, documentation))
    return found


def describe_group(
    config: BrokerConfig, overrides: Mapping[str, str], *, documentation: bool = False
) -> list[Described]:
    """Every setting of a group that has `overrides` of its own, by name."""
    layers = Layers(config)
    values = {**group_defaults(config), **group_values(overrides)}
    found = []
    for name, definition in group_definitions().items():
        value = values[name]
        own = name in overrides
        if definition.synonyms:
            synonyms = layers.synonyms(definition.synonyms[0])
        else:
            synonyms = [Synonym(name, definition.default_text, Source.DEFAULT)]
        if own:
            synonyms.insert(0, Synonym(name, to_text(value), Source.GROUP))
        found.append(_described("group", name, definition, value, synonyms, documentation))
    return found


def describe_client_metrics(overrides: Mapping[str, str], *, documentation: bool = False) -> list[Described]:
    """Every setting of a client metrics subscription, by name."""
    found = []
    for name, definition in client_metrics_definitions().items():
        own = overrides.get(name)
        value = definition.default() if own is None else parse(name, own, definition.kind)
        synonyms = [] if own is None else [Synonym(name, to_text(value), Source.CLIENT_METRICS)]
        found.append(_described("client_metrics", name, definition, value, synonyms, documentation))
    return found


def describe_broker(config: BrokerConfig, *, documentation: bool = False) -> list[Described]:
    """Every setting of this broker, by name; with those given that nobody knows, whose values are not shown."""
    layers = Layers(config)
    names = {name for name, definition in config.definitions.items() if not definition.internal}
    names.update(config.effective)
    return [_broker_setting(config, layers, name, documentation) for name in sorted(names)]


def _broker_setting(config: BrokerConfig, layers: Layers, name: str, documentation: bool) -> Described:
    definition = config.definition(name)
    value = config.get(name) if definition is not None else None
    return _described(
        "broker",
        name,
        definition,
        value,
        layers.synonyms(name, sensitive=definition is None or definition.sensitive),
        documentation,
        read_only=definition is None or definition.read_only or definition.name != name,
    )


def describe_broker_defaults(config: BrokerConfig, *, documentation: bool = False) -> list[Described]:
    """What was changed for all brokers, by name."""
    found = []
    for name, text in sorted(config.dynamic_default.items()):
        definition = config.definition(name)
        sensitive = definition is None or definition.sensitive
        value = text if definition is None else parse(name, text, definition.kind)
        synonyms = [Synonym(name, None if sensitive else text, Source.DYNAMIC_DEFAULT)]
        read_only = definition is None or definition.read_only or definition.name != name
        found.append(_described("broker", name, definition, value, synonyms, documentation, read_only=read_only))
    return found
