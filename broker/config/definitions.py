"""Which settings exist: of the broker, of topics, of groups, of client metrics subscriptions.

The tables are `data/*.csv`, measured on Apache Kafka 4.3.1. Columns: name, type, default (`(required)`: none,
`(null)`: null, empty: the empty text or list), valid (see validators.py), importance, internal (not described), update
(read-only, per-broker, cluster-wide; broker settings only), synonyms (broker settings that give the default, the first
that is set wins). A table is read when first asked for, and never changes.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

from broker.config.validators import no_double_entries, no_empty_entries, not_empty, validator
from broker.config.values import ConfigType, ConfigValue, parse

_DATA: Final = Path(__file__).parent / "data"
_TYPES: Final = {kind.value: kind for kind in ConfigType}

# Where kwire's default is not Kafka's. Each has its row, with the reason, in docs/DIFFERENCES.md.
BROKER_DEFAULTS: Final[Mapping[str, str]] = {
    "group.initial.rebalance.delay.ms": "0",
    "offsets.topic.replication.factor": "1",
    "queued.max.request.bytes": "268435456",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.replication.factor": "1",
}

# Lists of the broker's that must have an entry.
_NOT_EMPTY: Final = frozenset(
    {
        "advertised.listeners",
        "controller.listener.names",
        "group.consumer.assignors",
        "group.coordinator.rebalance.protocols",
        "group.share.assignors",
        "listeners",
        "log.dir",
        "log.dirs",
        "process.roles",
    }
)


class ConfigDefinition:
    """One setting. `default_text` is None where there is no default or it is null (`required` tells)."""

    __slots__ = (
        "_checked_default",
        "default_text",
        "importance",
        "internal",
        "kind",
        "name",
        "required",
        "synonyms",
        "update",
        "valid",
    )

    def __init__(self, row: list[str], default: str | None = None) -> None:
        self.name, kind, text, self.valid, self.importance, internal, self.update, synonyms = row
        self.kind = _TYPES[kind]
        self.internal = internal == "yes"
        self.synonyms = tuple(synonyms.split(";")) if synonyms else ()
        self.required = text == "(required)"
        self.default_text: str | None = None if text in ("(required)", "(null)") else text
        if default is not None:
            self.default_text = default

    def __repr__(self) -> str:
        return f"ConfigDefinition({self.name})"

    @property
    def sensitive(self) -> bool:
        return self.kind is ConfigType.PASSWORD

    @property
    def read_only(self) -> bool:
        """True when it cannot be changed while the broker runs."""
        return self.update == "read-only"

    @property
    def per_broker(self) -> bool:
        """True when it can be changed for one broker, not for all at once."""
        return self.update == "per-broker"

    def default(self) -> ConfigValue:
        return None if self.default_text is None else parse(self.name, self.default_text, self.kind)

    def parse(self, text: str) -> ConfigValue:
        """The checked value of `text`. Raises InvalidConfigError."""
        value = parse(self.name, text, self.kind)
        if self.kind is ConfigType.LIST:
            if self.update:
                if self.name in _NOT_EMPTY:
                    not_empty(self.name, value, self.valid)
                no_double_entries(self.name, value)
            no_empty_entries(self.name, value)
        check = validator(self.valid, self.kind)
        if check is not None:
            check(self.name, value)
        return value

    def allowed(self) -> str:
        """What a value may be, in words, for a message to a person."""
        kind = {"int": "a whole number", "long": "a whole number", "short": "a whole number"}.get(self.kind.value)
        if kind is None:
            kind = {"double": "a number", "boolean": "true or false", "list": "a list with commas"}.get(
                self.kind.value, "text"
            )
        if not self.valid:
            return kind
        if self.valid.startswith("non-"):
            return self.valid
        if ",...]" in self.valid:
            return f"{kind}, at least {self.valid[1:].split(',')[0]}"
        if ",...," in self.valid:
            low, _, rest = self.valid[1:].partition(",...,")
            high, _, more = rest.partition("]")
            return f"{kind} from {low} to {high}{more}"
        words = self.valid.removeprefix("(case insensitive) ").strip("[]")
        return f"any of {words}" if self.kind is ConfigType.LIST else f"one of {words}"


def _load(table: str, defaults: Mapping[str, str]) -> dict[str, ConfigDefinition]:
    with open(_DATA / f"{table}.csv", encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        next(rows)
        return {row[0]: ConfigDefinition(row, defaults.get(row[0])) for row in rows}


@cache
def broker_definitions() -> Mapping[str, ConfigDefinition]:
    """All broker settings, by name, sorted."""
    return _load("broker", BROKER_DEFAULTS)


@cache
def dynamic_only_definitions() -> Mapping[str, ConfigDefinition]:
    """Broker settings that can only be set while it runs, and are described only then."""
    return {
        name: ConfigDefinition([name, "long", "(null)", "[0,...]", "medium", "yes", "cluster-wide", ""])
        for name in (
            "follower.replication.throttled.rate",
            "leader.replication.throttled.rate",
            "replica.alter.log.dirs.io.max.bytes.per.second",
        )
    }


@cache
def own_definitions() -> Mapping[str, ConfigDefinition]:
    """Settings of kwire's that Kafka does not have; described only when set."""
    found = {
        name: ConfigDefinition([name, "string", "(null)", valid, "low", "yes", "read-only", ""])
        for name, valid in (("kwire.cluster.id", "non-empty string"), ("kwire.as.version", "a release of Kafka"))
    }
    # How many clusters one process hosts, its own among them.
    most = "kwire.virtual.clusters.max"
    # Nodes of the process's own cluster, the racks they are dealt out to, and whether a replication factor above their
    # number is taken for that number.
    nodes, racks, lenient = "kwire.nodes", "kwire.racks", "kwire.replication.factor.lenient"
    return found | {
        most: ConfigDefinition([most, "int", "2000", "[1,...]", "low", "yes", "read-only", ""]),
        nodes: ConfigDefinition([nodes, "int", "1", "[1,...,100]", "low", "yes", "read-only", ""]),
        racks: ConfigDefinition([racks, "list", "", "", "low", "yes", "read-only", ""]),
        lenient: ConfigDefinition([lenient, "boolean", "false", "", "low", "yes", "read-only", ""]),
    }


@cache
def topic_definitions() -> Mapping[str, ConfigDefinition]:
    return _load("topic", {})


@cache
def group_definitions() -> Mapping[str, ConfigDefinition]:
    return _load("group", {})


@cache
def client_metrics_definitions() -> Mapping[str, ConfigDefinition]:
    return _load("client_metrics", {})


@cache
def descriptions() -> Mapping[str, str]:
    """What each setting does, in a sentence: `topic/NAME`, `group/NAME`, `client_metrics/NAME`, `broker/NAME`."""
    with open(_DATA / "descriptions.csv", encoding="utf-8", newline="") as file:
        texts = {row[0]: row[1] for row in csv.reader(file)}
    for table, definitions in (("topic", topic_definitions()), ("group", group_definitions())):
        for name, definition in definitions.items():
            for synonym in definition.synonyms:
                texts.setdefault(f"broker/{synonym}", f"Default of the {table} setting {name}.")
    return texts
