"""Topic names: which are allowed, which collide, which are the broker's own. (Kafka's class `Topic`)"""

from __future__ import annotations

import re
from typing import Final

GROUP_OFFSETS_TOPIC: Final = "__consumer_offsets"
TRANSACTION_STATE_TOPIC: Final = "__transaction_state"
SHARE_STATE_TOPIC: Final = "__share_group_state"
CLUSTER_METADATA_TOPIC: Final = "__cluster_metadata"
INTERNAL_TOPICS: Final = frozenset({GROUP_OFFSETS_TOPIC, TRANSACTION_STATE_TOPIC, SHARE_STATE_TOPIC})
"""Those that answers mark as internal; `__cluster_metadata` is not a topic for clients."""

MAX_NAME_LENGTH: Final = 249
_LEGAL: Final = re.compile(r"[a-zA-Z0-9._-]+")


def is_internal(name: str) -> bool:
    return name in INTERNAL_TOPICS


def name_problem(name: str) -> str | None:
    """Why `name` cannot be a topic's, in Kafka's words; None when it can."""
    if not name:
        reason = "the empty string is not allowed"
    elif name == ".":
        reason = "'.' is not allowed"
    elif name == "..":
        reason = "'..' is not allowed"
    elif len(name) > MAX_NAME_LENGTH:
        reason = f"the length of '{name}' is longer than the max allowed length {MAX_NAME_LENGTH}"
    elif _LEGAL.fullmatch(name) is None:
        reason = f"'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
    else:
        return None
    return f"Topic name is invalid: {reason}"


def has_collision_characters(name: str) -> bool:
    """Names that differ only in '.' and '_' would share a metric's name, so Kafka refuses the second."""
    return "." in name or "_" in name


def collision_key(name: str) -> str:
    return name.replace(".", "_")
