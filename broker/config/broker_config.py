"""The broker's settings in force: what was given at start, what was changed since, and the defaults beneath."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from broker.config.definitions import (
    ConfigDefinition,
    broker_definitions,
    dynamic_only_definitions,
    own_definitions,
    topic_definitions,
)
from broker.config.listeners import Listener, resolve_listeners
from broker.config.synonyms import MILLISECONDS, base_name, broker_synonyms
from broker.config.topic_config import topic_values
from broker.config.values import ConfigValue, InvalidConfigError

# What a server.properties has to say before Kafka starts; kwire starts without. Any source overrides each line.
BASE_SETTINGS: Final[Mapping[str, str]] = {
    "controller.listener.names": "CONTROLLER",
    "listeners": "PLAINTEXT://127.0.0.1:9092",
    "log.dirs": "./kwire-data",
    "node.id": "1",
    "process.roles": "broker,controller",
}

Subscriber = Callable[["BrokerConfig"], None]


class BrokerConfig:
    """All settings of one broker.

    static: what was given at start, as text (keys nobody knows included). Changes made while it runs come through
    `set_dynamic`, for all brokers and for this one. The order is Kafka's: this broker's, all brokers', static, default.
    Raises InvalidConfigError when a value is not allowed.
    """

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        given = dict(settings or {})
        self.definitions: Mapping[str, ConfigDefinition] = broker_definitions()
        self.topic_definitions: Mapping[str, ConfigDefinition] = topic_definitions()
        release = given.get("kwire.as.version")
        if release is not None:
            from broker.personality import settings as past

            self.definitions = past.broker_definitions(release, self.definitions)
            self.topic_definitions = past.topic_definitions(release, self.topic_definitions)
        static = {name: text for name, text in BASE_SETTINGS.items() if name not in given}
        if "log.dir" in given:
            static.pop("log.dirs", None)
        if "broker.id" in given and "node.id" not in given:
            static["node.id"] = given["broker.id"]
        static.update(given)
        static["broker.id"] = static["node.id"]
        self.static: Mapping[str, str] = static
        self.dynamic_default: Mapping[str, str] = {}
        self.dynamic_broker: Mapping[str, str] = {}
        self._effective: dict[str, str] = static
        self._values: dict[str, ConfigValue] = {}
        self._topic_defaults: dict[str, ConfigValue] | None = None
        self._subscribers: list[Subscriber] = []
        for name, text in static.items():
            definition = self.definition(name)
            if definition is not None:
                definition.parse(text)

    def for_node(self, node_id: int, rack: str | None) -> BrokerConfig:
        """The same settings for another node of the cluster; what is changed while running it follows by itself."""
        settings = {name: text for name, text in self.static.items() if name != "broker.id"}
        settings["node.id"] = str(node_id)
        settings.pop("broker.rack", None)
        if rack is not None:
            settings["broker.rack"] = rack
        return BrokerConfig(settings)

    def definition(self, name: str) -> ConfigDefinition | None:
        """What is known of the setting `name`, also as `listener.name.NAME.KEY`; None when nobody knows it."""
        found = self.definitions.get(name)
        if found is None:
            found = (
                self.definitions.get(base_name(name))
                or dynamic_only_definitions().get(name)
                or own_definitions().get(name)
            )
        return found

    # -- values in force

    def get(self, name: str) -> Any:
        """The typed value of the setting `name` in force. Raises KeyError for a setting that does not exist."""
        try:
            return self._values[name]
        except KeyError:
            pass
        definition = self.definitions.get(name)
        if definition is None:
            definition = self.definition(name)
            if definition is None:
                raise KeyError(name)
        text = self._effective.get(name)
        value = definition.default() if text is None else definition.parse(text)
        self._values[name] = value
        return value

    def get_int(self, name: str) -> int:
        value = self.get(name)
        if not isinstance(value, int):
            raise TypeError(f"{name} is {value!r}, not a whole number")
        return value

    def get_bool(self, name: str) -> bool:
        return bool(self.get(name))

    def get_list(self, name: str) -> list[str]:
        value = self.get(name)
        return value if isinstance(value, list) else []

    def get_text(self, name: str) -> str | None:
        value = self.get(name)
        return value if isinstance(value, str) else None

    def for_listener(self, listener: str, name: str) -> Any:
        """The value for one listener: `listener.name.LISTENER.NAME` when given, else that for all."""
        own = f"listener.name.{listener.lower()}.{name}"
        return self.get(own) if own in self._effective else self.get(name)

    @property
    def effective(self) -> Mapping[str, str]:
        """The texts in force of all settings that are not at their default."""
        return self._effective

    # -- what changes while the broker runs

    def set_dynamic(self, default: Mapping[str, str], broker: Mapping[str, str]) -> None:
        """Replace what was changed while running: for all brokers, and for this one. Subscribers are told."""
        effective = self.overridden(default, broker)
        self.dynamic_default, self.dynamic_broker = dict(default), dict(broker)
        if effective == self._effective:
            return
        self._effective = effective
        self._values = {}
        self._topic_defaults = None
        for subscriber in list(self._subscribers):
            subscriber(self)

    def overridden(self, default: Mapping[str, str], broker: Mapping[str, str]) -> dict[str, str]:
        """The texts that would be in force; setting one of several synonyms puts the others out of force."""
        effective = dict(self.static)
        for layer in (default, broker):
            for name, text in layer.items():
                for synonym in broker_synonyms(name, of_listener=False):
                    effective.pop(synonym, None)
                effective[name] = text
        return effective

    def on_change(self, subscriber: Subscriber) -> Callable[[], None]:
        """Call `subscriber` after each change; returns what ends that."""
        self._subscribers.append(subscriber)
        return lambda: self._subscribers.remove(subscriber)

    # -- often asked

    @property
    def node_id(self) -> int:
        return self.get_int("node.id")

    @property
    def log_dirs(self) -> list[str]:
        """The data directories, the first also holds the metadata log unless `metadata.log.dir` says otherwise."""
        dirs = self.get("log.dirs")
        return self.get_list("log.dir") if dirs is None else list(dirs)

    @property
    def listeners(self) -> list[Listener]:
        """The listeners to open for clients. Raises InvalidConfigError."""
        found = resolve_listeners(
            self.get_list("listeners"),
            self.get("advertised.listeners"),
            self.get("listener.security.protocol.map"),
            self.get_list("controller.listener.names"),
        )
        for listener in found:
            if listener.protocol.startswith("SASL_"):
                raise InvalidConfigError(
                    "listener.security.protocol.map",
                    f"{listener.name}:{listener.protocol}",
                    "kwire has no SASL yet, a listener's protocol must be PLAINTEXT or SSL",
                )
        return found

    def milliseconds(self, *names: str) -> int | None:
        """The first of `names` that is not null, in milliseconds by the unit its name ends with."""
        for name in names:
            value = self.get(name)
            if value is not None:
                return int(value) * MILLISECONDS[name.rpartition(".")[2]]
        return None

    # -- topics

    def topic_config(self, overrides: Mapping[str, str] | None = None) -> dict[str, ConfigValue]:
        """Every topic setting's typed value: the topic's own, else the broker's. Raises InvalidConfigError.

        Names nobody knows in `overrides` are left out.
        """
        values = dict(self.topic_defaults())
        if overrides:
            values.update(topic_values(overrides, self.topic_definitions))
        if "message.timestamp.difference.max.ms" in values:
            from broker.personality.settings import with_timestamp_difference

            return with_timestamp_difference(values)
        return values

    def topic_defaults(self) -> Mapping[str, ConfigValue]:
        """What a topic without settings of its own has."""
        if self._topic_defaults is None:
            self._topic_defaults = {
                name: self._topic_default(definition) for name, definition in self.topic_definitions.items()
            }
        return self._topic_defaults

    def _topic_default(self, definition: ConfigDefinition) -> ConfigValue:
        synonyms = definition.synonyms
        if not synonyms:
            return definition.default()
        if len(synonyms) == 1:
            value: ConfigValue = self.get(synonyms[0])
            return value
        duration_ms = self.milliseconds(*synonyms)
        return max(duration_ms, -1) if duration_ms is not None else None
