"""One HTTP connection: a task that reads requests with h11 and writes their answers, within bounds on size and time."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, Final

import h11
import trio

from broker.http.application import Accepted, Answer, Application, Head, refused, too_large
from broker.http.bodies import encode
from broker.http.endpoint import CallLater, ControlError, Event, EventStream

logger = logging.getLogger("kwire.http")

_READ_BYTES: Final = 64 * 1024
_WRITE_BYTES: Final = 64 * 1024
_PIECES_AT_ONCE: Final = 256
_REASONS: Final = {status.value: status.phrase.encode() for status in HTTPStatus}
_GONE: Final = (trio.BrokenResourceError, trio.ClosedResourceError)


class _TooSlowError(Exception):
    """A bound on time was passed."""


@contextmanager
def _at_most(call_later: CallLater, limit_ms: float) -> Iterator[None]:
    """Raises _TooSlowError when the block takes longer, by the machine's clock."""
    with trio.CancelScope() as scope:
        timer = call_later(limit_ms, scope.cancel)
        try:
            yield
        finally:
            timer.cancel()
    if scope.cancelled_caught:
        raise _TooSlowError


class HttpConnection:
    """Serves one stream until either side has had enough."""

    def __init__(self, stream: trio.abc.Stream, application: Application, idle: dict[trio.CancelScope, None]) -> None:
        """idle: holds this connection's scope while it waits for a request: then it may be cancelled."""
        self._stream = stream
        self._application = application
        self._limits = application.limits
        self._call_later = application.call_later
        self._idle = idle
        self._buffered = 0
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=self._limits.head_bytes)

    async def serve(self) -> None:
        """Until the connection is over; closes the stream."""
        try:
            while await self._one_request():
                self._h11.start_next_cycle()
            await self._linger()
        except _TooSlowError:
            logger.debug("closed a connection that was too slow")
        except _GONE:
            pass
        finally:
            await trio.aclose_forcefully(self._stream)

    async def _one_request(self) -> bool:
        """Whether the connection may serve another one."""
        if self._application.stopping.is_set() or not await self._something_came():
            return False
        try:
            request = await self._head()
            if request is None:
                return False
            head = _head(request)
            accepted = self._application.accept(head)
            if isinstance(accepted, Accepted):
                answer = await self._answer(accepted, await self._body())
            else:
                answer = accepted
                await self._discard_body(head)
        except h11.RemoteProtocolError as error:
            # 501 would be for a transfer coding, the others are sizes: all are the request's fault.
            status = error.error_status_hint
            code = "headers_too_large" if status == 431 else "invalid_request"
            await self._send(None, refused(ControlError(status, code, f"this is no HTTP request: {error}"), close=True))
            return False
        except ControlError as error:
            answer = refused(error)
        except _TooSlowError:
            answer = refused(ControlError(408, "too_slow", "the request did not arrive in time"), close=True)
            await self._send(None, answer)
            return False
        finally:
            self._application.buffered_bytes -= self._buffered
            self._buffered = 0
        await self._send(head, answer)
        return self._h11.states == {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE} and not answer.close

    async def _answer(self, accepted: Accepted, body: bytes) -> Answer:
        """Have the request handled, looking out whether the client goes meanwhile."""
        gone = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch, gone)
            answer = await self._application.answer(accepted, body, gone)
            nursery.cancel_scope.cancel()
        return answer

    async def _watch(self, gone: trio.Event) -> None:
        """What comes is the start of the next request; nothing more is read then."""
        try:
            data = await self._stream.receive_some(_READ_BYTES)
        except _GONE:
            data = b""
        if data:
            self._h11.receive_data(bytes(data))
        else:
            gone.set()

    # -- reading

    async def _something_came(self) -> bool:
        """Wait for the first bytes of a request; not longer than the idle time, nor beyond a stop."""
        if self._h11.trailing_data[0]:
            return True
        with trio.CancelScope() as scope:
            self._idle[scope] = None
            timer = self._call_later(self._limits.idle_ms, scope.cancel)
            try:
                data = await self._stream.receive_some(_READ_BYTES)
            finally:
                timer.cancel()
                self._idle.pop(scope, None)
        if scope.cancelled_caught or not data:
            return False
        self._h11.receive_data(bytes(data))
        return True

    async def _head(self) -> h11.Request | None:
        with _at_most(self._call_later, self._limits.head_ms):
            event = await self._next_event()
        return event if isinstance(event, h11.Request) else None

    async def _body(self) -> bytes:
        body = bytearray()
        pieces = 0
        with _at_most(self._call_later, self._limits.body_ms):
            while True:
                event = await self._next_event()
                if isinstance(event, h11.Data):
                    if len(body) + len(event.data) > self._limits.body_bytes:
                        raise too_large(self._limits)
                    self._buffer(len(event.data))
                    body += event.data
                    pieces += 1
                    if pieces % _PIECES_AT_ONCE == 0:  # one read may hold ten thousand chunks of a byte
                        await trio.lowlevel.checkpoint()
                elif isinstance(event, h11.EndOfMessage):
                    return bytes(body)
                else:
                    raise trio.BrokenResourceError("the client left in the middle of a request")

    def _buffer(self, size: int) -> None:
        """Take memory for a part of a body. Raises ControlError when all connections together have too much."""
        self._buffered += size
        self._application.buffered_bytes += size
        if self._application.buffered_bytes > self._limits.all_bodies_bytes:
            raise ControlError(503, "busy", "too many large requests at once; try again")

    async def _discard_body(self, head: Head) -> None:
        """Of a request that was refused: where little is to come, the connection can go on."""
        length = head.headers.get("content-length", "0")
        if "transfer-encoding" not in head.headers and int(length) <= _READ_BYTES and "expect" not in head.headers:
            await self._body()

    async def _next_event(self) -> Any:
        while True:
            event = self._h11.next_event()
            if event is not h11.NEED_DATA:
                return event
            if self._h11.they_are_waiting_for_100_continue:
                await self._write(self._h11.send(h11.InformationalResponse(status_code=100, headers=[])))
            self._h11.receive_data(bytes(await self._stream.receive_some(_READ_BYTES)))

    # -- writing

    async def _send(self, head: Head | None, answer: Answer) -> None:
        if self._h11.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        logger.debug("%s %s %d", *(("?", "?") if head is None else (head.method, head.target)), answer.status)
        body = answer.body
        headers = [*answer.headers, ("cache-control", "no-store"), ("x-content-type-options", "nosniff")]
        if isinstance(body, bytes) and answer.status != 204:
            headers.append(("content-length", str(len(body))))
        stopping = self._application.stopping.is_set()
        if answer.close or stopping or isinstance(body, EventStream) or self._h11.their_state is not h11.DONE:
            headers.append(("connection", "close"))
        start = self._h11.send(
            h11.Response(status_code=answer.status, headers=headers, reason=_REASONS.get(answer.status, b""))
        )
        try:
            if head is not None and head.method == "HEAD":
                await self._write(start)
            elif isinstance(body, EventStream):
                await self._write(start)
                await self._stream_events(body)
            else:
                await self._write((start or b"") + (self._h11.send(h11.Data(data=body)) or b""))
            await self._write(self._h11.send(h11.EndOfMessage()))
        finally:
            if isinstance(body, EventStream):
                body.closed()

    async def _write(self, data: bytes | None) -> None:
        view = memoryview(data or b"")
        for begin in range(0, len(view), _WRITE_BYTES):
            with _at_most(self._call_later, self._limits.send_ms):
                await self._stream.send_all(view[begin : begin + _WRITE_BYTES])

    async def _stream_events(self, stream: EventStream) -> None:
        """Send events until the stream ends, the client goes or the broker stops. Raises what `_write` raises."""
        broken: Exception | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._end_when_stopping, stream)
            nursery.start_soon(self._end_when_gone, stream)
            try:
                while True:
                    with trio.CancelScope() as silence:
                        timer = self._call_later(self._limits.keep_alive_ms, silence.cancel)
                        try:
                            events = await stream.next_events()
                        finally:
                            timer.cancel()
                    if silence.cancelled_caught:
                        await self._write(self._h11.send(h11.Data(data=b":\n\n")))
                        continue
                    for event in events:
                        await self._write(self._h11.send(h11.Data(data=_event_bytes(event))))
                    if not events:
                        break
            except (*_GONE, _TooSlowError) as error:
                broken = error  # raised in here it would come out in a group
            finally:
                nursery.cancel_scope.cancel()
        if broken is not None:
            raise broken

    async def _end_when_stopping(self, stream: EventStream) -> None:
        await self._application.stopping.wait()
        stream.end()

    async def _end_when_gone(self, stream: EventStream) -> None:
        """A client has nothing more to say while it listens: what it sends is left, its going is the end."""
        try:
            while await self._stream.receive_some(_READ_BYTES):
                pass
        except _GONE:
            pass
        stream.end()

    async def _linger(self) -> None:
        """Let the client read the last answer: closing with unread data in our buffer would take it away."""
        if self._h11.their_state in (h11.DONE, h11.CLOSED, h11.MUST_CLOSE, h11.IDLE):
            return
        if isinstance(self._stream, trio.SocketStream):
            await self._stream.send_eof()
        left = self._limits.body_bytes
        with _at_most(self._call_later, self._limits.linger_ms):
            while left > 0 and (data := await self._stream.receive_some(_READ_BYTES)):
                left -= len(data)


def _head(request: h11.Request) -> Head:
    headers: dict[str, str] = {}
    for raw_name, raw_value in request.headers:
        name, value = raw_name.decode("ascii"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    target = request.target.decode("ascii", "replace")
    if not target.startswith("/"):  # the absolute form, which proxies are sent
        _, separator, rest = target.partition("://")
        target = "/" + rest.partition("/")[2] if separator else target
    return Head(request.method.decode("ascii"), target, headers)


def _event_bytes(event: Event) -> bytes:
    lines = b""
    if event.id is not None:
        lines += b"id: " + event.id.encode() + b"\n"
    if event.name is not None:
        lines += b"event: " + event.name.encode() + b"\n"
    data = event.data() if callable(event.data) else event.data
    return lines + b"data: " + encode(data) + b"\n\n"
