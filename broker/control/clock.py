"""`/v1/clusters/{cluster}/clock`: what time it is there, freeze, resume, advance, rate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from broker.clock import real_monotonic_ms, real_now_ms
from broker.control.plane import cluster_of
from broker.deferred import Deferred
from broker.driven_clock import LEAST_RATE, MOST_ADVANCE_MS, MOST_RATE, ClockError, DrivenClock
from broker.http.endpoint import Call, ControlError, Endpoint

if TYPE_CHECKING:
    from broker.cluster import Cluster


class ClockView(msgspec.Struct):
    """A cluster's clock.

    now_ms: its wall time, milliseconds since 1970. state: "running" (at `rate` times the machine's pace), "frozen", or
    "advancing" (an advance is under way). driven: false while it simply is the machine's clock. ahead_ms: how far it is
    ahead of the machine's, negative when behind. next_due_in_ms: of its own time, until the next timer; null without.
    """

    now_ms: int
    state: Literal["running", "frozen", "advancing"]
    rate: float
    driven: bool
    ahead_ms: int
    next_due_in_ms: float | None


class Advance(msgspec.Struct, forbid_unknown_fields=True):
    """One of the two: `ms` to move on by, or `to_ms`, the wall time to move on to."""

    ms: Annotated[float | None, Meta(description=f"0 to {MOST_ADVANCE_MS} (100 years)")] = None
    to_ms: Annotated[int | None, Meta(description="milliseconds since 1970, not before the cluster's now_ms")] = None


class Rate(msgspec.Struct, forbid_unknown_fields=True):
    """rate: milliseconds of the cluster's time for one of the machine's."""

    rate: Annotated[float, Meta(description=f"{LEAST_RATE:g} to {MOST_RATE:g}; 1 is the machine's pace")]


def clock_of(call: Call) -> DrivenClock:
    """The clock of the cluster a path names. Raises UnknownClusterError (404), ControlError 409: not to be driven."""
    virtual = cluster_of(call)
    clock = virtual.clock
    if not isinstance(clock, DrivenClock):
        raise ControlError(
            409,
            "clock_not_driven",
            f"the clock of cluster {virtual.name!r} is not to be driven: it is its program's own. Create a cluster"
            " (POST /v1/clusters) to drive the time of.",
        )
    return clock


def view(clock: DrivenClock) -> ClockView:
    now_ms = clock.now_ms()
    due_ms = clock.timers.next_due_ms()
    return ClockView(
        now_ms=now_ms,
        state="advancing" if clock.advancing else "frozen" if clock.frozen else "running",
        rate=clock.rate,
        driven=clock.driven,
        ahead_ms=now_ms - real_now_ms() if clock.driven else 0,
        next_due_in_ms=None if due_ms is None else max(due_ms - clock.monotonic_ms(), 0.0),
    )


def refusal(error: ClockError) -> ControlError:
    return ControlError(400, "clock_refused", str(error))


def show_clock(call: Call) -> ClockView:
    return view(clock_of(call))


async def freeze(call: Call) -> ClockView:
    clock = clock_of(call)
    await _free(call, clock)
    clock.freeze()
    return view(clock)


async def resume(call: Call) -> ClockView:
    clock = clock_of(call)
    await _free(call, clock)
    clock.resume()
    return view(clock)


async def set_rate(call: Call, body: Rate) -> ClockView:
    clock = clock_of(call)
    await _free(call, clock)
    try:
        clock.set_rate(body.rate)
    except ClockError as error:
        raise refusal(error) from None
    return view(clock)


async def advance(call: Call, body: Advance) -> ClockView:
    clock = clock_of(call)
    if (body.ms is None) == (body.to_ms is None):
        raise ControlError(400, "invalid_body", "give either ms (by how much) or to_ms (to what time)", allowed=_ONE_OF)
    cluster = cluster_of(call).cluster
    await _settled(call, cluster)
    # Whether it is a way forward is known when whoever is before us has arrived.
    await _free(call, clock)
    try:
        ms = clock.ms_until(body.to_ms) if body.ms is None and body.to_ms is not None else body.ms or 0.0
        way = clock.advance_in_portions(ms)
    except ClockError as error:
        raise refusal(error) from None
    try:
        for _ in way:
            await call.wait(_turn(call))
    finally:
        # The client has gone: it arrives all the same, a clock is not left on its way.
        for _ in way:
            pass
    arrived = view(clock)
    await _settled(call, cluster)
    return arrived


async def _free(call: Call, clock: DrivenClock) -> None:
    """No advance is under way. Whoever waited as well may have begun one between our being woken and our turn."""
    while clock.advancing:
        await call.wait(clock.idle())


async def _settled(call: Call, cluster: Cluster) -> None:
    """What threads have in hand is done, and what follows from it: no fsync is overtaken by a week, and what an advance
    sets in motion (files that go, a cleaning) is there when it is answered. Not for ever: there may be no end to it.
    """
    until_ms = real_monotonic_ms() + _SETTLES_FOR_MS
    quiet = 0
    while quiet < _QUIET_TURNS:
        quiet = 0 if cluster.threads.running else quiet + 1
        if not await call.wait_at_most(cluster.threads.idle(), until_ms - real_monotonic_ms()):
            return
        await call.wait(_turn(call))


def _turn(call: Call) -> Deferred[None]:
    """Done when the loop has served what waits."""
    turn: Deferred[None] = Deferred()
    call.plane.server.reactor.call_soon(lambda: turn.resolve(None))
    return turn


_SETTLES_FOR_MS = 2_000.0
# What a result sets in motion is begun in the turn after it, or in the one after that.
_QUIET_TURNS = 3
_ONE_OF = ['{"ms": 60000}', '{"to_ms": 1700000000000}']
_PATH = "/v1/clusters/{cluster}/clock"
_WHAT_OBEYS = (
    "What obeys it: session and rebalance timeouts, transaction timeouts, expiry of offsets, producers and"
    " transactional ids, retention, compaction's rhythm, requests that wait (fetches, joins). What does not: timeouts"
    " of connections."
)

endpoints = [
    Endpoint("GET", _PATH, show_clock, answer=ClockView, summary="What time it is in a cluster", tag="clock"),
    Endpoint(
        "POST",
        f"{_PATH}/freeze",
        freeze,
        answer=ClockView,
        summary="Let a cluster's clock stand still",
        description=_WHAT_OBEYS,
        tag="clock",
    ),
    Endpoint(
        "POST",
        f"{_PATH}/resume",
        resume,
        answer=ClockView,
        summary="Let a frozen clock go on from where it stands",
        tag="clock",
    ),
    Endpoint(
        "POST",
        f"{_PATH}/advance",
        advance,
        body=Advance,
        answer=ClockView,
        summary="Move a cluster's clock on, by a time or to a time; never back",
        description="Answered when all that came due on the way is done, each at its own time. A frozen clock stays"
        " frozen. What only looks round from time to time comes round 32 times on a long way at the utmost. "
        + _WHAT_OBEYS,
        tag="clock",
    ),
    Endpoint(
        "POST",
        f"{_PATH}/rate",
        set_rate,
        body=Rate,
        answer=ClockView,
        summary="Let a cluster's clock run faster or slower than the machine's",
        tag="clock",
    ),
]
