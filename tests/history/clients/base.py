"""What all clients of a history share: a world to live in, a connection, and patience."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, Protocol

from kwire.error_codes import ErrorCode
from tests.history.model import History
from tests.history.network import DisconnectedError

RETRIABLE = frozenset(
    {
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode.LEADER_NOT_AVAILABLE,
        ErrorCode.NOT_LEADER_OR_FOLLOWER,
        ErrorCode.REQUEST_TIMED_OUT,
        ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
        ErrorCode.COORDINATOR_NOT_AVAILABLE,
        ErrorCode.NOT_COORDINATOR,
        ErrorCode.NOT_ENOUGH_REPLICAS,
        ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        ErrorCode.CONCURRENT_TRANSACTIONS,
        ErrorCode.KAFKA_STORAGE_ERROR,
        ErrorCode.UNSTABLE_OFFSET_COMMIT,
        ErrorCode.UNKNOWN_TOPIC_ID,
    }
)
"""Asking again may help, and nothing was done."""

DOUBTFUL = frozenset(
    {
        ErrorCode.UNKNOWN_SERVER_ERROR,
        ErrorCode.COORDINATOR_NOT_AVAILABLE,
        ErrorCode.NOT_COORDINATOR,
        ErrorCode.REQUEST_TIMED_OUT,
        ErrorCode.KAFKA_STORAGE_ERROR,
        ErrorCode.NOT_LEADER_OR_FOLLOWER,
        ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    }
)
"""Refused, but what was asked for may have been appended before."""


class Connected(Protocol):
    """A connection, simulated or not."""

    dropped: bool

    def send(self, request: Any, version: int, *, timeout_ms: float = ...) -> Awaitable[Any]: ...

    def drop(self, why: str) -> None: ...


class World(Protocol):
    """Where clients live. `stopping`: begin nothing new, end what is begun."""

    history: History
    random: Random
    stopping: bool
    topic_ids: dict[str, bytes]

    def now_ms(self) -> float: ...

    def wall_ms(self) -> int: ...

    def sleep(self, ms: float, /) -> Awaitable[None]: ...

    def connect(self, client_id: str, /) -> Awaitable[Connected]: ...


class Client:
    """One process. `name` is unique among those that lived at all."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.history = world.history
        self.random = world.random
        self.name = name
        self._link: Connected | None = None

    async def link(self) -> Connected:
        """The connection, a new one where there is none. Raises DisconnectedError."""
        if self._link is None or self._link.dropped:
            self._link = await self.world.connect(self.name)
        return self._link

    async def call(self, request: Any, version: int, *, timeout_ms: float = 3_000.0) -> Any:
        """The response. Raises DisconnectedError."""
        link = await self.link()
        return await link.send(request, version, timeout_ms=timeout_ms)

    async def call_until(
        self, request: Any, version: int, code_of: Callable[[Any], int], *, for_ms: float = 30_000.0
    ) -> tuple[Any, int, bool]:
        """Ask again while that may help: (last response or None, its code or -1, whether an attempt is in doubt)."""
        give_up_ms = self.world.now_ms() + for_ms
        in_doubt = False
        while True:
            try:
                response = await self.call(request, version)
            except DisconnectedError:
                in_doubt = True
                response, code = None, -1
            else:
                code = code_of(response)
                if code == 0 or ErrorCode(code) not in RETRIABLE:
                    return response, code, in_doubt
                in_doubt = in_doubt or ErrorCode(code) in DOUBTFUL
            if self.world.now_ms() > give_up_ms:
                return response, code, in_doubt
            await self.pause()

    async def pause(self, low_ms: float = 5.0, high_ms: float = 60.0) -> None:
        await self.world.sleep(self.random.uniform(low_ms, high_ms))

    def disconnect(self) -> None:
        if self._link is not None:
            self._link.drop("closed by the client")
