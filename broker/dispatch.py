"""From a frame to a handler's call and back: header, route, decode, call, encode.

The table is keyed by the first four bytes of a request (API key and version), so one dictionary look-up finds the
route, its compiled decoder, and how its headers look. Entries are bound at their first use.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from attrs import define, evolve

from broker.context import RequestContext
from broker.deferred import Deferred, start
from broker.transport import Piece
from kwire import codec, headers
from kwire.errors import DecodeError
from kwire.schema import Struct

if TYPE_CHECKING:
    from broker.connection import Connection
    from broker.interception import Interception
    from broker.routes import Route

# api key, api version, correlation id, length of the client id (-1: null)
_HEAD: Final = struct.Struct(">hhih")
_ANSWER_V0: Final = struct.Struct(">ii")
_ANSWER_V1: Final = struct.Struct(">iib")
_FETCH_KEY: Final = 1
_API_VERSIONS_KEY: Final = 18
_API_VERSIONS_FLEXIBLE_FROM: Final = 3


class MalformedRequestError(Exception):
    """Bytes that are not a request Kafka would answer: the connection is closed, with this as its log line."""


@define(slots=True, frozen=True)
class Refusal:
    """A wish to close the connection instead of an answer (e.g. acks=0 and an error), with the reason.

    farewell: bytes to send before, as they are.
    """

    reason: str
    farewell: bytes = b""


Answer = bytes | list[Piece] | Refusal | None
HandlerResult = Any
Handler = Callable[[Any, RequestContext], HandlerResult]


class Shape(Protocol):
    """What a connection keeps of its last request, to take the next one of the same kind a short way."""

    def handle(self, frame: memoryview) -> Answer | Deferred[Answer] | NotAlike:
        """The answer, or NOT_ALIKE: nothing was done, the request goes the ordinary way."""


class Shortcut(Protocol):
    """A route's way of learning shapes."""

    def learn(self, frame: memoryview, connection: Connection, bound: BoundRoute, request: Any) -> None:
        """A request went the ordinary way: set `connection.shape` where it has one."""


class NotAlike:
    """The request has to go the ordinary way."""


NOT_ALIKE: Final = NotAlike()


@define(slots=True)
class BoundRoute:
    """One API in one version, ready to be called.

    decode: (frame, offset) -> request. call: the handler with its services bound; it returns the response, a Deferred
    of it, or a coroutine. encode: compiled for the class of the first response; gives bytes, or a list of pieces where
    the response may hold file ranges.
    """

    api_key: int
    api_version: int
    flexible_request_header: bool
    flexible_response_header: bool
    decode: Callable[[memoryview, int], Any]
    call: Handler
    encode: Callable[[Any], Any] | None = None
    shortcut: Shortcut | None = None
    requests: int = 0
    """How many were handled, on whatever way (broker.metrics)."""


class Hooks(Protocol):
    """What may stand around every handler for good: authorization, quotas.

    Chosen when the dispatcher is made; without hooks a request costs nothing for them. What comes and goes on a running
    dispatcher (faults, a transcript) is an Interception, and stands around these. `before` may take from the
    request what the principal may not touch, or give the whole answer itself; `after` may put refusals into the
    response, set its throttle time, and gives for how long (ms) the connection is then not read.
    """

    def before(self, request: Any, ctx: RequestContext) -> Any | None: ...

    def after(self, request: Any, ctx: RequestContext, response: Any) -> float: ...


class Dispatcher:
    """The routes of one node of one cluster.

    gate: None, or asked with (listener, node id) for each new connection: "refuse" or "reset" turns it away (faults).
    """

    __slots__ = ("_counted", "_hooks", "_interception", "_routes", "_table", "gate")

    def __init__(self, routes: Mapping[int, Route], hooks: Hooks | None = None) -> None:
        self._routes = routes
        self._hooks = hooks
        self._interception: Interception | None = None
        self.gate: Callable[[str, int], str | None] | None = None
        self._table: dict[int, BoundRoute] = {}
        self._counted: dict[tuple[int, int], int] = {}

    @property
    def routes(self) -> Mapping[int, Route]:
        """What is served, by API key."""
        return self._routes

    def intercept(self, interception: Interception | None) -> None:
        """From the next request on: put it around every handler, or nothing any more. Requests on their way go on."""
        self._interception = interception
        self._counted = self.request_counts()
        for bound in self._table.values():
            bound.requests = 0
        self._table.clear()

    def request_counts(self) -> dict[tuple[int, int], int]:
        """Requests handled so far, by API key and version."""
        counts = dict(self._counted)
        for bound in self._table.values():
            key = (bound.api_key, bound.api_version)
            counts[key] = counts.get(key, 0) + bound.requests
        return counts

    def dispatch(self, frame: memoryview, connection: Connection) -> Answer | Deferred[Answer]:
        """Handle one request.

        Raises MalformedRequestError when the bytes are no request, or one of an API or version that is not served.
        """
        try:
            api_key, api_version, correlation_id, client_id_size = _HEAD.unpack_from(frame)
        except struct.error:
            raise MalformedRequestError(f"a frame of {len(frame)} bytes is too short for a request header") from None
        bound = self._table.get((api_key << 16) + api_version)
        if bound is None:
            bound = self._bind(api_key, api_version)
        offset = 10
        client_id: str | None = None
        try:
            if client_id_size >= 0:
                offset += client_id_size
                if offset > len(frame):
                    raise MalformedRequestError("the client id runs past the end of the frame")
                client_id = str(frame[10:offset], "utf-8")
            if bound.flexible_request_header:
                if frame[offset] == 0:
                    offset += 1
                else:  # tagged fields, none of which means anything here
                    _, offset = headers.decode_request_header(frame)
            request = bound.decode(frame, offset)
        except (DecodeError, IndexError, UnicodeDecodeError) as error:
            name = self._routes[api_key].name
            raise MalformedRequestError(f"cannot read a {name} request of version {api_version}: {error}") from None
        context = RequestContext(connection.context, bound.api_key, bound.api_version, correlation_id, client_id)
        bound.requests += 1
        outcome = bound.call(request, context)
        shortcut = bound.shortcut
        if shortcut is not None:
            shortcut.learn(frame, connection, bound, request)
        if isinstance(outcome, Coroutine):
            outcome = start(outcome)
        if type(outcome) is Deferred:
            if outcome.done:
                return self._answer(bound, correlation_id, outcome.result())
            later: Deferred[Answer] = Deferred()

            def finish(done: Deferred[Any]) -> None:
                try:
                    answer = self._answer(bound, correlation_id, done.result())
                except BaseException as error:
                    later.fail(error)
                else:
                    later.resolve(answer)

            outcome.add_callback(finish)
            return later
        return self._answer(bound, correlation_id, outcome)

    def _answer(self, bound: BoundRoute, correlation_id: int, response: Any) -> Answer:
        if response is None or type(response) is Refusal:
            return response
        if type(response) is bytes:  # a handler that keeps encoded answers
            body: Any = response
        else:
            encode = bound.encode
            if encode is None:
                encode = bound.encode = _encoder(bound, response)
            body = encode(response)
        if type(body) is bytes:
            if bound.flexible_response_header:
                return _ANSWER_V1.pack(len(body) + 5, correlation_id, 0) + body
            return _ANSWER_V0.pack(len(body) + 4, correlation_id) + body
        parts: list[Piece] = body
        size = sum(map(len, parts))
        if bound.flexible_response_header:
            parts.insert(0, _ANSWER_V1.pack(size + 5, correlation_id, 0))
        else:
            parts.insert(0, _ANSWER_V0.pack(size + 4, correlation_id))
        return parts

    def _bind(self, api_key: int, api_version: int) -> BoundRoute:
        route = self._routes.get(api_key)
        if route is None:
            raise MalformedRequestError(f"API key {api_key} (version {api_version}) is not served here")
        version = api_version
        if not route.serves(api_version):
            if api_key != _API_VERSIONS_KEY:
                raise MalformedRequestError(
                    f"{route.name} version {api_version} is not served; versions {route.served} are"
                )
            # ApiVersions is how a client finds out: an unknown version is answered in version 0 with the code 35.
            version = 0
        bound = route.bind(version)
        if self._hooks is not None:
            bound = evolve(bound, call=_hooked(bound.call, self._hooks), shortcut=None)
        if version != api_version:
            # Its header is the one of the version asked for: an older personality does not know v2, nor anybody v-1.
            # Not kept: there are tens of thousands of versions nobody serves.
            flexible = api_version >= _API_VERSIONS_FLEXIBLE_FROM
            bound = BoundRoute(api_key, 0, flexible, False, _decode_nothing, route.unsupported_version_handler())
            return bound if self._interception is None else self._interception.around(bound)
        if self._interception is not None:
            bound = self._interception.around(bound)
        self._table[(api_key << 16) + api_version] = bound
        return bound


def _hooked(call: Handler, hooks: Hooks) -> Handler:
    async def handle(request: Any, ctx: RequestContext) -> Any:
        response = hooks.before(request, ctx)
        if response is None:
            response = call(request, ctx)
            if isinstance(response, (Coroutine, Deferred)):
                response = await response
        mute_ms = hooks.after(request, ctx, response)
        if mute_ms > 0:
            ctx.connection.mute_for(mute_ms)
        return response

    return handle


def _encoder(bound: BoundRoute, response: Any) -> Callable[[Any], Any]:
    """Only a Fetch answer holds file ranges; everything else becomes one piece of bytes."""
    response_class: type[Struct] = type(response)
    if bound.api_key == _FETCH_KEY:
        return codec.parts_encoder(response_class, bound.api_version)
    return codec.encoder(response_class, bound.api_version)


def _decode_nothing(frame: memoryview, offset: int) -> None:
    """The body of an ApiVersions request in an unknown version is not looked at."""
