"""Fault rules of a cluster: added, counted, asserted, removed.

with cluster.faults.add(api="Produce", topic="orders", error="NOT_LEADER_OR_FOLLOWER", times=2) as rule:
    ...
    rule.assert_fired(2)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from attrs import frozen

from kwire.testing.errors import ControlRequestError
from kwire.testing.http import segment
from kwire.testing.waiting import DEFAULT_TIMEOUT_S, wait_for

if TYPE_CHECKING:
    from kwire.testing.cluster import Cluster

_SHOWN_REQUESTS: Final = 10


@frozen
class SeenRequest:
    """A request of a rule's APIs. about: the partitions, groups it names. outcome: "fired"; "passed": it matched, and
    was let pass (skip, every, probability); "other": none the rule is about. at_ms: the cluster's wall clock."""

    api: str
    version: int
    client_id: str | None
    about: str
    outcome: str
    at_ms: int

    def __str__(self) -> str:
        told = f" {self.about}" if self.about else ""
        return f"{self.outcome:<6} {self.api} v{self.version} of {self.client_id}{told}"


@frozen
class FaultState:
    """state: "active", "spent" (it has acted `times` times) or "expired". matched: requests it was about while active.
    fired: how often it acted. holding: requests it holds back now. rule: as it was written."""

    id: int
    name: str | None
    rule: dict[str, Any]
    state: str
    matched: int
    fired: int
    holding: int
    added_ms: int
    recent: list[SeenRequest]


class Rule:
    """One rule. With `with` it is removed at the end of the block; its counts can be asked afterwards too."""

    def __init__(self, faults: Faults, state: FaultState) -> None:
        self._faults = faults
        self._last = state
        self._removed = False
        self.id = state.id
        self.name = state.name

    def __repr__(self) -> str:
        return f"<{self._described()}: {self._last.state}, fired {self._last.fired}>"

    def _described(self) -> str:
        told = ", ".join(f"{key}={value!r}" for key, value in self._last.rule.items() if key != "name")
        return f"fault rule {self.name or self.id} ({told})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.remove(missing_ok=True)

    @property
    def state(self) -> FaultState:
        """What it has counted by now; of one that was removed, what it had then."""
        if not self._removed:
            self._last = self._faults._show(self.id)
        return self._last

    @property
    def hits(self) -> int:
        """How often it has acted."""
        return self.state.fired

    @property
    def matched(self) -> int:
        """How many requests it was about."""
        return self.state.matched

    def remove(self, *, missing_ok: bool = False) -> FaultState:
        """Take it away; what it held back goes on. What it had counted."""
        if not self._removed:
            try:
                self._last = self._faults._remove(self.id)
            except ControlRequestError as error:
                if not (missing_ok and error.status == 404):
                    raise
            self._removed = True
        return self._last

    def assert_fired(self, times: int | None = None) -> None:
        """AssertionError unless it has acted `times` times exactly; None: at least once. It says what came instead."""
        state = self.state
        if state.fired == times or (times is None and state.fired):
            return
        wanted = "at least once" if times is None else f"{times} times"
        lines = [f"{self._described()} fired {state.fired} times, not {wanted}; {state.matched} requests matched it"]
        if state.recent:
            lines.append("the last requests of its APIs:")
            lines += [f"  {each}" for each in state.recent[-_SHOWN_REQUESTS:]]
        elif state.rule.keys() & {"disk_error", "disk_full", "connect"}:
            lines.append("what it counts is no requests")
        else:
            lines.append("no request of its APIs came")
        raise AssertionError("\n".join(lines))

    def wait_fired(self, times: int = 1, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        """Back once it has acted that often. Raises WaitTimeoutError, which says what came instead."""

        def fired_enough() -> bool:
            if self.hits < times:
                self.assert_fired(times)
            return True

        wait_for(fired_enough, timeout_s=timeout_s, what=f"{self._described()} fires {times} times")


class Faults:
    """`cluster.faults`."""

    def __init__(self, cluster: Cluster) -> None:
        self._http = cluster.http
        self._path = f"{cluster.path}/faults"

    def add(
        self,
        *,
        api: str | Sequence[str] | None = None,
        version: int | str | None = None,
        client_id: str | None = None,
        client_software: str | None = None,
        group: str | None = None,
        transactional_id: str | None = None,
        topic: str | None = None,
        partition: int | Sequence[int] | None = None,
        node: int | Sequence[int] | None = None,
        listener: str | None = None,
        skip: int | None = None,
        every: int | None = None,
        times: int | None = None,
        probability: float | None = None,
        seed: int | None = None,
        for_ms: int | None = None,
        until_ms: int | None = None,
        when: str | None = None,
        error: str | None = None,
        message: str | None = None,
        delay_ms: int | Sequence[int] | None = None,
        throttle_ms: int | None = None,
        drop_connection: bool = False,
        drop_request: bool = False,
        drop_reply: bool = False,
        corrupt: int | Sequence[int] | None = None,
        truncate: int | None = None,
        stall: bool | int = False,
        disk_error: str | Sequence[str] | None = None,
        disk_full: bool = False,
        connect: str | None = None,
        name: str | None = None,
    ) -> Rule:
        """Add a rule. A wrong one raises ControlRequestError, with what is allowed. (docs/testing/faults.md)

        Which requests: `api` to `listener`; texts are exact, or patterns with *, ? and [...]. When: `skip` to `when`
        ("before", or "after" the state has changed), times by the cluster's clock. What happens: `error` (Kafka's name)
        to `connect` ("refuse", "reset"), one of them; `delay_ms` ([least, most]) and `throttle_ms` may go with another.
        stall: True until the rule is removed, or milliseconds. disk_error: of "append", "read", "sync".
        """
        given = {key: value for key, value in locals().items() if key != "self"}
        rule = {
            key: list(value) if isinstance(value, (tuple, set, frozenset, range)) else value
            for key, value in given.items()
            if value is not None and value is not False
        }
        return Rule(self, _state(self._http.request("POST", self._path, rule)))

    def __iter__(self) -> Iterator[Rule]:
        return iter(self.list())

    def get(self, rule: int | str) -> Rule:
        """By id or name. Raises ControlRequestError 404."""
        return Rule(self, self._show(rule))

    def clear(self) -> list[FaultState]:
        """Remove all rules; what they had counted."""
        return [_state(each) for each in self._http.request("DELETE", self._path)["rules"]]

    def list(self) -> list[Rule]:
        """All rules, in the order they were added; spent and expired ones too."""
        return [Rule(self, _state(each)) for each in self._http.request("GET", self._path)["rules"]]

    def _show(self, rule: int | str) -> FaultState:
        return _state(self._http.request("GET", f"{self._path}/{segment(rule)}"))

    def _remove(self, rule: int | str) -> FaultState:
        return _state(self._http.request("DELETE", f"{self._path}/{segment(rule)}"))


def _state(found: dict[str, Any]) -> FaultState:
    names = ("id", "name", "rule", "state", "matched", "fired", "holding", "added_ms")
    seen = ("api", "version", "client_id", "about", "outcome", "at_ms")
    recent = [SeenRequest(**{name: each[name] for name in seen}) for each in found["recent"]]
    return FaultState(**{name: found[name] for name in names}, recent=recent)
