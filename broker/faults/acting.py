"""The interceptor: what rules do to one request.

Rules are asked in the order they were added. All that match act together (their delays add up), until one ends the
matter: the connection or the request dropped, an error for the whole. Errors for parts of a request take these parts
away from later rules and from the handler; the rest is handled as ever, and the answers are put together.

Where a request names nothing and means all (Metadata of all topics), an error is decided by what the answer tells of.
Fetches with an error are always handled, without waiting: their session goes on in step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from attrs import define, field

from broker.deferred import Deferred
from broker.faults.answers import (
    Element,
    Failure,
    Key,
    Resolve,
    Subject,
    copied,
    described,
    elements,
    error_field_of_whole,
    layout_for,
    narrowed,
    response_elements,
    whole_error,
    whole_subject,
    with_errors,
)
from broker.faults.layouts import Layout, answers_only, field_of, in_version, layouts_of
from broker.faults.rules import Facts, Rule, Seen
from broker.routes import api_name
from kwire.api_keys import ApiKey
from kwire.error_codes import ErrorCode
from kwire.messages import request_class, response_class

if TYPE_CHECKING:
    from broker.clock import Clock
    from broker.fetch.target import FetchTarget
    from broker.interception import Exchange

_OF_THE_WHOLE: Final = {
    ApiKey.FETCH: frozenset(
        (
            ErrorCode.FETCH_SESSION_ID_NOT_FOUND,
            ErrorCode.INVALID_FETCH_SESSION_EPOCH,
            ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR,
        )
    ),
    ApiKey.METADATA: frozenset((ErrorCode.REBOOTSTRAP_REQUIRED,)),
}
"""Errors that are told of the whole, whatever the request asks for."""
_SHOWN: Final = 200
_ACKS_0: Final = "a produce request with acks=0 failed"


@define(slots=True)
class _Merge:
    """Errors for parts of a request, by one layout."""

    told: list[Element]
    failures: dict[Key, Failure] = field(factory=dict)
    narrows: set[Key] = field(factory=set)


@define(slots=True)
class _Plan:
    """What is decided of one exchange. `open`: rules that decide by the answer."""

    merges: dict[Layout, _Merge] = field(factory=dict)
    whole: Failure | None = None
    whole_after: Failure | None = None
    close: str | None = None
    close_after: str | None = None
    drop_request: bool = False
    drop_reply: bool = False
    throttle_ms: int | None = None
    cut: list[int] = field(factory=list)
    corrupt: list[Rule] = field(factory=list)
    delay_ms: int = 0
    delay_after_ms: int = 0
    stalls: list[Rule] = field(factory=list)
    stalls_after: list[Rule] = field(factory=list)
    open: list[tuple[Rule, Layout]] = field(factory=list)


class FaultInterceptor:
    """Acts by the rules `rules_of(api)` gives. See the module.

    session_targets: (node id, fetch session id) -> what it fetches. rule_over: called when a rule has acted for the
    last time, or was found expired.
    """

    def __init__(
        self,
        clock: Clock,
        rules_by_api: Mapping[ApiKey, Sequence[Rule]],
        resolve: Resolve,
        session_targets: Callable[[int, int], list[FetchTarget]],
        rule_over: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._rules_by_api = rules_by_api
        self._resolve = resolve
        self._session_targets = session_targets
        self._rule_over = rule_over

    # -- before

    def before(self, exchange: Exchange) -> Deferred[None] | None:
        rules = self._rules_by_api.get(exchange.api)
        if not rules or exchange.request is None:
            return None
        connection = exchange.ctx.connection
        facts = Facts(
            exchange.ctx.api_version,
            exchange.ctx.client_id,
            connection.client_software_name,
            connection.client_software_version,
            connection.node_id,
            connection.listener,
        )
        plan: _Plan | None = None
        over = False
        for rule in rules:
            if rule.is_over(self._clock.monotonic_ms(), self._clock.now_ms()):
                over = True
                continue
            if not rule.fits(facts):
                self._note(rule, exchange, "other")
                continue
            if plan is None:
                plan = _Plan()
            matched, fired = rule.matched, rule.fired
            self._consider(rule, exchange, plan)
            self._note(
                rule, exchange, "fired" if rule.fired > fired else "passed" if rule.matched > matched else "other"
            )
            over = over or rule.is_spent
            if plan.close is not None or plan.drop_request or plan.whole is not None:
                break
        if over:
            self._rule_over()
        if plan is None:
            return None
        exchange.plans[self] = plan
        waiting = self._waiting(exchange, plan.delay_ms, plan.stalls)
        if waiting is None:
            self._settle(exchange, plan)
            return None
        settled: Deferred[None] = Deferred()

        def settle(_done: Deferred[None]) -> None:
            try:
                self._settle(exchange, plan)
            except Exception as error:  # the exchange's to tell, not the clock's, which has called us
                settled.fail(error)
            else:
                settled.resolve(None)

        waiting.add_callback(settle)
        return settled

    def _note(self, rule: Rule, exchange: Exchange, outcome: str) -> None:
        ctx = exchange.ctx
        about = described(exchange.api, ctx.api_version, exchange.request, self._resolve)
        client_id = None if ctx.client_id is None else ctx.client_id[:_SHOWN]
        rule.recent.append(
            Seen(api_name(exchange.api), ctx.api_version, client_id, about, outcome, exchange.began_at_ms)
        )

    def _consider(self, rule: Rule, exchange: Exchange, plan: _Plan) -> None:
        """Ask one rule, and note in the plan what it does."""
        spec = rule.spec
        if spec.error is not None:
            self._consider_error(rule, exchange, plan)
            return
        if spec.names_elements and not self._fits_request(rule, exchange, plan):
            return
        if not rule.take():
            return
        self._act(rule, exchange, plan)
        after = spec.when == "after"
        if spec.drop_connection:
            exchange.notes.append(f"{rule}: connection dropped")
            if after:
                plan.close_after = str(rule)
            else:
                plan.close = str(rule)
        elif spec.drop_request:
            exchange.notes.append(f"{rule}: request dropped")
            plan.drop_request = True
        elif spec.drop_reply:
            exchange.notes.append(f"{rule}: reply dropped")
            plan.drop_reply = True
        elif spec.corrupt is not None:
            exchange.notes.append(f"{rule}: answer corrupted")
            plan.corrupt.append(rule)
        elif spec.truncate is not None:
            exchange.notes.append(f"{rule}: answer cut off")
            plan.cut.append(spec.truncate)
        elif spec.stall:
            exchange.notes.append(f"{rule}: stalled")
            (plan.stalls_after if after else plan.stalls).append(rule)

    def _act(self, rule: Rule, exchange: Exchange, plan: _Plan) -> None:
        """What any rule that fires may do: delay, throttle."""
        spec = rule.spec
        if spec.delay_ms is not None:
            delay_ms = rule.delay_ms()
            exchange.notes.append(f"{rule}: {delay_ms} ms of delay")
            if spec.when == "after":
                plan.delay_after_ms += delay_ms
            else:
                plan.delay_ms += delay_ms
        if spec.throttle_ms is not None:
            exchange.notes.append(f"{rule}: throttled for {spec.throttle_ms} ms")
            plan.throttle_ms = max(plan.throttle_ms or 0, spec.throttle_ms)

    def _fits_request(self, rule: Rule, exchange: Exchange, plan: _Plan) -> bool:
        """Whether any part of a request is one the rule is about. A request that means all is about any topic."""
        api, version = exchange.api, exchange.ctx.api_version
        found = layouts_of(api, version)
        if not found:
            return rule.fits_subject(whole_subject(exchange.request))
        told = self._told(exchange, found[0], plan)
        if rule.fitting(told):
            return True
        spec = rule.spec
        if not told and spec.topic is None and spec.partition is None:
            return rule.fits_subject(whole_subject(exchange.request))
        return _means_all(exchange.request, found[0]) and spec.group is None and spec.transactional_id is None

    def _told(self, exchange: Exchange, layout: Layout, plan: _Plan) -> list[Element]:
        """The request's elements by a layout; of a fetch also those of its session."""
        merge = plan.merges.get(layout)
        if merge is None:
            told = elements(exchange.request, layout, self._resolve)
            if exchange.api is ApiKey.FETCH and exchange.request.session_id:
                told += self._of_session(exchange, {each.key for each in told})
            merge = plan.merges[layout] = _Merge(told)
        return merge.told

    def _of_session(self, exchange: Exchange, named: set[Key]) -> list[Element]:
        found = []
        for target in self._session_targets(exchange.ctx.node_id, exchange.request.session_id):
            name = target.topic or self._resolve(target.topic_id)
            key = (name or target.topic_id, target.index)
            if key not in named:
                found.append(Element(key, (target, target), Subject(name or None, target.index)))
        return found

    def _consider_error(self, rule: Rule, exchange: Exchange, plan: _Plan) -> None:
        spec = rule.spec
        assert spec.error is not None
        api, version = exchange.api, exchange.ctx.api_version
        failure = Failure(spec.error, spec.message)
        named = spec.topic is not None or spec.partition is not None
        layout = layout_for(api, version, named=named)
        if spec.error in _OF_THE_WHOLE.get(api, ()) and error_field_of_whole(api, version):
            if self._fits_request(rule, exchange, plan) and rule.take():
                self._fail_whole(rule, failure, exchange, plan)
            return
        by_answer = answers_only(api) if spec.partition is not None else None
        if by_answer is not None:
            plan.open.append((rule, by_answer))
            return
        if layout is None:
            if self._fits_request(rule, exchange, plan) and rule.take():
                self._fail_whole(rule, failure, exchange, plan)
            return
        told = self._told(exchange, layout, plan)
        merge = plan.merges[layout]
        keys = [key for key in rule.fitting(told) if key not in merge.failures]
        if not keys:
            if _means_all(exchange.request, layout):
                plan.open.append((rule, layout))
            return
        if not rule.take():
            return
        self._act(rule, exchange, plan)
        exchange.notes.append(f"{rule}: error {spec.error.name}" + (f" for {len(keys)}" if len(told) > 1 else ""))
        merge.failures.update(dict.fromkeys(keys, failure))
        if spec.when == "before":
            merge.narrows.update(keys)

    def _fail_whole(self, rule: Rule, failure: Failure, exchange: Exchange, plan: _Plan) -> None:
        self._act(rule, exchange, plan)
        exchange.notes.append(f"{rule}: error {failure.code.name}")
        if rule.spec.when == "after":
            plan.whole_after = failure
        else:
            plan.whole = failure

    def _waiting(self, exchange: Exchange, delay_ms: int, stalls: Sequence[Rule]) -> Deferred[None] | None:
        """Done when the delay is over and every stalling rule has let go; None: at once."""
        waits: list[Deferred[None]] = []
        forgets: list[Callable[[], None]] = []
        if delay_ms > 0:
            delayed: Deferred[None] = Deferred()
            forgets.append(self._clock.call_later(delay_ms, lambda: delayed.resolve(None)).cancel)
            waits.append(delayed)
        for rule in stalls:
            waits.append(self._stalled(rule, forgets))
        if not waits:
            return None

        def forget_all() -> None:
            for forget in forgets:
                forget()

        exchange.when_gone = forget_all
        done: Deferred[None] = Deferred()
        left = len(waits)

        def one(_finished: Deferred[None]) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                done.resolve(None)

        for each in waits:
            each.add_callback(one)
        return done

    def _stalled(self, rule: Rule, forgets: list[Callable[[], None]]) -> Deferred[None]:
        """forgets: gets what lets go of all that is kept for it."""
        released: Deferred[None] = Deferred()
        rule.stalled.add(released)
        forgets.append(lambda: rule.stalled.discard(released))
        if rule.spec.stall is not True:

            def time_over() -> None:
                rule.stalled.discard(released)
                if not released.done:
                    released.resolve(None)

            forgets.append(self._clock.call_later(rule.spec.stall, time_over).cancel)
        return released

    def _settle(self, exchange: Exchange, plan: _Plan) -> None:
        """Do what is decided, once the waiting is over."""
        if plan.close is not None:
            exchange.close(plan.close)
        elif plan.drop_request:
            exchange.drop_request()
        elif plan.whole is not None:
            exchange.answer(whole_error(exchange.api, exchange.ctx.api_version, exchange.request, plan.whole))
        elif any(merge.narrows for merge in plan.merges.values()):
            self._narrow(exchange, plan)

    def _narrow(self, exchange: Exchange, plan: _Plan) -> None:
        """Take from the request what has an error already; with nothing left, the handler is not asked."""
        request, api = exchange.request, exchange.api
        if api is ApiKey.FETCH:
            quick = copied(request)
            quick.max_wait_ms = 0
            exchange.request = quick
            return
        emptied = False
        for layout, merge in plan.merges.items():
            if merge.narrows:
                request = narrowed(request, layout, merge.narrows, self._resolve)
                emptied = emptied or len(merge.narrows) == len({each.key for each in merge.told})
        if api is ApiKey.PRODUCE and request.acks == 0:
            if emptied:
                exchange.close(_ACKS_0)
            else:
                plan.close_after = _ACKS_0
        exchange.request = request
        if emptied and not exchange.decided:
            exchange.answer(response_class(api)())

    # -- after

    def after(self, exchange: Exchange) -> Deferred[None] | None:
        plan: _Plan | None = exchange.plans.get(self)
        if plan is None:
            return None
        self._put_errors(exchange, plan)
        response = exchange.response
        if plan.throttle_ms is not None:
            if response is not None and in_version(type(response), "throttle_time_ms", exchange.ctx.api_version):
                told = copied(response)
                told.throttle_time_ms = plan.throttle_ms
                exchange.response = told
            exchange.mute(plan.throttle_ms)
        for rule in plan.corrupt:
            exchange.change_bytes(rule.corrupted)
        for at in plan.cut:
            exchange.cut(at)
        if plan.drop_reply:
            exchange.drop_reply()
        waiting = self._waiting(exchange, plan.delay_after_ms, plan.stalls_after)
        if plan.close_after is None:
            return waiting
        if waiting is None:
            exchange.close(plan.close_after)
            return None
        waiting.add_callback(lambda _done: exchange.close(plan.close_after or ""))
        return waiting

    def _put_errors(self, exchange: Exchange, plan: _Plan) -> None:
        response = exchange.response
        if plan.whole is not None or exchange.outcome != "open":
            return
        version = exchange.ctx.api_version
        self._decide_open(exchange, plan, response)
        failed = plan.whole_after is not None or any(merge.failures for merge in plan.merges.values())
        if not failed:
            return
        if response is None:
            if exchange.api is ApiKey.PRODUCE:
                plan.close_after = _ACKS_0  # as Kafka does when such a request fails
            return
        if plan.whole_after is not None:
            exchange.response = whole_error(exchange.api, version, exchange.sent, plan.whole_after)
            return
        for layout, merge in plan.merges.items():
            if merge.failures:
                response = with_errors(
                    response, layout, version, merge.told, merge.failures, exchange.sent, self._resolve
                )
        exchange.response = response

    def _decide_open(self, exchange: Exchange, plan: _Plan, response: Any) -> None:
        """Rules whose elements only the answer tells of."""
        if response is None:
            return
        for rule, layout in plan.open:
            if rule.is_over(self._clock.monotonic_ms(), self._clock.now_ms()):
                continue
            told = response_elements(exchange.sent, response, layout, self._resolve)
            merge = plan.merges.setdefault(layout, _Merge(told))
            if not merge.told:
                merge.told = told
            keys = [key for key in rule.fitting(told) if key not in merge.failures]
            if not keys or not rule.take():
                continue
            assert rule.spec.error is not None
            self._act(rule, exchange, plan)
            exchange.notes.append(f"{rule}: error {rule.spec.error.name} for {len(keys)}")
            merge.failures.update(dict.fromkeys(keys, Failure(rule.spec.error, rule.spec.message)))
            self._note(rule, exchange, "fired")
            if rule.is_spent:
                self._rule_over()


def _means_all(request: Any, layout: Layout) -> bool:
    """Whether a request names nothing and means everything there is."""
    name = layout.levels[0].request
    declared = field_of(request_class(ApiKey(type(request).message_info.number)), name)
    value = getattr(request, name)
    return value is None or (not value and declared is not None and type(request).__name__ in _EMPTY_MEANS_ALL)


_EMPTY_MEANS_ALL: Final = frozenset(("DescribeTopicPartitionsRequest",))
