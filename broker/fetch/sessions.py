"""Incremental fetch sessions.  (KIP-227; Kafka: FetchManager, FetchSessionCache, FetchContext)

A session remembers the partitions a client fetches, so that a request names only what changed and an answer only what
is new. Partitions that gave data move to the end of the line, so that none starves behind the size limits.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Final

from attrs import define, field

from broker.fetch.target import FetchTarget
from kwire.error_codes import ErrorCode
from kwire.messages.fetch import FetchRequest, PartitionData

INITIAL_EPOCH: Final = 0
FINAL_EPOCH: Final = -1
# A session younger than this is not evicted for another.
_EVICTION_MS: Final = 120_000
_MAX_EPOCH: Final = 2**31 - 1
_BY_TOPIC_ID: Final = 13

Key = tuple[bytes | str, int]


@define(slots=True, eq=False)
class FetchSession:
    """What one client is fetching. `epoch` is the one its next request must carry."""

    id: int
    uses_topic_ids: bool
    created_ms: float
    last_used_ms: float
    epoch: int = 1
    targets: dict[Key, FetchTarget] = field(factory=dict)

    def advance(self) -> None:
        self.epoch = 1 if self.epoch == _MAX_EPOCH else self.epoch + 1


class Kind(Enum):
    SESSIONLESS = 0
    FULL = 1
    INCREMENTAL = 2
    REFUSED = 3


@define(slots=True, eq=False)
class FetchPlan:
    """What a request asks for once its session is known. `error` only when REFUSED; `session` only when INCREMENTAL."""

    kind: Kind
    targets: list[FetchTarget]
    session: FetchSession | None = None
    error: ErrorCode = ErrorCode.NONE


class FetchSessions:
    """All sessions of a broker.

    slots: max.incremental.fetch.session.cache.slots. random_id: gives a positive int32.
    """

    def __init__(self, slots: int, monotonic_ms: Callable[[], float], random_id: Callable[[], int]) -> None:
        self._slots = slots
        self._monotonic_ms = monotonic_ms
        self._random_id = random_id
        self._sessions: dict[int, FetchSession] = {}

    def forget_all(self) -> None:
        """The node stops."""
        self._sessions.clear()

    def __len__(self) -> int:
        return len(self._sessions)

    def targets_of(self, session_id: int) -> list[FetchTarget]:
        """What a session fetches; nothing of one that is not there."""
        session = self._sessions.get(session_id)
        return [] if session is None else list(session.targets.values())

    def plan(self, request: FetchRequest, api_version: int) -> FetchPlan:
        """Find or end the session a request speaks of, and apply what it changes."""
        epoch = request.session_epoch
        if epoch in (INITIAL_EPOCH, FINAL_EPOCH):
            if request.session_id:
                self._sessions.pop(request.session_id, None)
            kind = Kind.SESSIONLESS if epoch == FINAL_EPOCH else Kind.FULL
            return FetchPlan(kind, list(_targets_of(request, api_version >= _BY_TOPIC_ID).values()))
        session = self._sessions.get(request.session_id)
        if session is None:
            return FetchPlan(Kind.REFUSED, [], error=ErrorCode.FETCH_SESSION_ID_NOT_FOUND)
        if session.uses_topic_ids != (api_version >= _BY_TOPIC_ID):
            return FetchPlan(Kind.REFUSED, [], error=ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR)
        if session.epoch != epoch:
            return FetchPlan(Kind.REFUSED, [], error=ErrorCode.INVALID_FETCH_SESSION_EPOCH)
        if request.topics or request.forgotten_topics_data:
            _update(session, request)
            if not session.targets:
                del self._sessions[session.id]
                return FetchPlan(Kind.SESSIONLESS, [])
        session.advance()
        session.last_used_ms = self._monotonic_ms()
        return FetchPlan(Kind.INCREMENTAL, list(session.targets.values()), session)

    def create(self, targets: list[FetchTarget], uses_topic_ids: bool) -> int:
        """A new session for a full fetch's partitions: its id, or 0 when there is no slot to be had."""
        now_ms = self._monotonic_ms()
        if len(self._sessions) >= self._slots and not self._evict(len(targets), now_ms):
            return 0
        while (session_id := self._random_id()) in self._sessions or session_id <= 0:
            pass
        session = FetchSession(session_id, uses_topic_ids, now_ms, now_ms)
        for target in targets:
            session.targets[(target.topic_id if uses_topic_ids else target.topic, target.index)] = target
        self._sessions[session_id] = session
        return session_id

    def _evict(self, size: int, now_ms: float) -> bool:
        """Make room: a session unused for two minutes goes, else a smaller one older than that."""
        if not self._sessions:
            return False
        stale = min(self._sessions.values(), key=lambda session: session.last_used_ms)
        if now_ms - stale.last_used_ms > _EVICTION_MS:
            del self._sessions[stale.id]
            return True
        smallest = min(self._sessions.values(), key=lambda session: len(session.targets))
        if len(smallest.targets) < size and now_ms - smallest.created_ms > _EVICTION_MS:
            del self._sessions[smallest.id]
            return True
        return False


def _targets_of(request: FetchRequest, by_id: bool) -> dict[Key, FetchTarget]:
    targets: dict[Key, FetchTarget] = {}
    for topic in request.topics:
        name = topic.topic
        topic_id = topic.topic_id
        key = topic_id if by_id else name
        for wanted in topic.partitions:
            targets[(key, wanted.partition)] = FetchTarget(
                name,
                topic_id,
                wanted.partition,
                wanted.fetch_offset,
                wanted.partition_max_bytes,
                wanted.current_leader_epoch,
                wanted.last_fetched_epoch,
            )
    return targets


def _update(session: FetchSession, request: FetchRequest) -> None:
    by_id = session.uses_topic_ids
    for key, wanted in _targets_of(request, by_id).items():
        known = session.targets.get(key)
        if known is None:
            session.targets[key] = wanted
        else:
            known.offset = wanted.offset
            known.max_bytes = wanted.max_bytes
            known.current_leader_epoch = wanted.current_leader_epoch
            known.last_fetched_epoch = wanted.last_fetched_epoch
    for forgotten in request.forgotten_topics_data:
        for index in forgotten.partitions:
            session.targets.pop((forgotten.topic_id if by_id else forgotten.topic, index), None)


def remember(target: FetchTarget, data: PartitionData, has_records: bool) -> bool:
    """Note what an answer tells of a partition. True when an incremental answer has to name it.

    (Kafka: CachedPartition.maybeUpdateResponseData)
    """
    tell = has_records
    if target.sent_high_watermark != data.high_watermark:
        target.sent_high_watermark = data.high_watermark
        tell = True
    if target.sent_log_start_offset != data.log_start_offset:
        target.sent_log_start_offset = data.log_start_offset
        tell = True
    if data.preferred_read_replica >= 0:
        tell = True
    if data.error_code != 0:
        # So that the partition is named again when the error is over.
        target.sent_high_watermark = -1
        tell = True
    if data.diverging_epoch.epoch != -1:
        tell = True
    return tell


def move_to_end(session: FetchSession, target: FetchTarget) -> None:
    """A partition that gave data waits for the others."""
    if len(session.targets) > 1:
        key = (target.topic_id if session.uses_topic_ids else target.topic, target.index)
        if key in session.targets:
            del session.targets[key]
            session.targets[key] = target
