"""A cluster's time: freeze it, push it on, let it run faster. It never goes back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from attrs import frozen

if TYPE_CHECKING:
    from kwire.testing.cluster import Cluster


@frozen
class ClockState:
    """now_ms: wall time, milliseconds since 1970. state: "running", "frozen" or "advancing". rate: milliseconds for one
    of the machine's. driven: false while it simply is the machine's clock. ahead_ms: of the machine's clock.
    next_due_in_ms: of its own time, until something comes due; None when nothing does.
    """

    now_ms: int
    state: str
    rate: float
    driven: bool
    ahead_ms: int
    next_due_in_ms: float | None

    @property
    def now(self) -> datetime:
        """The wall time, in UTC."""
        return datetime.fromtimestamp(self.now_ms / 1000, UTC)


class Clock:
    """`cluster.clock`. Orders return the clock's state after them; a refused one raises ControlRequestError.

    Session and transaction timeouts, retention, expiry and requests that wait obey it, timeouts of connections do not.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._http = cluster.http
        self._path = f"{cluster.path}/clock"

    def show(self) -> ClockState:
        return _state(self._http.request("GET", self._path))

    @property
    def now_ms(self) -> int:
        """The cluster's wall time, milliseconds since 1970."""
        return self.show().now_ms

    def freeze(self) -> ClockState:
        """Let it stand still until `resume`; `advance` moves it all the same."""
        return self._order("freeze")

    def resume(self) -> ClockState:
        """Let it go on from where it stands."""
        return self._order("resume")

    @contextmanager
    def frozen(self) -> Iterator[Clock]:
        """`with cluster.clock.frozen() as clock:` it stands within the block, but for what `advance` moves it."""
        self.freeze()
        try:
            yield self
        finally:
            self.resume()

    def advance(
        self,
        by: timedelta | None = None,
        *,
        ms: float = 0,
        seconds: float = 0,
        minutes: float = 0,
        hours: float = 0,
        days: float = 0,
    ) -> ClockState:
        """Move it on by all that is given, together. Back when all that came due on the way is done.

        `advance(days=7)`, `advance(ms=1500)`, `advance(timedelta(hours=1))`.
        """
        span = timedelta(milliseconds=ms, seconds=seconds, minutes=minutes, hours=hours, days=days)
        return self._order("advance", {"ms": (span + (by or timedelta())) / timedelta(milliseconds=1)})

    def advance_to(self, when: datetime | int) -> ClockState:
        """Move it on to a time: a datetime (without a zone: local time), or milliseconds since 1970."""
        to_ms = round(when.timestamp() * 1000) if isinstance(when, datetime) else when
        return self._order("advance", {"to_ms": to_ms})

    def set_rate(self, rate: float) -> ClockState:
        """So many milliseconds for one of the machine's: 60 lets a minute pass in a second."""
        return self._order("rate", {"rate": rate})

    def _order(self, name: str, body: dict[str, Any] | None = None) -> ClockState:
        return _state(self._http.request("POST", f"{self._path}/{name}", body))


def _state(found: dict[str, Any]) -> ClockState:
    names = ("now_ms", "state", "rate", "driven", "ahead_ms", "next_due_in_ms")
    return ClockState(**{name: found[name] for name in names})
