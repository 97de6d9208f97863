"""The states of a classic group and the moves between them, as data (Kafka: ClassicGroupState)."""

from __future__ import annotations

from enum import Enum
from types import MappingProxyType


class GroupState(Enum):
    """The value is the name clients see."""

    EMPTY = "Empty"
    PREPARING_REBALANCE = "PreparingRebalance"
    COMPLETING_REBALANCE = "CompletingRebalance"
    STABLE = "Stable"
    DEAD = "Dead"


EMPTY = GroupState.EMPTY
PREPARING_REBALANCE = GroupState.PREPARING_REBALANCE
COMPLETING_REBALANCE = GroupState.COMPLETING_REBALANCE
STABLE = GroupState.STABLE
DEAD = GroupState.DEAD

VALID_PREVIOUS_STATES = MappingProxyType(
    {
        EMPTY: frozenset({PREPARING_REBALANCE}),
        PREPARING_REBALANCE: frozenset({STABLE, COMPLETING_REBALANCE, EMPTY}),
        COMPLETING_REBALANCE: frozenset({PREPARING_REBALANCE}),
        STABLE: frozenset({COMPLETING_REBALANCE}),
        DEAD: frozenset({STABLE, PREPARING_REBALANCE, COMPLETING_REBALANCE, EMPTY, DEAD}),
    }
)
