"""From a request's head and body to its answer: guard, route, read, call, encode. Sockets are the connection's."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from inspect import isawaitable
from typing import Any

import trio
from attrs import define, frozen

from broker.http.bodies import Body, Query, encode
from broker.http.endpoint import Call, CallLater, ControlError, Endpoint, EventStream, Json, Text
from broker.http.guard import Guard
from broker.http.limits import HttpLimits
from broker.http.router import Match, Router

logger = logging.getLogger("kwire.http")

JSON: str = "application/json"


@frozen
class Head:
    """The start of a request. target: as sent; headers: by lower case name, repeated ones joined by a comma."""

    method: str
    target: str
    headers: Mapping[str, str]


@frozen
class Answer:
    """What goes back. close: the connection is of no more use."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes | EventStream
    close: bool = False


@define
class Accepted:
    """A request whose head is in order: its body may be read."""

    head: Head
    match: Match
    query: Any


@frozen
class _Bound:
    endpoint: Endpoint
    body: Body | None
    query: Query


class Application:
    """The table, ready to be served.

    plane: what handlers reach. explain: turns an error of the broker's into a refusal; None for what is a bug.
    """

    def __init__(
        self,
        plane: Any,
        endpoints: Sequence[Endpoint],
        *,
        guard: Guard,
        limits: HttpLimits,
        call_later: CallLater,
        stopping: trio.Event,
        explain: Callable[[Exception], ControlError | None] = lambda _error: None,
    ) -> None:
        self._plane = plane
        self._router = Router(endpoints)
        self._bound: dict[Endpoint, _Bound] = {}
        self.guard = guard
        self.limits = limits
        self.call_later = call_later
        self.stopping = stopping
        self._explain = explain
        self.buffered_bytes = 0

    def accept(self, head: Head) -> Accepted | Answer:
        """Judge a request by its head alone."""
        path, _, query = head.target.partition("?")
        try:
            try:
                match = self._router.find(head.method, path)
            except ControlError:
                # Who may not ask is told that before anything else.
                self.guard.check(head.headers, open_to_all=False)
                raise
            self.guard.check(head.headers, open_to_all=match.endpoint.open)
            bound = self._bind(match.endpoint)
            self._check_body_headers(head, match.endpoint)
            return Accepted(head, match, bound.query.read(query))
        except Exception as error:
            return self._failed(head, error)

    def _check_body_headers(self, head: Head, endpoint: Endpoint) -> None:
        length = head.headers.get("content-length")
        if length is not None and int(length) > self.limits.body_bytes:  # h11 has seen that it is a number
            raise too_large(self.limits)
        if length is not None and "transfer-encoding" in head.headers:
            # Whoever is between us and the client may have read it by the other one.
            raise ControlError(400, "invalid_request", "Content-Length and Transfer-Encoding exclude each other")
        has_body = (length is not None and int(length) > 0) or "transfer-encoding" in head.headers
        if not has_body:
            return
        if "content-encoding" in head.headers and head.headers["content-encoding"].lower() != "identity":
            raise ControlError(415, "unsupported_encoding", "bodies are taken as they are, without Content-Encoding")
        media_type = head.headers.get("content-type", "").partition(";")[0].strip().lower()
        if endpoint.body is not None and media_type != JSON:
            raise ControlError(
                415,
                "unsupported_media_type",
                f"the body must be JSON: send Content-Type: {JSON}, not {media_type[:100]!r}",
                allowed=[JSON],
            )

    async def answer(self, accepted: Accepted, data: bytes, gone: trio.Event) -> Answer:
        """Run the handler. Never raises for what it does: an unexpected error is a 500 and a log entry."""
        head, endpoint = accepted.head, accepted.match.endpoint
        bound = self._bind(endpoint)
        call = Call(
            self._plane,
            head.method,
            accepted.match.path,
            accepted.query,
            head.headers,
            self.stopping,
            gone,
            self.call_later,
        )
        try:
            if bound.body is not None:
                result = endpoint.handler(call, bound.body.read(data))
            elif data.strip() not in (b"", b"{}"):
                raise ControlError(400, "invalid_body", "no body is taken here")
            else:
                result = endpoint.handler(call)
            if isawaitable(result):
                result = await result
            return _answered(endpoint, result)
        except Exception as error:
            return self._failed(head, error)

    def _failed(self, head: Head, error: Exception) -> Answer:
        explained = error if isinstance(error, ControlError) else self._explain(error)
        if explained is None:
            logger.error("unexpected error in %s %s", head.method, ascii(head.target[:500]), exc_info=error)
            explained = ControlError(500, "internal_error", "an error of the broker's own; its log has the details")
        return refused(explained)

    def _bind(self, endpoint: Endpoint) -> _Bound:
        bound = self._bound.get(endpoint)
        if bound is None:
            body = Body(endpoint.body) if endpoint.body is not None else None
            bound = self._bound[endpoint] = _Bound(endpoint, body, Query(endpoint.query))
        return bound


def _answered(endpoint: Endpoint, result: Any) -> Answer:
    if isinstance(result, EventStream):
        return Answer(endpoint.status, [("content-type", "text/event-stream")], result)
    if isinstance(result, Text):
        content = result.content.encode() if isinstance(result.content, str) else result.content
        return Answer(endpoint.status, [("content-type", result.media_type)], content)
    if endpoint.answer is None:
        return Answer(204, [], b"")
    if isinstance(result, Json):
        return Answer(result.status or endpoint.status, [("content-type", JSON)], encode(result.value))
    return Answer(endpoint.status, [("content-type", JSON)], encode(result))


def too_large(limits: HttpLimits) -> ControlError:
    """The refusal of a body beyond the limit."""
    return ControlError(413, "body_too_large", f"a body has at most {limits.body_bytes} bytes")


def refused(error: ControlError, *, close: bool = False) -> Answer:
    """The answer that tells of a refusal."""
    details: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.allowed is not None:
        details["allowed"] = list(error.allowed)
    return Answer(error.status, [("content-type", JSON), *error.headers], encode({"error": details}), close)
