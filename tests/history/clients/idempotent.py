"""An idempotent producer without transactions: it goes on with a new epoch or id when a session is over."""

from __future__ import annotations

from kwire.messages.init_producer_id import InitProducerIdRequest
from tests.history.clients.base import Client, World
from tests.history.clients.sender import Sender, SessionOverError
from tests.history.model import Place


class IdempotentProducer(Client):
    """Writes to all its places until the world stops."""

    def __init__(self, world: World, name: str, places: list[Place], version: int) -> None:
        super().__init__(world, name)
        self._places = places
        self._sender = Sender(self, None, version)

    async def run(self) -> None:
        sender = self._sender
        fresh = False
        while not self.world.stopping:
            if not fresh and not await self._begin():
                continue
            fresh = True
            try:
                await self._produce()
            except SessionOverError:
                # As Java's client: the epoch is raised by the client itself. (KIP-360)
                if sender.epoch < 100 and self.random.random() < 0.7:
                    sender.begin(sender.producer_id, sender.epoch + 1)
                else:
                    fresh = False
                    sender.abandon()
        sender.abandon()

    async def _begin(self) -> bool:
        request = InitProducerIdRequest(transactional_id=None, transaction_timeout_ms=60_000)
        response, code, _ = await self.call_until(request, 5, lambda answer: answer.error_code)
        if code != 0:
            return False
        self._sender.begin(response.producer_id, response.producer_epoch)
        return True

    async def _produce(self) -> None:
        sender = self._sender
        while not self.world.stopping:
            for place in self.random.sample(self._places, self.random.randint(1, len(self._places))):
                for _ in range(self.random.choice((1, 1, 2, 4))):
                    if sender.room(place):
                        sender.add(place, self.random.choice((1, 1, 2, 3)))
            await sender.flush()
            await self.pause(1.0, 40.0)
