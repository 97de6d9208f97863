"""One shard of a coordinator: a partition of its internal topic, and the state that partition's records make.

A shard is one FIFO. An operation decides, appends and replays without waiting for anything; its answers are given when
all that was appended up to then is committed. When an append or a commit fails, everything that waits is refused and
the shard is read anew from its log, so no decision ever has to be taken back. (Kafka: CoordinatorRuntime)

What the state is, how records become bytes and what timers mean is the `Machine`'s (broker.coordinator.ports): groups
and transactions each have one.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from enum import Enum
from functools import partial
from typing import Any, Generic, TypeAlias, TypeVar

from attrs import define

from broker.coordinator.ports import UPKEEP_KEY, CancellableTimer, CoordinatorClock, CoordinatorLog, Machine
from broker.decision import Decision, TimerKey, Waiter
from broker.deferred import Deferred
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError, KwireError
from log.append_errors import RecordsRejectedError

log = logging.getLogger(__name__)

StateT = TypeVar("StateT")
AnyDecision: TypeAlias = Decision[Any]
Operation: TypeAlias = Callable[[AnyDecision], None]
COMMIT_KEY: TimerKey = ("commit",)
RELOAD_DELAY_MS = 1_000.0
FIRST_LOAD_BYTES = 2 * 1024 * 1024
"""What `load` reads at once: a usual log wholly. Then TURN_LOAD_BYTES a turn, about 10 ms."""
TURN_LOAD_BYTES = 256 * 1024


class ShardStatus(Enum):
    LOADING = "loading"
    ACTIVE = "active"
    FAILED = "failed"
    CLOSED = "closed"


@define(slots=True)
class Pending:
    """Answers that wait until the log is committed up to `offset`, but no longer than to `deadline_ms`.

    then: runs first. refused: runs instead when the commit did not come in time.
    """

    offset: int
    deadline_ms: float
    answers: list[tuple[Waiter, Any]]
    then: Callable[[AnyDecision], None] | None
    refused: Callable[[ErrorCode, AnyDecision], None] | None


class Shard(Generic[StateT]):
    """See the module. `load` first; until it is through every operation raises COORDINATOR_LOAD_IN_PROGRESS."""

    def __init__(
        self, partition: int, storage: CoordinatorLog, clock: CoordinatorClock, machine: Machine[StateT]
    ) -> None:
        self.partition = partition
        self.status = ShardStatus.LOADING
        self._storage = storage
        self._clock = clock
        self._machine = machine
        self.state: StateT = machine.new_state()
        self._timers: dict[TimerKey, CancellableTimer] = {}
        self._pending: deque[Pending] = deque()
        self._appended = 0
        self._committed = 0
        self._loader: Iterator[int] | None = None
        self._loaded_at_ms = float("-inf")
        self._short_of_replicas = False
        self._when_active: list[Callable[[StateT, AnyDecision], None]] = []

    # Operations

    def check_active(self) -> None:
        """ApiError unless operations are served."""
        if self.status is ShardStatus.LOADING:
            raise ApiError(ErrorCode.COORDINATOR_LOAD_IN_PROGRESS)
        if self.status is not ShardStatus.ACTIVE:
            raise ApiError(ErrorCode.NOT_COORDINATOR)

    def check_stores(self) -> None:
        """COORDINATOR_NOT_AVAILABLE where too few replicas were in sync for what came last, until it is tried again.

        Kafka tells commits so each time. "Loading" would be told a hundred times, and some clients hand that on.
        """
        if self._short_of_replicas:
            raise ApiError(ErrorCode.COORDINATOR_NOT_AVAILABLE)

    def submit(self, operate: Callable[[Waiter, AnyDecision], None]) -> Deferred[Any]:
        """Run an operation that answers `waiter`, now or later. ApiError: refused, nothing was changed."""
        self.check_active()
        waiter: Deferred[Any] = Deferred()
        state = self.state
        self.run(partial(operate, waiter))
        if state is not self.state and not waiter.done:
            # Loaded anew on the way: nobody else knows of this waiter.
            waiter.fail(ApiError(ErrorCode.UNKNOWN_SERVER_ERROR))
        return waiter

    def run(self, operate: Operation) -> None:
        """Decide and carry out. ApiError: `operate` refused, and changed nothing.

        Any other error is a bug, which may have left the state halfway: it is loaded anew, the other shards and the
        broker go on.
        """
        decision: AnyDecision = Decision(self._clock.now_ms(), self._clock.monotonic_ms())
        try:
            operate(decision)
        except ApiError:
            raise
        except Exception as error:
            log.exception("partition %d: a decision failed", self.partition)
            self._fail(error, decision.answers)
            return
        self._carry_out(decision)

    def run_when_active(self, operate: Callable[[StateT, AnyDecision], None]) -> None:
        """Run an operation nobody waits for, as soon as the shard is loaded."""
        if self.status is ShardStatus.ACTIVE:
            self.run(partial(operate, self.state))
        elif self.status is ShardStatus.LOADING:
            self._when_active.append(operate)

    @property
    def leader_epoch(self) -> int:
        """The log's: what tells the coordinator of today from the one before (Kafka: the coordinator epoch)."""
        return self._storage.leader_epoch

    # Carrying out

    def _carry_out(self, decision: AnyDecision) -> None:
        for key, delay_ms in decision.timers:
            self.set_timer(key, delay_ms)
        if decision.records:
            self._append(decision)
        elif self._pending:
            self._wait(decision)
        else:
            self._finish(decision.answers, decision.on_committed)

    def _append(self, decision: AnyDecision) -> None:
        batches = self._machine.encode(decision, self._storage.max_batch_bytes)
        if batches is None:
            self._refuse(decision)
            return
        try:
            for batch in batches:
                self._appended = self._storage.append(batch, decision.in_transaction)
        except RecordsRejectedError as error:
            if decision.in_transaction is None:
                self._fail(error, decision.answers)
                return
            # The producer is fenced, or its transaction is over: its own affair, and nothing was appended.
            code = refusal_code(error)
            for waiter, _ in decision.answers:
                waiter.fail(ApiError(code))
            if decision.on_refused is not None:
                self.run(partial(decision.on_refused, code))
            return
        except Exception as error:
            # Whatever it was, the log may hold a part of it: read it anew.
            self._fail(error, decision.answers)
            return
        self._machine.replay(self.state, decision)
        committed = self._storage.committed(self._appended)
        if committed.done and not self._pending:
            try:
                committed.result()
            except Exception as error:
                self._fail(error, decision.answers)
                return
            self._committed = self._appended
            self._finish(decision.answers, decision.on_committed)
            return
        self._wait(decision)
        committed.add_callback(partial(self._commit_done, self.state, self._appended))

    def _refuse(self, decision: AnyDecision) -> None:
        """The records do not fit into a batch: nothing was appended, the live state goes on unstored."""
        log.error("partition %d: records of %s exceed max.message.bytes", self.partition, self._machine.noun)
        code = ErrorCode.UNKNOWN_SERVER_ERROR
        for waiter, _ in decision.answers:
            waiter.fail(ApiError(code))
        if decision.on_refused is not None:
            self.run(partial(decision.on_refused, code))

    def _wait(self, decision: AnyDecision) -> None:
        deadline_ms = decision.tick_ms + self._machine.commit_timeout_ms
        self._pending.append(
            Pending(self._appended, deadline_ms, decision.answers, decision.on_committed, decision.on_refused)
        )
        if COMMIT_KEY not in self._timers:
            self.set_timer(COMMIT_KEY, self._machine.commit_timeout_ms)

    def _commit_timer_fired(self) -> None:
        """Who has waited too long is told to ask again; what was appended may still be committed."""
        now_ms = self._clock.monotonic_ms()
        late = [pending for pending in self._pending if pending.deadline_ms <= now_ms]
        left = [pending for pending in self._pending if pending.deadline_ms > now_ms]
        if left:
            self.set_timer(COMMIT_KEY, left[0].deadline_ms - now_ms)
        for pending in late:
            answers, pending.answers = pending.answers, []
            refused, pending.refused = pending.refused, None
            for waiter, _ in answers:
                if not waiter.done:
                    waiter.fail(ApiError(ErrorCode.COORDINATOR_NOT_AVAILABLE))
            if refused is not None:
                pending.then = None
                later: AnyDecision = Decision(self._clock.now_ms(), now_ms)
                refused(ErrorCode.COORDINATOR_NOT_AVAILABLE, later)
                answers, later.answers = later.answers, []
                self._carry_out(later)
                # Refusals show nothing that could be lost: they do not wait as well.
                self._finish(answers, None)

    def _commit_done(self, state: StateT, offset: int, committed: Deferred[None]) -> None:
        if state is not self.state:
            return  # loaded anew since
        try:
            committed.result()
        except Exception as error:
            self._fail(error, [])
            return
        self._committed = max(self._committed, offset)
        while self._pending and self._pending[0].offset <= self._committed:
            pending = self._pending.popleft()
            self._finish(pending.answers, pending.then)
        if not self._pending:
            self.set_timer(COMMIT_KEY, None)

    def _finish(self, answers: list[tuple[Waiter, Any]], then: Callable[[AnyDecision], None] | None) -> None:
        """Committed: what the decision left to do, then the answers. The state is consistent before the first one."""
        if then is not None:
            later: AnyDecision = Decision(self._clock.now_ms(), self._clock.monotonic_ms())
            then(later)
            for key, delay_ms in later.timers:
                self.set_timer(key, delay_ms)
            answers = answers + later.answers
        for waiter, response in answers:
            if not waiter.done:
                waiter.resolve(response)

    # Timers

    def set_timer(self, key: TimerKey, delay_ms: float | None, *, again: bool = False) -> None:
        """again: not a deadline, but the next try of something that is tried until it succeeds (Clock.call_again)."""
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        if delay_ms is not None:
            call = self._clock.call_again if again or key is UPKEEP_KEY else self._clock.call_later
            self._timers[key] = call(delay_ms, partial(self._timer_fired, key))

    def _timer_fired(self, key: TimerKey) -> None:
        self._timers.pop(key, None)
        if self.status is not ShardStatus.ACTIVE:
            return
        if key is COMMIT_KEY:
            self._commit_timer_fired()
        else:
            self.run(partial(self._machine.timer_fired, self.state, key))

    # Loading

    def load(self) -> None:
        """Read the log: the first slice at once, the rest a slice a turn, so that other shards are served meanwhile."""
        self.status = ShardStatus.LOADING
        self._short_of_replicas = False
        self.state = self._machine.new_state()
        self._appended = self._committed = 0
        self._loader = self._read_log(self.state)
        self._load_next(FIRST_LOAD_BYTES)

    def _load_next(self, budget_bytes: int) -> None:
        loader = self._loader
        if loader is None or self.status is not ShardStatus.LOADING:
            return
        try:
            while budget_bytes > 0:
                budget_bytes -= next(loader)
        except StopIteration:
            self._loader = None
            self._loaded()
        except (ApiError, OSError) as error:
            log.error("partition %d: loading %s failed, trying again: %s", self.partition, self._machine.noun, error)
            self._loader = None
            self._clock.call_again(RELOAD_DELAY_MS, self._retry_load)
        except KwireError as error:
            # It would be the same again.
            log.error(
                "partition %d cannot be read, its %s are not served: %s", self.partition, self._machine.noun, error
            )
            self._load_failed()
        except Exception:
            # A bug. The other shards and the broker go on.
            log.exception("partition %d cannot be read, its %s are not served", self.partition, self._machine.noun)
            self._load_failed()
        else:
            self._clock.call_later(0, partial(self._load_next, TURN_LOAD_BYTES))

    def _load_failed(self) -> None:
        self._loader = None
        self._when_active.clear()
        self.status = ShardStatus.FAILED

    def _retry_load(self) -> None:
        if self.status is ShardStatus.LOADING and self._loader is None:
            self.load()

    def _read_log(self, state: StateT) -> Iterator[int]:
        now_ms = self._clock.now_ms()
        again = True
        while again:
            for chunk in self._storage.read_all():
                self._machine.read(state, chunk, now_ms)
                yield len(chunk)
            again = yield from self._machine.rest(state)

    def _loaded(self) -> None:
        count = self._machine.loaded(self.state)
        self.status = ShardStatus.ACTIVE
        self._loaded_at_ms = self._clock.monotonic_ms()
        self.run(partial(self._machine.begin, self.state))
        later, self._when_active = self._when_active, []
        for operate in later:
            self.run_when_active(operate)
        if count:
            log.info("partition %d: loaded %d %s", self.partition, count, self._machine.noun)

    # The end

    def _fail(self, error: BaseException, answers: list[tuple[Waiter, Any]]) -> None:
        log.error("partition %d: storing %s failed, loading them anew: %s", self.partition, self._machine.noun, error)
        refusal = ApiError(refusal_code(error))
        self._short_of_replicas = refusal.code is ErrorCode.COORDINATOR_NOT_AVAILABLE
        waiting = [waiter for waiter, _ in answers]
        for pending in self._pending:
            waiting += [waiter for waiter, _ in pending.answers]
        parked = self._drop_state()
        self.status = ShardStatus.LOADING
        self.state = self._machine.new_state()
        self._loader = None
        # At the next turn; not at once again when it failed right after loading.
        since_loaded_ms = self._clock.monotonic_ms() - self._loaded_at_ms
        self._clock.call_again(0 if since_loaded_ms >= RELOAD_DELAY_MS else RELOAD_DELAY_MS, self._retry_load)
        for waiter in waiting:
            if not waiter.done:
                waiter.fail(refusal)
        for waiter in parked:
            if not waiter.done:
                waiter.fail(ApiError(ErrorCode.NOT_COORDINATOR))

    def _drop_state(self) -> list[Waiter]:
        """Stop all timers, forget what is pending. Returns the parked joins and syncs."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._pending.clear()
        return self._machine.parked(self.state)

    def close(self) -> None:
        """Answer all that waits with NOT_COORDINATOR and stop."""
        self.status = ShardStatus.CLOSED
        self._short_of_replicas = False
        self._loader = None
        waiting = [waiter for pending in self._pending for waiter, _ in pending.answers]
        for waiter in waiting + self._drop_state():
            if not waiter.done:
                waiter.fail(ApiError(ErrorCode.NOT_COORDINATOR))


def refusal_code(error: BaseException) -> ErrorCode:
    """What a client is told when records could not be stored (Kafka: CoordinatorOperationExceptionHelper)."""
    if isinstance(error, ApiError):
        code = error.code
    else:
        code = ErrorCode.KAFKA_STORAGE_ERROR if isinstance(error, OSError) else ErrorCode.UNKNOWN_SERVER_ERROR
    if code in (
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode.NOT_ENOUGH_REPLICAS,
        ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        ErrorCode.REQUEST_TIMED_OUT,
    ):
        return ErrorCode.COORDINATOR_NOT_AVAILABLE
    if code in (ErrorCode.NOT_LEADER_OR_FOLLOWER, ErrorCode.KAFKA_STORAGE_ERROR):
        return ErrorCode.NOT_COORDINATOR
    if code in (ErrorCode.MESSAGE_TOO_LARGE, ErrorCode.RECORD_LIST_TOO_LARGE, ErrorCode.INVALID_FETCH_SIZE):
        return ErrorCode.UNKNOWN_SERVER_ERROR
    return code
