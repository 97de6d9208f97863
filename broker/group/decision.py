"""What an operation on groups decides. Timers: ("session", group, member), ("join", group), ("sync", group)."""

from __future__ import annotations

from typing import TypeAlias

from broker.decision import Decision as AnyDecision
from broker.decision import TimerKey, Waiter
from broker.group.records import CoordinatorRecord

Decision: TypeAlias = AnyDecision[CoordinatorRecord]

__all__ = ["Decision", "TimerKey", "Waiter"]
