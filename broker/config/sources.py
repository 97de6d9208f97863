"""Where settings are given at start, in rising precedence: server.properties, environment, command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from attrs import field, frozen

from broker.config import cleaner_memory
from broker.config.broker_config import BrokerConfig
from broker.config.definitions import broker_definitions, dynamic_only_definitions
from broker.config.environment import settings_from_environment
from broker.config.properties import PropertiesError, parse_properties
from broker.config.synonyms import LISTENER_KEY, base_name
from broker.config.values import InvalidConfigError

# Settings of plugins: Kafka hands them on without knowing them.
_PLUGIN_PREFIXES: Final = ("rsm.config.", "rlmm.config.", "config.providers.", "confluent.")

# Settings of Kafka 3 that Kafka 4 no longer has, and what to say about them.
_REMOVED: Final[Mapping[str, str]] = {
    "broker.id.generation.enable": "node.id is always given",
    "control.plane.listener.name": "the controller needs no listener here",
    "group.coordinator.new.enable": "there is one group coordinator",
    "inter.broker.protocol.version": "see metadata.version among the features",
    "log.message.downconversion.enable": "messages are no longer converted down",
    "log.message.format.version": "records are always written in format 2",
    "log.message.timestamp.difference.max.ms": (
        "use log.message.timestamp.before.max.ms and log.message.timestamp.after.max.ms"
    ),
    "password.encoder.secret": "it was used with ZooKeeper only",
    "reserved.broker.max.id": "node.id is always given",
    "zookeeper.connect": "there is no ZooKeeper",
    "zookeeper.connection.timeout.ms": "there is no ZooKeeper",
    "zookeeper.session.timeout.ms": "there is no ZooKeeper",
    "zookeeper.set.acl": "there is no ZooKeeper",
}

# Settings that ask for what kwire does not have: starting anyway would promise what is not kept.
_NOT_THERE_YET: Final[Mapping[str, str]] = {
    "authorizer.class.name": "kwire has no authorizer yet, leave it empty",
    "client.quota.callback.class": "kwire runs no Java classes, leave it out",
    "create.topic.policy.class.name": "kwire runs no Java classes, leave it out",
    "alter.config.policy.class.name": "kwire runs no Java classes, leave it out",
}

# Settings that bound, place or plug in something, and do nothing here: who gives one should hear of it.
RACK_AWARE_SELECTOR: Final = "org.apache.kafka.common.replica.RackAwareReplicaSelector"
_NO_JAVA: Final = "kwire runs no Java classes"
_WITHOUT_EFFECT: Final[Mapping[str, str]] = {
    "config.providers": f"{_NO_JAVA}; what refers to a provider is taken as it stands",
    "cordoned.log.dirs": "new partitions are placed in every directory",
    "kafka.metrics.reporters": _NO_JAVA,
    "metric.reporters": _NO_JAVA,
    "principal.builder.class": _NO_JAVA,
    "replica.selector.class": _NO_JAVA,
    "security.providers": _NO_JAVA,
    "ssl.engine.factory.class": _NO_JAVA,
    "ssl.principal.mapping.rules": "kwire has no authorizer yet that would look at principals",
    "max.connection.creation.rate": "kwire does not limit new connections by rate yet",
    "max.connections.per.ip": "kwire does not count connections by address yet, see max.connections",
    "max.connections.per.ip.overrides": "kwire does not count connections by address yet, see max.connections",
    "metadata.log.dir": "the metadata log is in the first of log.dirs",
}


@frozen
class ResolvedSettings:
    """The settings a start was given. warnings: one line each, for a person."""

    config: BrokerConfig
    warnings: list[str] = field(factory=list)


class SettingsError(Exception):
    """Settings the broker cannot start with; the text says which, and what is allowed."""


def read_properties(path: Path) -> dict[str, str]:
    """The settings in a server.properties file. Raises SettingsError."""
    try:
        return parse_properties(path.read_text(encoding="utf-8"))
    except (PropertiesError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: {error}") from None
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from None


def resolve(
    properties: Mapping[str, str], environment: Mapping[str, str], flags: Mapping[str, str | None]
) -> ResolvedSettings:
    """The settings of a start. Raises SettingsError.

    environment: the process's variables, not yet picked. flags: None puts what weaker sources say out of force.
    """
    merged: dict[str, str] = {}
    layers: tuple[Mapping[str, str | None], ...] = (properties, settings_from_environment(environment), flags)
    for layer in layers:
        # A finer source that gives one of `log.dir` and `log.dirs` puts the other of a weaker source out of force.
        if "log.dir" in layer and "log.dirs" not in layer:
            merged.pop("log.dirs", None)
        for name, text in layer.items():
            if text is None:
                merged.pop(name, None)
            else:
                merged[name] = text
    for name, reason in _NOT_THERE_YET.items():
        if merged.get(name, "").strip():
            raise SettingsError(f"{name}={merged[name]}: {reason}")
    try:
        config = BrokerConfig(merged)
        if config.get_bool("remote.log.storage.system.enable"):
            raise InvalidConfigError("remote.log.storage.system.enable", "true", "kwire has no tiered storage")
        roles = config.get_list("process.roles")
        if "broker" not in roles:
            raise InvalidConfigError(
                "process.roles", roles, "kwire is broker and controller in one, broker must be there"
            )
        _ = config.listeners
        threads = config.get_int(cleaner_memory.THREADS)
        unfit = cleaner_memory.problem(threads, config.get_int(cleaner_memory.BUFFER))
        if unfit is not None:
            raise InvalidConfigError(cleaner_memory.THREADS, threads, unfit)
    except InvalidConfigError as error:
        raise SettingsError(explained(error)) from None
    return ResolvedSettings(config, [text for name in merged if (text := _warning(config, name))])


def explained(error: InvalidConfigError) -> str:
    """A bad value for a person: `KEY=VALUE: what is wrong; allowed: what may be`. Secrets are not shown."""
    definition = broker_definitions().get(error.name) or broker_definitions().get(base_name(error.name))
    value = error.value
    if isinstance(value, list):
        value = ",".join(value)
    if definition is not None and definition.sensitive:
        value = "[hidden]"
    allowed = definition.allowed() if definition is not None else "text"
    if allowed == "text":  # says nothing that the reason does not
        return f"{error.name}={value}: {error.reason}"
    return f"{error.name}={value}: {error.reason}; allowed: {allowed}"


def _warning(config: BrokerConfig, name: str) -> str | None:
    if name == "replica.selector.class" and config.get_text(name) == RACK_AWARE_SELECTOR:
        return None if config.get_int("kwire.nodes") > 1 else f"{name} has no effect: there is one node"
    if name in _WITHOUT_EFFECT:
        return f"{name} has no effect: {_WITHOUT_EFFECT[name]}"
    if name in _REMOVED and config.definition(name) is None:
        return f"{name} is not a setting of Kafka 4 any more and has no effect: {_REMOVED[name]}"
    if not is_unknown(config, name):
        return None
    nearest = nearest_setting(name)
    hint = f"; did you mean {nearest}?" if nearest else ""
    return f"{name} is not a known setting and has no effect{hint}"


def is_unknown(config: BrokerConfig, name: str) -> bool:
    """Whether it was never a setting, of the broker or of a plugin."""
    return config.definition(name) is None and not name.startswith(_PLUGIN_PREFIXES) and name not in _REMOVED


def nearest_setting(name: str) -> str | None:
    """The known broker setting most like `name`, None when none is like it."""
    from difflib import get_close_matches

    known = [*broker_definitions(), *dynamic_only_definitions()]
    match = LISTENER_KEY.match(name)
    wanted = match.group(1) if match else name
    found: list[str] = get_close_matches(wanted.lower().replace("_", ".").replace("-", "."), known, n=1, cutoff=0.75)
    if not found:
        return None
    nearest = found[0]
    return name.removesuffix(wanted) + nearest if match else nearest
