"""One client's connection: an object the reactor calls, no task of its own.

Frames are cut from a read buffer that all connections of the reactor share; a connection holds bytes only while a frame
is incomplete or a request is waiting for its answer. Requests of a connection are handled one at a time and answered in
order, as Kafka does (SocketServer mutes a channel while its request is being handled).
"""

from __future__ import annotations

import contextlib
import logging
import mmap
import socket
import struct
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final, cast

from broker.context import mute_nothing
from broker.deferred import Deferred
from broker.dispatch import NOT_ALIKE, Answer, Dispatcher, MalformedRequestError, Refusal, Shape
from broker.memory import SMALL_FRAME_BYTES
from broker.reactor import CLOSED, READ, WRITE
from broker.transport import Piece, Transport

if TYPE_CHECKING:
    from broker.context import ConnectionContext
    from broker.listener import ConnectionHost

logger = logging.getLogger("kwire.connection")

# RDHUP tells of a peer that went away while its socket is not being read.
_MUTED: Final = 0x2000
_SIZE_BYTES: Final = 4
_SIZE: Final = struct.Struct(">i")
# A first read when the last frame was large: its bytes had better go straight into their own buffer.
_SHORT_READ_BYTES: Final = 4096
# How much of a large frame is received at a time.
_PIECE_BYTES: Final = 512 * 1024
_FLUSH_ABOVE_BYTES: Final = 256 * 1024
# A request this large takes a while: what is answered already need not wait for it.
_LONG_WORK_BYTES: Final = 16 * 1024


class Connection:
    """Reads frames, dispatches them, writes answers.

    States: reading (waits for bytes), waiting (a request's answer is not there yet), blocked (the peer does not take
    its answers), closed. Only in the first is the socket read.
    """

    __slots__ = (
        "_backlog",
        "_blocked",
        "_dispatch",
        "_flush_pending",
        "_frame",
        "_frame_buffer",
        "_frame_drawn",
        "_frame_have",
        "_frame_size",
        "_held",
        "_host",
        "_interest",
        "_large_frames",
        "_out",
        "_out_bytes",
        "_piece_due",
        "_receive_into",
        "_tls",
        "_transport",
        "_waiting",
        "closed",
        "context",
        "fd",
        "idle_sweeps",
        "shape",
        "sock",
    )

    def __init__(
        self, host: ConnectionHost, dispatcher: Dispatcher, transport: Transport, context: ConnectionContext
    ) -> None:
        self._host = host
        self._transport = transport
        self._receive_into = transport.receive_into
        self._tls = context.secure
        self._dispatch = dispatcher.dispatch
        self.context = context
        context.mute_for = self.mute_for
        self.sock: socket.socket = transport.sock
        self.fd = self.sock.fileno()
        self.closed = False
        self.idle_sweeps = 0
        self.shape: Shape | None = None
        self._backlog = b""  # received, not yet looked at
        self._frame_buffer: mmap.mmap | None = None  # of a frame that is still coming in
        self._frame: memoryview | None = None
        self._frame_size = 0
        self._frame_have = 0
        self._frame_drawn = 0
        self._piece_due = False  # the frame's next piece is in the reactor's line
        self._large_frames = False
        self._waiting = False
        self._blocked = False
        self._held = 0  # reasons not to read: no room in the byte pool, throttled by a quota
        self._out: list[Piece] = []
        self._out_bytes = 0
        self._flush_pending = False
        self._interest = READ

    # -- events

    def on_event(self, mask: int) -> None:
        """The reactor's callback."""
        self.idle_sweeps = 0
        if mask == READ and not (self._waiting or self._blocked or self._held):
            self._safely(self._read)
        else:
            self._safely(partial(self._on_other_event, mask))

    def _on_other_event(self, mask: int) -> None:
        if mask & WRITE:
            self._on_writable()
        if self.closed:
            return
        if self._waiting or self._blocked or self._held:
            if mask & CLOSED:
                self.close()
            elif mask & READ:
                self._mute_or_close()
        elif mask & (READ | CLOSED):
            self._read()

    def peer(self) -> str:
        return f"{self.context.peer_host} ({self.context.listener})"

    def _set_interest(self, mask: int) -> None:
        if mask != self._interest:
            self._interest = mask
            self._host.reactor.modify(self.fd, mask)

    def _mute_or_close(self) -> None:
        """Bytes arrived while we do not read: leave them where they are, unless it is the end of the stream."""
        try:
            if not self.sock.recv(1, socket.MSG_PEEK):
                self.close()
                return
        except BlockingIOError:
            return
        self._set_interest((self._interest & WRITE) | _MUTED)

    # -- reading

    def _read(self) -> None:
        if self._frame is not None:
            self._frame_later()
            return
        host = self._host
        scratch = host.scratch
        backlog = self._backlog
        if backlog or self._large_frames or host.backlog_bytes >= host.backlog_limit_bytes:
            have = len(backlog)
            if have:
                scratch[:have] = backlog
                self._drop_backlog()
            short = self._large_frames or host.backlog_bytes >= host.backlog_limit_bytes
            count = self._receive_into(scratch[have : have + _SHORT_READ_BYTES] if short else scratch[have:])
            if count <= 0:
                if count == 0:
                    self.close()
                else:
                    self._keep_backlog(backlog)
                return
            self._take(scratch, have + count)
        else:
            count = self._receive_into(scratch)
            if count <= 0:
                if count == 0:
                    self.close()
                return
            if count > _SIZE_BYTES and _SIZE.unpack_from(scratch)[0] == count - _SIZE_BYTES <= host.max_request_bytes:
                # One whole request and nothing else: what a client sends that waits for its answers.
                self._handle(scratch[_SIZE_BYTES:count])
                if not self._tls:
                    return
            else:
                self._take(scratch, count)
        if not self.closed and not self._waiting and not self._blocked and not self._held:
            if self._frame is not None:
                self._frame_later()
            elif self._tls and self._transport.has_buffered_input():
                host.reactor.call_soon(self._continue)

    def _take(self, view: memoryview, end: int) -> None:
        """Handle the frames in `view[:end]`; keep what is left over."""
        position = 0
        max_bytes = self._host.max_request_bytes
        while end - position >= _SIZE_BYTES:
            (size,) = _SIZE.unpack_from(view, position)
            if size < 0 or size > max_bytes:
                raise MalformedRequestError(
                    f"frame size {size} is not between 0 and {max_bytes} (socket.request.max.bytes)"
                )
            start = position + _SIZE_BYTES
            if end - start < size:
                if size > SMALL_FRAME_BYTES or start + size > len(view):
                    self._begin_frame(size, view[start:end])
                    return
                break
            position = start + size
            if not self._handle(view[start:position]):
                break
        if position < end and not self.closed:
            self._keep_backlog(bytes(view[position:end]))

    def _keep_backlog(self, data: bytes) -> None:
        self._backlog = data
        if len(data) > _SHORT_READ_BYTES:
            self._host.backlog_bytes += len(data)

    def _drop_backlog(self) -> None:
        if len(self._backlog) > _SHORT_READ_BYTES:
            self._host.backlog_bytes -= len(self._backlog)
        self._backlog = b""

    def _begin_frame(self, size: int, first: memoryview) -> None:
        self._large_frames = True
        self._frame_buffer = self._host.buffers.take(size)
        self._frame = memoryview(self._frame_buffer)[:size]
        self._frame_size = size
        self._frame_have = have = first.nbytes
        # What is here already is taken whether or not there is room: it is less than a read buffer.
        self._frame[:have] = first
        self._frame_drawn = have
        self._host.byte_pool.used_bytes += have

    def _frame_later(self) -> None:
        """Go on with the frame at hand when it is its turn: a large frame must not keep small requests waiting."""
        if not self._piece_due:
            self._piece_due = True
            self._host.reactor.work_later(self._frame_piece)

    def _frame_piece(self) -> None:
        """Receive a part of the frame, or, once it is whole, handle it."""
        self._piece_due = False
        if self.closed or self._waiting or self._blocked or self._held or self._frame is None:
            return
        self._safely(self._handle_frame if self._frame_have == self._frame_size else self._read_frame)

    def _read_frame(self) -> None:
        """Receive straight into the buffer of the frame at hand."""
        frame = self._frame
        assert frame is not None
        pool = self._host.byte_pool
        end = min(self._frame_size, self._frame_have + _PIECE_BYTES)
        while self._frame_have < end:
            want = end - self._frame_have
            drawn_ahead = self._frame_drawn - self._frame_have
            if drawn_ahead < want:
                if not pool.draw(self, want - drawn_ahead):
                    self._held += 1
                    pool.wait(self, self._release_hold)
                    return
                self._frame_drawn += want - drawn_ahead
            count = self._receive_into(frame[self._frame_have : end])
            if count <= 0:
                if count == 0:
                    self.close()
                else:
                    self._undraw()
                return
            self._frame_have += count
        self._frame_later()

    def _handle_frame(self) -> None:
        frame = self._frame
        assert frame is not None
        self._handle(frame)
        if not self._waiting and not self.closed:
            self._end_frame()
            if not self._blocked and self._tls and self._transport.has_buffered_input():
                self._host.reactor.call_soon(self._continue)

    def _undraw(self) -> None:
        """Give back what was drawn for bytes that did not come yet."""
        excess = self._frame_drawn - self._frame_have
        if excess:
            self._frame_drawn -= excess
            self._host.byte_pool.release(None, excess)

    def _end_frame(self) -> None:
        buffer = self._frame_buffer
        if buffer is not None:
            self._frame = None
            self._frame_buffer = None
            self._host.buffers.give_back(buffer)
            drawn, self._frame_drawn = self._frame_drawn, 0
            self._host.byte_pool.release(self, drawn)

    def _release_hold(self) -> None:
        self._held -= 1
        self._host.reactor.call_soon(self._continue)

    def mute_for(self, delay_ms: float) -> None:
        """Read nothing for a while, as Kafka mutes the channel of a client above its quota. (KIP-219)"""
        self._held += 1
        self._host.call_later(delay_ms, self._release_hold)

    def _continue(self) -> None:
        """Go on after a wait: first with what was received before, then with the socket."""
        if not (self.closed or self._waiting or self._blocked or self._held):
            self._safely(self._go_on)

    def _go_on(self) -> None:
        if self._frame is None and self._backlog:
            backlog = self._backlog
            self._drop_backlog()
            self._take(memoryview(backlog), len(backlog))
        if not self._waiting and not self.closed and not self._blocked and not self._held:
            self._set_interest(READ)
            if self._frame is not None:
                self._frame_later()
            elif self._tls and self._transport.has_buffered_input():
                self._read()

    def _safely(self, step: Callable[[], None]) -> None:
        """Whatever goes wrong ends this connection and nothing else."""
        try:
            step()
        except MalformedRequestError as error:
            self._refuse(error)
        except OSError as error:
            self.close(f"connection lost: {error}")
        except Exception:
            logger.exception("%s: unexpected error, closing the connection", self.peer())
            self.close()

    # -- requests and answers

    def _handle(self, frame: memoryview) -> bool:
        """Dispatch one request. False: no further frame may be handled now."""
        if self._frame is None:
            self._large_frames = False
        if len(frame) > _LONG_WORK_BYTES:
            self._host.reactor.flush_now()
        shape = self.shape
        answer = NOT_ALIKE if shape is None else shape.handle(frame)
        if answer is NOT_ALIKE:
            answer = self._dispatch(frame, self)
        if type(answer) is bytes:
            # What nearly every request comes to.
            self._out.append(answer)
            self._out_bytes += len(answer)
            if not self._flush_pending:
                self._flush_pending = True
                self._host.reactor.flush_later(self._flush)
        else:
            if isinstance(answer, Deferred):
                if not answer.done:
                    self._waiting = True
                    answer.add_callback(self._answered)
                    return False
                answer = answer.result()
            self._queue(cast("Answer", answer))
        if self._out_bytes > _FLUSH_ABOVE_BYTES:
            self._flush_answers()
        return not (self._blocked or self._held or self.closed)

    def _queue(self, answer: Answer) -> None:
        """Put an answer behind those not sent yet."""
        if answer is None:
            return
        if not self._flush_pending:
            self._flush_pending = True
            self._host.reactor.flush_later(self._flush)
        if type(answer) is bytes:
            self._out.append(answer)
            self._out_bytes += len(answer)
        elif type(answer) is list:
            self._out.extend(answer)
            self._out_bytes += sum(map(len, answer))
        elif type(answer) is Refusal:
            if answer.farewell:
                self._out.append(answer.farewell)
            self._flush_answers()
            self.close(answer.reason)

    def _answered(self, deferred: Deferred[Answer]) -> None:
        """The answer of a request that had to wait is there."""
        if self.closed:
            return
        self._waiting = False
        try:
            self._queue(deferred.result())
            if self.closed:
                return
            if self._frame is not None and self._frame_have == self._frame_size:
                self._end_frame()
        except MalformedRequestError as error:
            self._refuse(error)
            return
        except (ConnectionError, TimeoutError, OSError) as error:
            self.close(f"connection lost: {error}")
            return
        except Exception:
            logger.exception("%s: unexpected error, closing the connection", self.peer())
            self.close()
            return
        if not self._blocked:
            if self._backlog or self._frame is not None or self._transport.has_buffered_input():
                self._host.reactor.call_soon(self._continue)
            else:
                self._set_interest(READ)

    def _flush(self) -> None:
        """The reactor's callback at the end of a turn."""
        try:
            self._flush_answers()
        except OSError as error:
            self.close(f"connection lost: {error}")

    def _flush_answers(self) -> None:
        self._flush_pending = False
        out = self._out
        if not out or self.closed:
            return
        self._out = []
        self._out_bytes = 0
        if len(out) > 1 and all(type(piece) is bytes for piece in out):
            out = [b"".join(out)]  # type: ignore[arg-type]
        if not self._transport.send(out) and not self._blocked:
            self._blocked = True
            self._wait_to_send()

    def _wait_to_send(self) -> None:
        """Until the socket takes more, or the disk has given what comes next."""
        cold = self._transport.cold
        if cold is None:
            self._set_interest(WRITE)
            return
        self._set_interest(_MUTED)
        self._host.reactor.run_in_thread(cold.warm).add_callback(self._warmed)

    def _warmed(self, done: Deferred[None]) -> None:
        self._transport.cold = None
        if self.closed:
            return
        try:
            done.result()
            self._on_writable()
        except OSError as error:
            self.close(f"connection lost: {error}")

    def _on_writable(self) -> None:
        if self._transport.cold is not None:
            return
        if not self._transport.flush():
            self._wait_to_send()
            return
        if self._blocked:
            self._blocked = False
            if self._waiting:
                self._set_interest(READ)
            else:
                self._host.reactor.call_soon(self._continue)

    # -- the end

    def _refuse(self, error: MalformedRequestError) -> None:
        logger.warning("closing the connection of %s: %s", self.peer(), error)
        with contextlib.suppress(OSError):
            self._flush_answers()
        self.close()

    def close(self, reason: str | None = None) -> None:
        """Close now. Answers still to come are dropped. May be called any number of times."""
        if self.closed:
            return
        self.closed = True
        if reason:
            logger.debug("%s: %s", self.peer(), reason)
        self._host.reactor.unregister(self.fd)
        self._out = []
        self._drop_backlog()
        context = self.context
        context.mute_for = mute_nothing  # it refers back here, and a closed connection is to be freed at once
        abandon, context.abandon = context.abandon, None
        if abandon is not None:
            abandon()
        self._transport.close()
        self._host.byte_pool.forget(self)
        self._frame = None
        if self._frame_buffer is not None and not self._waiting:
            self._end_frame()
        elif self._frame_drawn:
            # A handler may still look at the buffer: it is left to it, only the count is given back.
            drawn, self._frame_drawn = self._frame_drawn, 0
            self._frame_buffer = None
            self._host.byte_pool.release(self, drawn)
        self._host.closed(self)
