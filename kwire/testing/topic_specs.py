"""Topics as a test gives them, and as the control plane takes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

TopicsGiven = Mapping[str, int | Mapping[str, Any] | None] | Iterable[str | Mapping[str, Any]]


def topic_bodies(topics: TopicsGiven) -> list[dict[str, Any]]:
    """`{"name", "partitions"?, "replication_factor"?, "configs"?}` for each topic, configs as text.

    topics: names; or bodies with a name; or a mapping of names to a number of partitions, to a body, or to None.
    Raises TypeError for what is none of these.
    """
    if isinstance(topics, str) or not isinstance(topics, Iterable):
        raise TypeError(f"topics are a list or a dict, not {topics!r}")
    if isinstance(topics, Mapping):
        return [topic_body(name, given) for name, given in topics.items()]
    return [topic_body(each, None) if isinstance(each, str) else topic_body(None, each) for each in topics]


def topic_body(name: str | None, given: int | Mapping[str, Any] | None) -> dict[str, Any]:
    """One topic's body."""
    body: dict[str, Any] = {} if name is None else {"name": name}
    if isinstance(given, int):
        body["partitions"] = given
    elif isinstance(given, Mapping):
        body |= given
    elif given is not None:
        raise TypeError(f"topic {name!r}: a number of partitions or a dict, not {given!r}")
    if configs := body.get("configs"):
        body["configs"] = config_texts(configs)
    return body


def config_texts(configs: Mapping[str, Any]) -> dict[str, str]:
    """Configs as Kafka writes them. Raises TypeError for what is no mapping."""
    if not isinstance(configs, Mapping):
        raise TypeError(f"configs are a dict, not {configs!r}")
    return {key: config_text(value) for key, value in configs.items()}


def config_text(value: Any) -> str:
    """A config's value as Kafka writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
