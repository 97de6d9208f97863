"""One rule at work: what it matches, what it counts, when it is over. No clock and no chance but its own.

Of the requests that match, counted from 1: the first `skip` pass; then the first, and each `every`-th after it, is up;
of these `probability` lets some act; after `times` of them the rule is spent. A spent or expired rule counts no more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from random import Random
from typing import TYPE_CHECKING, Final, Literal

from attrs import define, field

from broker.faults.spec import RuleSpec, text_fits
from kwire.api_keys import ApiKey

if TYPE_CHECKING:
    from broker.deferred import Deferred
    from broker.faults.answers import Element, Key, Subject

RECENT: Final = 20

# A rule with one of these is about some producers, and says nothing of the others.
_OF_SOME: Final = ("version", "client_id", "client_software", "transactional_id", "listener")
_LOSING: Final = ("drop_connection", "drop_request", "drop_reply", "connect", "disk_full")

State = Literal["active", "spent", "expired"]


@define(slots=True, frozen=True)
class Facts:
    """What is known of a request without looking into it."""

    version: int
    client_id: str | None
    software_name: str
    software_version: str
    node: int
    listener: str


@define(slots=True, frozen=True)
class Seen:
    """A request that a rule was asked about. about: what it names, for people. outcome: "fired"; "passed": it matched,
    and was let pass (skip, every, probability); "other": it is none the rule is about."""

    api: str
    version: int
    client_id: str | None
    about: str
    outcome: str
    at_ms: int


@define(slots=True, eq=False)
class Rule:
    """added_ms: the cluster's wall clock; expires_ms: its monotonic clock, or None; expires_at_ms: its wall clock."""

    id: int
    spec: RuleSpec
    added_ms: int = 0
    expires_ms: float | None = None
    expires_at_ms: int | None = None
    matched: int = 0
    fired: int = 0
    expired: bool = False
    random: Random = field(init=False)
    recent: deque[Seen] = field(factory=lambda: deque(maxlen=RECENT), init=False)
    """The last requests of its APIs, so that a rule that did not fire can be told why."""
    stalled: set[Deferred[None]] = field(factory=set, init=False)
    """What waits until the rule lets go."""

    def __attrs_post_init__(self) -> None:
        self.random = Random(self.spec.seed)

    @property
    def state(self) -> State:
        if self.is_spent:
            return "spent"
        return "expired" if self.expired else "active"

    @property
    def is_spent(self) -> bool:
        return self.spec.times is not None and self.fired >= self.spec.times

    @property
    def fails_produces(self) -> bool:
        """Whether, while it is active, whoever produces next to what it is about surely fails."""
        spec = self.spec
        if spec.probability < 1.0 or spec.every > 1 or self.matched < spec.skip:
            return False
        if any(getattr(spec, name) is not None for name in _OF_SOME):
            return False
        if spec.is_request and ApiKey.PRODUCE not in spec.keys:
            return False
        lost = any(getattr(spec, name) for name in _LOSING) or "append" in spec.disk_error or spec.stall is True
        return lost or any(each is not None for each in (spec.error, spec.corrupt, spec.truncate))

    def is_over(self, monotonic_ms: float, now_ms: int) -> bool:
        """Whether it acts no more. Once expired it stays so."""
        if (self.expires_ms is not None and monotonic_ms >= self.expires_ms) or (
            self.expires_at_ms is not None and now_ms >= self.expires_at_ms
        ):
            self.expired = True
        return self.expired or self.is_spent

    def fits(self, facts: Facts) -> bool:
        """Whether a request of one of its APIs is one it is about, as far as that is seen from outside."""
        spec = self.spec
        versions = spec.versions
        if versions is not None and not versions[0] <= facts.version <= versions[1]:
            return False
        if spec.node is not None and facts.node not in spec.node:
            return False
        if not (text_fits(spec.client_id, facts.client_id) and text_fits(spec.listener, facts.listener)):
            return False
        return spec.client_software is None or (
            text_fits(spec.client_software, facts.software_name)
            or text_fits(spec.client_software, f"{facts.software_name} {facts.software_version}")
        )

    def fits_subject(self, subject: Subject) -> bool:
        """Whether a part of a request is one it is about."""
        spec = self.spec
        if spec.partition is not None and subject.partition not in spec.partition:
            return False
        return (
            text_fits(spec.topic, subject.topic)
            and text_fits(spec.group, subject.group)
            and text_fits(spec.transactional_id, subject.transactional_id)
        )

    def fitting(self, elements: Iterable[Element]) -> list[Key]:
        """The keys of the elements it is about."""
        return [each.key for each in elements if self.fits_subject(each.subject)]

    def take(self) -> bool:
        """Count a match; whether it acts on this one."""
        self.matched += 1
        spec = self.spec
        up = self.matched - spec.skip
        if up <= 0 or (up - 1) % spec.every:
            return False
        if spec.probability < 1.0 and self.random.random() >= spec.probability:
            return False
        self.fired += 1
        return True

    def delay_ms(self) -> int:
        """How long this time."""
        if self.spec.delay_ms is None:
            return 0
        least, most = self.spec.delay_ms
        return least if least == most else self.random.randint(least, most)

    def corrupted(self, body: bytearray) -> bytearray:
        """Flip bytes of an answer's body, where the rule says or at places that its seed decides."""
        wanted = self.spec.corrupt
        if isinstance(wanted, tuple):
            for offset in wanted:
                if offset < len(body):
                    body[offset] ^= 0xFF
        elif wanted is not None and body:
            for offset in self.random.sample(range(len(body)), min(wanted, len(body))):
                body[offset] ^= self.random.randint(1, 255)
        return body

    def release(self) -> None:
        """Let go of what it holds back."""
        waiting, self.stalled = self.stalled, set()
        for each in waiting:
            if not each.done:
                each.resolve(None)

    def __str__(self) -> str:
        return f"rule {self.id}" + (f" ({self.spec.name})" if self.spec.name else "")
