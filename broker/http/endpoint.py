"""What an endpoint is and what its handler gets and gives: the vocabulary of every module in `broker.control`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import trio
from attrs import define

from broker.deferred import Deferred, start

if TYPE_CHECKING:
    from broker.clock import Timer
    from broker.control.plane import ControlPlane

T = TypeVar("T")
CallLater = Callable[[float, Callable[[], None]], "Timer"]

# Events of a stream that wait for a client that reads slowly, and what they take of memory. More are dropped, with a
# notice of how many.
STREAM_QUEUE: Final = 1000
STREAM_BYTES: Final = 4 * 1024 * 1024


class ControlError(Exception):
    """A refusal that is told to the client as `{"error": {"code", "message", "allowed"?}}`.

    status: the HTTP status. code: for programs, in snake_case. message: what happened, why, what to do.
    allowed: what would have been taken, where that can be listed.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        allowed: Sequence[Any] | None = None,
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.allowed = allowed
        self.headers = headers


@define(frozen=True, eq=False)
class Endpoint:
    """A line of the table.

    path: segments may be `{name}`, or `{name:int}` for one that must be a number of 0 or more.
    handler: `handler(call)`, or `handler(call, body)` where `body` is given; plain or `async`. It gives what `answer`
    says, or a `Text`. body, query, answer: msgspec Structs, lists of them, or None; an absent body is taken for `{}`.
    answer None: 204 without a body. answer EventStream: server-sent events, `event` is the type of each.
    produces: media types of answers that are no JSON. open: served without the token (probes). also: other statuses
    that the same answer may have (`Json.status`).
    """

    method: str
    path: str
    handler: Callable[..., Any]
    body: Any = None
    query: Any = None
    answer: Any = None
    status: int = 200
    summary: str = ""
    description: str = ""
    tag: str = ""
    event: Any = None
    produces: Sequence[str] = ()
    open: bool = False
    also: Sequence[int] = ()


@define(frozen=True)
class Text:
    """An answer that is no JSON: metrics, JSON lines."""

    content: str | bytes
    media_type: str = "text/plain; charset=utf-8"


@define(frozen=True)
class Json:
    """An answer of plain values: the OpenAPI document. status: None for the endpoint's."""

    value: Any
    status: int | None = None


@define(frozen=True)
class Event:
    """One server-sent event. data: anything msgspec can encode, or a function that gives it when the event is sent.
    id: what a client gives back as Last-Event-ID. size: about what it takes of memory while it waits, where that is
    much.
    """

    data: Any
    name: str | None = None
    id: str | None = None
    size: int = 0


class EventStream:
    """An answer that goes on: the handler returns it, whoever has something to tell calls `send`.

    `send` never waits: of a client that reads too slowly events are dropped, and it is told how many by an event
    named `dropped`. It ends when the client goes, the broker stops or `end` is called; then `on_close` is called once.
    """

    def __init__(self, on_close: Callable[[], None] | None = None, *, queue: int = STREAM_QUEUE) -> None:
        self.on_close = on_close
        self._limit = queue
        self._events: deque[Event] = deque()
        self._bytes = 0
        self._dropped = 0
        self._ended = False
        self._woken = trio.Event()

    @property
    def ended(self) -> bool:
        return self._ended

    def send(self, event: Event) -> None:
        """Queue one event; dropped when the queue is full or the stream has ended."""
        if self._ended:
            return
        if len(self._events) >= self._limit or (self._events and self._bytes + event.size > STREAM_BYTES):
            self._dropped += 1
            return
        self._bytes += event.size
        self._events.append(event)
        self._woken.set()

    def end(self) -> None:
        """No more events; what is queued is still sent."""
        self._ended = True
        self._woken.set()

    async def next_events(self) -> list[Event]:
        """What is queued, once there is something; empty when the stream has ended. For the connection."""
        while not self._events and not self._ended:
            self._woken = trio.Event()
            await self._woken.wait()
        events = list(self._events)
        self._events.clear()
        self._bytes = 0
        if self._dropped:
            events.append(Event({"dropped": self._dropped}, "dropped"))
            self._dropped = 0
        return events

    def closed(self) -> None:
        """The connection is done with it."""
        self._ended = True
        on_close, self.on_close = self.on_close, None
        if on_close is not None:
            on_close()


@define
class Call:
    """One request, as its handler sees it. Runs on the loop's thread: the broker's own code may be called directly.

    path: the path's parameters, decoded. query: an instance of the endpoint's query type, or None. headers: by lower
    case name. stopping: set when the broker stops; gone: when the client went. Who waits long waits for both as well.
    """

    plane: ControlPlane
    method: str
    path: Mapping[str, str]
    query: Any
    headers: Mapping[str, str]
    stopping: trio.Event
    gone: trio.Event
    call_later: CallLater
    ends: trio.Event | None = None

    @property
    def over(self) -> bool:
        """Whether an answer that is waited for would come too late."""
        return self.stopping.is_set() or self.gone.is_set()

    def number(self, name: str) -> int:
        """A parameter of the path that is a number. Raises ControlError 400."""
        text = self.path[name]
        if not text.isascii() or not text.isdecimal() or len(text) > 10:
            raise ControlError(400, "invalid_path", f"{name} must be a number of 0 or more, not {text!r}")
        return int(text)

    def accepts(self, media_type: str) -> bool:
        """Whether the client asked for this media type by name."""
        wanted = self.headers.get("accept", "").lower().split(",")
        return any(each.partition(";")[0].strip() == media_type for each in wanted)

    async def wait(self, awaited: Deferred[T] | Coroutine[Any, None, T]) -> T:
        """The value of a Deferred, or of a coroutine of the broker's that awaits Deferreds; or its error.

        ControlError when its cluster ends first.
        """
        deferred = awaited if isinstance(awaited, Deferred) else start(awaited)
        if not deferred.done:
            woken = trio.Event()
            deferred.add_callback(lambda _done: woken.set())
            await _first(woken, *(() if self.ends is None else (self.ends,)))
        if not deferred.done:
            self.check_cluster()
        return deferred.result()

    def check_cluster(self) -> None:
        """Raises ControlError 409 when the cluster that was asked for is served no more."""
        if self.ends is not None and self.ends.is_set():
            raise ControlError(
                409, "cluster_ended", "the cluster was deleted, or put back to a snapshot, while this request waited"
            )

    async def wait_at_most(self, awaited: Deferred[Any], timeout_ms: float) -> bool:
        """Wait for a Deferred no longer than this by the machine's clock, nor when the broker stops, the client goes or
        its cluster ends. Whether it is done.
        """
        if awaited.done:
            return True
        if timeout_ms <= 0 or self.over:
            return False
        woken = trio.Event()
        timer = self.call_later(timeout_ms, woken.set)
        awaited.add_callback(lambda _done: woken.set())
        try:
            await _first(woken, self.stopping, self.gone, *(() if self.ends is None else (self.ends,)))
        finally:
            timer.cancel()
        return awaited.done


async def _first(woken: trio.Event, *others: trio.Event) -> None:
    """Until `woken` is set, which any of the others does."""
    async with trio.open_nursery() as nursery:
        for each in others:
            nursery.start_soon(_set_when, each, woken)
        await woken.wait()
        nursery.cancel_scope.cancel()


async def _set_when(first: trio.Event, then: trio.Event) -> None:
    await first.wait()
    then.set()
