"""What may stand around the requests of a running cluster: interceptors, which change things, and observers.

A cluster has one `Interception` (`cluster.interception`), made when first asked for. While nothing is installed in it,
its dispatchers are what they would be without it. With the first thing installed their routes are bound anew, with the
exchange below around each handler, and what connections keep of their last request is void (no short ways are learnt
meanwhile); with the last thing removed all of that is undone. Requests on their way then end as they began.

The order is defined. Interceptors: `before` in the order they were installed, then the handler, then `after` in the
opposite order. Who gives the answer in `before` keeps those behind it and the handler from being asked. Observers:
`began` before the first interceptor, `ended` when the answer's bytes are known.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, cast

from attrs import evolve

from broker.deferred import Deferred
from broker.dispatch import BoundRoute, Handler, Refusal
from kwire import codec
from kwire.api_keys import ApiKey
from kwire.messages import response_class

if TYPE_CHECKING:
    from broker.clock import Clock
    from broker.context import RequestContext
    from broker.dispatch import Dispatcher
    from broker.transport import Piece

logger = logging.getLogger("kwire.interception")

Outcome = Literal["open", "answered", "unanswered", "request dropped", "reply dropped", "closed", "gone", "failed"]
_HEADER_V1_BYTES: Final = 9
_HEADER_V0_BYTES: Final = 8


class Interceptor(Protocol):
    """Changes requests or answers. Both methods act by the exchange's own methods; a Deferred they return is waited
    for first. While it is, the connection reads nothing; when it closes meanwhile, the exchange ends there ("gone"): a
    request whose `before` was waiting is then never handled."""

    def before(self, exchange: Exchange) -> Deferred[None] | None: ...

    def after(self, exchange: Exchange) -> Deferred[None] | None: ...


class Observer(Protocol):
    """Looks on. Errors it raises are logged and change nothing.

    The request's `records` are views of the connection's buffer: what is to be kept of them is copied in `began`.
    """

    def began(self, exchange: Exchange) -> None: ...

    def ended(self, exchange: Exchange) -> None: ...


class Exchange:
    """One request on its way through the broker.

    number: counts the cluster's exchanges while something is installed. sent: the request as the client sent it;
    `request` is what the handler gets (the same object unless narrowed); both None for an ApiVersions of a version
    nobody knows. began_ms, ended_ms: the cluster's monotonic clock; began_at_ms: its wall clock. request_bytes,
    response_bytes: whole frames, without their four bytes of size; response_bytes is 0 without an answer. notes: what
    was done to it, for people ("rule 3: error NOT_CONTROLLER"). outcome: "open" until the end; then

    - "answered"; "unanswered": the handler gave no answer (acks=0);
    - "request dropped", "reply dropped": by an interceptor; "closed": the connection was, instead of or in the answer;
    - "gone": the client's connection closed while an interceptor waited; "failed": an unexpected error.
    """

    __slots__ = (
        "_change",
        "_close_reason",
        "_cut_at",
        "_encoded",
        "_response",
        "_silent",
        "api",
        "began_at_ms",
        "began_ms",
        "ctx",
        "decided",
        "ended_ms",
        "kept",
        "mute_ms",
        "notes",
        "number",
        "outcome",
        "plans",
        "request",
        "request_bytes",
        "response_bytes",
        "sent",
        "when_gone",
    )

    def __init__(self, number: int, ctx: RequestContext, request: Any, request_bytes: int, clock: Clock) -> None:
        self.number = number
        self.ctx = ctx
        self.api = ApiKey(ctx.api_key)
        self.sent = request
        self.request = request
        self.request_bytes = request_bytes
        self.began_ms = clock.monotonic_ms()
        self.began_at_ms = clock.now_ms()
        self.ended_ms = self.began_ms
        self.response_bytes = 0
        self.notes: list[str] = []
        self.outcome: Outcome = "open"
        self.mute_ms = 0.0
        self.decided = False
        """Set once the handler is not to be asked any more."""
        self.kept: Any = None
        """For an observer that wants to find again in `ended` what it copied in `began`. There is one such place."""
        self.plans: dict[object, Any] = {}
        """For interceptors: what `before` has to tell `after`, by interceptor."""
        self.when_gone: Callable[[], None] | None = None
        """Called when the connection closes while an interceptor waits."""
        self._response: Any = None
        self._encoded: bytes | None = None
        self._silent: Outcome | None = None
        self._close_reason: str | None = None
        self._cut_at: int | None = None
        self._change: list[Callable[[bytearray], bytes | bytearray]] = []

    # What an answer is. A handler may have given it encoded; whoever wants to change it assigns a response.

    @property
    def response(self) -> Any:
        """The decoded response, or None when there is none (yet). Not to be changed in place: assign another."""
        if self._response is None and self._encoded is not None:
            self._response = codec.decode(response_class(self.api), self.ctx.api_version, self._encoded)
        return self._response

    @response.setter
    def response(self, response: Any) -> None:
        self._encoded = None
        self._response = response

    @property
    def encoded(self) -> bytes | None:
        """The answer's body where the handler gave it encoded; `response` decodes it."""
        return self._encoded

    # What an interceptor may do in `before`

    def answer(self, response: Any) -> None:
        """Give the answer in the handler's place."""
        self.response = response
        self.decided = True

    def drop_request(self) -> None:
        """As if the request had never come: it is not handled, and there is no answer. The connection stays."""
        self._silent = "request dropped"
        self.decided = True

    # ... in both

    def close(self, reason: str) -> None:
        """Close the connection, without an answer; called in `before`, without handling the request."""
        self._close_reason = reason
        self._silent = "closed"
        self.decided = True

    def mute(self, delay_ms: float) -> None:
        """Read nothing from the connection for a while once the answer is given. (KIP-219)"""
        self.mute_ms = max(self.mute_ms, delay_ms)

    # ... in `after` (or before: it holds for the answer that comes)

    def drop_reply(self) -> None:
        """Give no answer. The connection stays, and later requests are answered."""
        self._silent = "reply dropped"

    def change_bytes(self, change: Callable[[bytearray], bytes | bytearray]) -> None:
        """Pass the encoded body of the answer (without header) through a function."""
        self._change.append(change)

    def cut(self, at: int) -> None:
        """Send the first `at` bytes of the answer's frame (of which the first four are its size), then close."""
        self._cut_at = at if self._cut_at is None else min(at, self._cut_at)

    def own(self) -> None:
        """Copy what the request has of the connection's buffer, which is another's once the turn is over."""
        request = self.request
        if self.api is ApiKey.PRODUCE and request is not None:
            for topic in request.topic_data:
                for data in topic.partition_data:
                    if data.records is not None:
                        data.records = memoryview(bytes(data.records))


class Interception:
    """Around the requests of one cluster, on all its nodes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._number = 0
        self._interceptors: tuple[Interceptor, ...] = ()
        self._observers: tuple[Observer, ...] = ()
        self._dispatchers: list[tuple[Dispatcher, Callable[[], None]]] = []

    @property
    def active(self) -> bool:
        """Whether anything is installed."""
        return bool(self._interceptors or self._observers)

    def attach(self, dispatcher: Dispatcher, forget_shapes: Callable[[], None]) -> None:
        """A node of the cluster. forget_shapes: makes void what its connections keep of their last requests."""
        self._dispatchers.append((dispatcher, forget_shapes))
        if self.active:
            dispatcher.intercept(self)
            forget_shapes()

    def install(self, interceptor: Interceptor) -> None:
        """Put it behind those that are there."""
        was_active = self.active
        self._interceptors = (*self._interceptors, interceptor)
        self._rebind(was_active)

    def remove(self, interceptor: Interceptor) -> None:
        """Requests that it has seen already still pass its `after`."""
        was_active = self.active
        self._interceptors = tuple(each for each in self._interceptors if each is not interceptor)
        self._rebind(was_active)

    def observe(self, observer: Observer) -> None:
        was_active = self.active
        self._observers = (*self._observers, observer)
        self._rebind(was_active)

    def stop_observing(self, observer: Observer) -> None:
        was_active = self.active
        self._observers = tuple(each for each in self._observers if each is not observer)
        self._rebind(was_active)

    def _rebind(self, was_active: bool) -> None:
        active = self.active
        if active == was_active:
            return
        for dispatcher, forget_shapes in self._dispatchers:
            dispatcher.intercept(self if active else None)
            if active:
                forget_shapes()

    # -- one request

    def around(self, bound: BoundRoute) -> BoundRoute:
        """The route with an exchange around its handler. For the dispatcher."""
        decode, call = bound.decode, bound.call
        encoders: dict[type[Any], Callable[[Any], Any]] = {}
        header_bytes = _HEADER_V1_BYTES if bound.flexible_response_header else _HEADER_V0_BYTES

        def decode_frame(frame: memoryview, offset: int) -> tuple[int, Any]:
            return len(frame), decode(frame, offset)

        def encode(response: Any) -> Any:
            encoder = encoders.get(type(response))
            if encoder is None:
                make = codec.parts_encoder if bound.api_key == ApiKey.FETCH else codec.encoder
                encoder = encoders[type(response)] = make(cast(Any, type(response)), bound.api_version)
            return encoder(response)

        def handle(sized: tuple[int, Any], ctx: RequestContext) -> Any:
            self._number += 1
            exchange = Exchange(self._number, ctx, sized[1], sized[0], self._clock)
            return self._handle(exchange, call, encode, header_bytes)

        return evolve(bound, decode=decode_frame, call=handle, encode=_as_it_is, shortcut=None)

    async def _handle(
        self, exchange: Exchange, call: Handler, encode: Callable[[Any], Any], header_bytes: int
    ) -> bytes | list[Piece] | Refusal | None:
        observers = self._observers
        for observer in observers:
            _tell(observer.began, exchange)
        try:
            answer = await self._pass_through(exchange, call, encode, header_bytes)
        except BaseException:
            exchange.outcome = "failed"
            self._tell_end(observers, exchange)
            raise
        self._tell_end(observers, exchange)
        if exchange.mute_ms > 0:
            exchange.ctx.connection.mute_for(exchange.mute_ms)
        return answer

    def _tell_end(self, observers: tuple[Observer, ...], exchange: Exchange) -> None:
        exchange.ended_ms = self._clock.monotonic_ms()
        for observer in observers:
            _tell(observer.ended, exchange)

    async def _pass_through(
        self, exchange: Exchange, call: Handler, encode: Callable[[Any], Any], header_bytes: int
    ) -> bytes | list[Piece] | Refusal | None:
        passed: list[Interceptor] = []
        for interceptor in self._interceptors:
            passed.append(interceptor)
            waiting = interceptor.before(exchange)
            if waiting is not None and not await _waited(exchange, waiting):
                return _gone(exchange)
            if exchange.decided:
                break
        if exchange._silent == "closed" or exchange._silent == "request dropped":
            return _silence(exchange)
        if not exchange.decided:
            response = call(exchange.request, exchange.ctx)
            if isinstance(response, (Coroutine, Deferred)):
                response = await response
            if type(response) is Refusal:
                exchange.outcome = "closed"
                exchange.notes.append(response.reason)
                return response
            if type(response) is bytes:
                exchange._encoded = response
            else:
                exchange._response = response
        for interceptor in reversed(passed):
            waiting = interceptor.after(exchange)
            if waiting is not None and not await _waited(exchange, waiting):
                return _gone(exchange)
        if exchange._silent is not None:
            return _silence(exchange)
        return _encoded(exchange, encode, header_bytes)


def _as_it_is(parts: list[Piece]) -> list[Piece]:
    """The exchange has encoded the answer already."""
    return parts


def _tell(tell: Callable[[Exchange], None], exchange: Exchange) -> None:
    try:
        tell(exchange)
    except Exception:
        logger.exception("an observer failed at a %s request", exchange.api.name)


def _waited(exchange: Exchange, waiting: Deferred[None]) -> Deferred[bool]:
    """Done with `waiting` (True), or when the connection closes (False). An error of `waiting` is passed on."""
    outcome: Deferred[bool] = Deferred()
    connection = exchange.ctx.connection

    def done(finished: Deferred[None]) -> None:
        if outcome.done:
            return
        connection.abandon = None
        try:
            finished.result()
        except Exception as error:
            outcome.fail(error)
        else:
            outcome.resolve(True)

    def gone() -> None:
        if not outcome.done:
            outcome.resolve(False)
            if exchange.when_gone is not None:
                exchange.when_gone()

    if not waiting.done:
        exchange.own()
        connection.abandon = gone
    waiting.add_callback(done)
    return outcome


def _gone(exchange: Exchange) -> Refusal:
    exchange.outcome = "gone"
    return Refusal("the connection closed while its request was held back")


def _silence(exchange: Exchange) -> Refusal | None:
    assert exchange._silent is not None
    exchange.outcome = exchange._silent
    return Refusal(exchange._close_reason or "") if exchange._silent == "closed" else None


def _encoded(
    exchange: Exchange, encode: Callable[[Any], Any], header_bytes: int
) -> bytes | list[Piece] | Refusal | None:
    body: Any = exchange._encoded
    if body is None:
        if exchange._response is None:
            exchange.outcome = "unanswered"
            return None
        body = encode(exchange._response)
    if exchange._change:
        whole = body if type(body) is bytes else b"".join(map(_bytes_of, body))
        for change in exchange._change:
            whole = bytes(change(bytearray(whole)))
        body = whole
    size = len(body) if type(body) is bytes else sum(map(len, body))
    exchange.response_bytes = header_bytes - 4 + size
    if exchange._cut_at is not None:
        exchange.outcome = "closed"
        return Refusal("the answer was cut off", _cut(exchange, body, size, header_bytes))
    exchange.outcome = "answered"
    return cast("bytes | list[Piece]", body)


def _cut(exchange: Exchange, body: Any, size: int, header_bytes: int) -> bytes:
    head = (header_bytes - 4 + size).to_bytes(4, "big")
    head += exchange.ctx.correlation_id.to_bytes(4, "big", signed=True)
    head += bytes(header_bytes - 8)
    whole = body if type(body) is bytes else b"".join(map(_bytes_of, body))
    return (head + whole)[: exchange._cut_at]


def _bytes_of(piece: Any) -> bytes:
    return bytes(piece) if isinstance(piece, (bytes, bytearray, memoryview)) else cast(bytes, piece.read())
