"""Connections of a simulation: frames take their time, in order, and a connection may drop before the broker got a
request, or after it handled it and before the client got the answer.
"""

from __future__ import annotations

import logging
import struct
from collections import deque
from typing import Any

from attrs import define

from broker.context import ConnectionContext
from broker.deferred import Deferred
from broker.dispatch import NOT_ALIKE, Refusal
from kwire import codec, headers
from kwire.api_keys import ApiKey
from kwire.messages import response_class
from tests.history.simulated_broker import SimulatedBroker
from tests.history.simulation import Simulation

logger = logging.getLogger("kwire.history")


class DisconnectedError(Exception):
    """There is no connection any more, and no answer: whether the broker handled the request is not known."""


@define
class Chances:
    """How likely it is, per request, that the connection drops before or after it is handled."""

    before: float = 0.003
    after: float = 0.003


class Network:
    """Between the clients and one broker."""

    def __init__(self, simulation: Simulation, broker: SimulatedBroker) -> None:
        self.simulation = simulation
        self.broker = broker
        self.chances = Chances(0.0, 0.0)
        self.dropped_before = 0
        self.dropped_after = 0
        self.requests = 0
        self._links: dict[Link, None] = {}
        broker.on_death = self.drop_all

    async def connect(self, client_id: str) -> Link:
        """Raises DisconnectedError when nobody listens."""
        await self.simulation.sleep(self.latency_ms())
        if not self.broker.up:
            raise DisconnectedError("connection refused")
        link = Link(self, client_id, self.broker.incarnation)
        self._links[link] = None
        return link

    def latency_ms(self) -> float:
        return self.simulation.random.uniform(0.05, 1.5)

    def drop_all(self) -> None:
        """Every connection is gone, with what is on the way."""
        for link in list(self._links):
            link.drop("connection lost")

    def forget(self, link: Link) -> None:
        self._links.pop(link, None)


class Link:
    """One connection, with the broker's end of it. Requests may be sent without waiting for the answers before."""

    def __init__(self, network: Network, client_id: str, incarnation: int) -> None:
        self._network = network
        self._client_id = client_id
        self._incarnation = incarnation
        self._correlation_id = 0
        self._waiting: dict[int, tuple[Deferred[Any], ApiKey, int]] = {}
        self._arrives_ms = 0.0
        self._answer_arrives_ms = 0.0
        self._inbox: deque[tuple[int, bytearray]] = deque()
        self._busy = False
        self.dropped = False
        self.shape: Any = None  # what the broker keeps of the connection's last request
        self.context = ConnectionContext("PLAINTEXT", "127.0.0.1", "127.0.0.1", 9092, "User:ANONYMOUS", 1)

    # The client's end

    def send(self, request: Any, version: int, *, timeout_ms: float = 3_000.0) -> Deferred[Any]:
        """The response, later; fails with DisconnectedError. Without an answer in time the connection is given up."""
        answer: Deferred[Any] = Deferred()
        if self.dropped:
            answer.fail(DisconnectedError("connection lost"))
            return answer
        self._correlation_id += 1
        key = api_key(type(request))
        head = headers.RequestHeader(key, version, self._correlation_id, self._client_id)
        frame = bytearray(headers.encode_request_header(head)) + codec.encode(request, version)
        number = self._correlation_id
        self._waiting[number] = (answer, key, version)
        self._network.requests += 1
        simulation = self._network.simulation
        self._arrives_ms = max(self._arrives_ms, simulation.now_ms + self._network.latency_ms())
        simulation.after(self._arrives_ms - simulation.now_ms, lambda: self._arrived(number, frame))
        simulation.after(timeout_ms, lambda: self._check_timeout(number))
        return answer

    def _check_timeout(self, number: int) -> None:
        if number in self._waiting:
            self.drop("no answer in time")

    def drop(self, why: str) -> None:
        """The connection is gone: no answer comes any more."""
        if self.dropped:
            return
        self.dropped = True
        self._network.forget(self)
        self._inbox.clear()
        abandon, self.context.abandon = self.context.abandon, None
        if abandon is not None and self._incarnation == self._network.broker.incarnation:
            abandon()
        waiting, self._waiting = self._waiting, {}
        for answer, _, _ in waiting.values():
            self._network.simulation.after(0.1, lambda answer=answer: answer.fail(DisconnectedError(why)))  # type: ignore[misc]

    # The broker's end

    def _arrived(self, number: int, frame: bytearray) -> None:
        if not self.dropped:
            self._inbox.append((number, frame))
            self._serve()

    def _serve(self) -> None:
        """Handle requests one at a time, as the broker's connections do."""
        network = self._network
        while self._inbox and not self._busy and not self.dropped:
            number, frame = self._inbox.popleft()
            drawn = network.simulation.random.random()
            if drawn < network.chances.before:
                network.dropped_before += 1
                self.drop("connection lost")
                return
            lose = drawn > 1.0 - network.chances.after
            self._busy = True
            network.broker.step(self._incarnation, lambda: self._handle(number, frame, lose))  # noqa: B023

    def _handle(self, number: int, frame: bytearray, lose: bool) -> None:
        view = memoryview(frame)
        cluster = self._network.broker.cluster
        assert cluster is not None
        answer: Any = NOT_ALIKE if self.shape is None else self.shape.handle(view)
        if answer is NOT_ALIKE:
            try:
                answer = cluster.dispatcher.dispatch(view, self)  # type: ignore[arg-type]
            except OSError as error:
                self.drop(f"connection lost: {error}")
                return
            except Exception:
                logger.exception("unexpected error in a request of %s", self._client_id)
                self.drop("the broker failed")
                return
        if isinstance(answer, Deferred):
            answer.add_callback(lambda done: self._answered_later(number, done, lose))
        else:
            self._answered(number, answer, lose)

    def _answered_later(self, number: int, done: Deferred[Any], lose: bool) -> None:
        try:
            answer = done.result()
        except OSError as error:
            self.drop(f"connection lost: {error}")
        except Exception:
            logger.exception("unexpected error in the answer to request %d of %s", number, self._client_id)
            self.drop("the broker failed")
        else:
            self._answered(number, answer, lose)

    def _answered(self, number: int, answer: Any, lose: bool) -> None:
        self._busy = False
        if self.dropped:
            return
        if lose:
            self._network.dropped_after += 1
            self.drop("connection lost")
            return
        if isinstance(answer, Refusal):
            self.drop(answer.reason)
            return
        try:
            data = answer if isinstance(answer, bytes) else b"".join(map(_piece, answer))
        except OSError:
            self.drop("the broker cannot read its disk")
            return
        simulation = self._network.simulation
        self._answer_arrives_ms = max(self._answer_arrives_ms, simulation.now_ms + self._network.latency_ms())
        simulation.after(self._answer_arrives_ms - simulation.now_ms, lambda: self._received(number, data))
        if self._inbox:
            simulation.after(0.0, self._serve)

    def _received(self, number: int, data: bytes) -> None:
        waiting = self._waiting.pop(number, None)
        if waiting is not None:
            answer, key, version = waiting
            answer.resolve(decode_answer(data[4:], key, version, number))


def _piece(piece: Any) -> bytes:
    return bytes(piece) if isinstance(piece, (bytes, memoryview)) else piece.read()


def decode_answer(data: bytes, key: ApiKey, version: int, number: int) -> Any:
    """The response in a frame (without its size)."""
    (correlation_id,) = struct.unpack_from(">i", data)
    assert correlation_id == number, f"answer to {correlation_id}, not to {number}"
    _, offset = headers.decode_response_header(headers.response_header_version(key, version), data)
    return codec.decode(response_class(key), version, data, offset)


def api_key(request: type[Any]) -> ApiKey:
    """Messages live in modules named after their API."""
    return ApiKey[request.__module__.rpartition(".")[2].upper()]
