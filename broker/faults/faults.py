"""The fault rules of one cluster: added, listed, removed; what they need is installed while one of its kind is active.

With no active rule of a kind nothing of it is there: no interception of requests, no question before a disk operation,
no gate at the listeners.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from broker.faults.acting import FaultInterceptor
from broker.faults.answers import Subject
from broker.faults.disk import DiskFaults, ask, can_fail
from broker.faults.rules import Rule
from broker.faults.spec import RuleError, RuleSpec, parse, text_fits
from kwire.api_keys import ApiKey
from kwire.errors import ApiError

if TYPE_CHECKING:
    from broker.clock import Timer
    from broker.cluster import Cluster
    from broker.fetch.target import FetchTarget

logger = logging.getLogger("kwire.faults")

MOST_RULES: Final = 1000


class TooManyRulesError(Exception):
    """The bound on rules is reached."""


class UnknownRuleError(LookupError):
    """There is no rule of this id or name."""

    def __init__(self, wanted: str, known: list[str]) -> None:
        super().__init__(f"there is no fault rule {wanted!r}")
        self.known = known


class Faults:
    """See the module. Synchronous, on the loop's thread."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._clock = cluster.clock
        self._next_id = 1
        self._rules: dict[int, Rule] = {}
        self._timers: dict[int, Timer] = {}
        self._by_api: dict[ApiKey, list[Rule]] = {}
        self._interceptor: FaultInterceptor | None = None
        self._disk = DiskFaults(self._clock)
        self._asking = False
        self._gated = False
        self._settle_due = False

    # -- the doors

    def add(self, given: Mapping[str, Any]) -> Rule:
        """Check and install a rule. Raises RuleError, TooManyRulesError; nothing is changed then."""
        spec = parse(given, self._cluster.dispatcher.routes)
        return self.add_spec(spec)

    def add_spec(self, spec: RuleSpec) -> Rule:
        """The same for one that is checked already."""
        if len(self._rules) >= MOST_RULES:
            raise TooManyRulesError(
                f"there are {MOST_RULES} fault rules already, which is the limit; remove some (spent ones count too)"
            )
        if spec.name is not None and any(rule.spec.name == spec.name for rule in self._rules.values()):
            raise RuleError("name", f"there is a fault rule {spec.name!r} already; remove it or choose another name")
        if spec.node is not None and not spec.node <= self._cluster.nodes.keys():
            missing = sorted(spec.node - self._cluster.nodes.keys())
            raise RuleError("node", f"the cluster has no node {missing[0]}", sorted(self._cluster.nodes))
        now_ms = self._clock.now_ms()
        if spec.until_ms is not None and spec.until_ms <= now_ms:
            raise RuleError("until_ms", f"until_ms is over: it is {now_ms} there (milliseconds since 1970)")
        if spec.is_disk and not can_fail(self._cluster.storage):
            name = "disk_full" if spec.disk_full else "disk_error"
            raise RuleError(name, "this cluster's storage cannot be made to fail")
        rule = Rule(
            self._next_id,
            spec,
            added_ms=now_ms,
            expires_ms=None if spec.for_ms is None else self._clock.monotonic_ms() + spec.for_ms,
            expires_at_ms=spec.until_ms,
        )
        self._next_id += 1
        self._rules[rule.id] = rule
        self._arm(rule)
        if spec.is_request and self._interceptor is not None:
            self._index(rule)
        else:
            self._settle()
        return rule

    def all(self) -> list[Rule]:
        """In the order they were added; spent and expired ones stay until they are removed."""
        return list(self._rules.values())

    def get(self, wanted: str | int) -> Rule:
        """By id or name. Raises UnknownRuleError."""
        text = str(wanted)
        if text.isascii() and text.isdecimal() and len(text) < 19:
            found = self._rules.get(int(text))
            if found is not None:
                return found
        for rule in self._rules.values():
            if rule.spec.name == text:
                return rule
        known = [str(rule.id) if rule.spec.name is None else rule.spec.name for rule in self._rules.values()]
        raise UnknownRuleError(text, known[:100])

    def remove(self, wanted: str | int) -> Rule:
        """The rule as it was; what it held back goes on. Raises UnknownRuleError."""
        rule = self.get(wanted)
        self._remove([rule])
        return rule

    def failing_produces(self) -> list[Rule]:
        """The active rules with which a produce fails, for whoever it is."""
        now_ms, monotonic_ms = self._clock.now_ms(), self._clock.monotonic_ms()
        return [rule for rule in self._rules.values() if not rule.is_over(monotonic_ms, now_ms) and rule.fails_produces]

    def clear(self) -> list[Rule]:
        """Remove all."""
        rules = self.all()
        self._remove(rules)
        return rules

    def move(self, cluster: Cluster) -> None:
        """Another Cluster takes this one's place (a restore): the rules go with it."""
        rules, self._rules = self._rules, {}
        self._settle()
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        passed_ms = cluster.clock.monotonic_ms() - self._clock.monotonic_ms()
        self._cluster, self._clock = cluster, cluster.clock
        self._disk = DiskFaults(self._clock)
        self._rules = rules
        for rule in rules.values():
            rule.release()
            if rule.expires_ms is not None:
                rule.expires_ms += passed_ms
            self._arm(rule)
        self._settle()

    # -- inside

    def _arm(self, rule: Rule) -> None:
        """Let its time be over in time, whether or not a request asks."""
        if rule.expires_ms is not None:
            left_ms = rule.expires_ms - self._clock.monotonic_ms()
        elif rule.expires_at_ms is not None:
            left_ms = rule.expires_at_ms - self._clock.now_ms()
        else:
            return
        self._timers[rule.id] = self._clock.call_later(max(left_ms, 0), lambda: self._time_over(rule))

    def _remove(self, rules: list[Rule]) -> None:
        for rule in rules:
            del self._rules[rule.id]
            timer = self._timers.pop(rule.id, None)
            if timer is not None:
                timer.cancel()
        self._settle()
        for rule in rules:
            rule.release()
            if rule.spec.is_disk:
                self._mend(rule)

    def _mend(self, rule: Rule) -> None:
        """The disk is sound again: partitions that went offline are opened anew, from what the files hold."""
        for log in list(self._cluster.manager.open_logs()):
            if not (log.offline and rule.fits_subject(Subject(topic=log.topic, partition=log.partition))):
                continue
            try:
                self._cluster.manager.reopen(log.topic, log.partition, now_ms=self._clock.now_ms())
            except ApiError as error:
                logger.warning("%s-%d cannot be opened again: %s", log.topic, log.partition, error)
                continue
            for node in self._cluster.nodes.values():
                with contextlib.suppress(ApiError):  # another node's to lead
                    partition = node.partitions.get(log.topic, log.partition)
                    if partition is not None:
                        partition.reopen()

    def _time_over(self, rule: Rule) -> None:
        self._timers.pop(rule.id, None)
        rule.expired = True
        self._settle()
        rule.release()
        if rule.spec.is_disk:
            self._mend(rule)

    def _over(self) -> None:
        """A rule has acted for the last time: what nobody needs any more goes, once the request is through."""
        if not self._settle_due:
            self._settle_due = True
            self._clock.call_later(0, self._settle)

    def _settle(self) -> None:
        """Install what the active rules need, and nothing else."""
        self._settle_due = False
        now_ms, monotonic_ms = self._clock.now_ms(), self._clock.monotonic_ms()
        active = [rule for rule in self._rules.values() if not rule.is_over(monotonic_ms, now_ms)]
        self._settle_requests([rule for rule in active if rule.spec.is_request])
        self._settle_disk([rule for rule in active if rule.spec.is_disk])
        self._settle_gates([rule for rule in active if rule.spec.is_connect])

    def _settle_requests(self, rules: list[Rule]) -> None:
        self._by_api.clear()
        for rule in rules:
            self._index(rule)
        if rules and self._interceptor is None:
            self._interceptor = FaultInterceptor(
                self._clock, self._by_api, self._topic_name, self._session_targets, self._over
            )
            self._cluster.interception.install(self._interceptor)
        elif not rules and self._interceptor is not None:
            self._cluster.interception.remove(self._interceptor)
            self._interceptor = None

    def _index(self, rule: Rule) -> None:
        for api in rule.spec.keys:
            self._by_api.setdefault(api, []).append(rule)

    def _settle_disk(self, rules: list[Rule]) -> None:
        self._disk.use(rules)
        if bool(rules) != self._asking:
            self._asking = bool(rules)
            ask(self._cluster.storage, self._disk.failure if rules else None)

    def _settle_gates(self, rules: list[Rule]) -> None:
        if not rules and not self._gated:
            return
        self._gated = bool(rules)
        for node in self._cluster.nodes.values():
            node.dispatcher.gate = self._gate(rules) if rules else None

    def _gate(self, rules: list[Rule]) -> Callable[[str, int], str | None]:
        def gate(listener: str, node_id: int) -> str | None:
            now_ms, monotonic_ms = self._clock.now_ms(), self._clock.monotonic_ms()
            for rule in rules:
                spec = rule.spec
                if rule.is_over(monotonic_ms, now_ms):
                    continue
                if (spec.node is not None and node_id not in spec.node) or not text_fits(spec.listener, listener):
                    continue
                if rule.take():
                    if rule.is_spent:
                        self._over()
                    return spec.connect
            return None

        return gate

    def _topic_name(self, topic_id: bytes) -> str | None:
        found = self._cluster.controller.image.topic_by_id(topic_id)
        return None if found is None else found.name

    def _session_targets(self, node_id: int, session_id: int) -> list[FetchTarget]:
        node = self._cluster.nodes.get(node_id)
        return [] if node is None else node.services.fetch_sessions.targets_of(session_id)
