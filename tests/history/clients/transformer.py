"""Consume-transform-produce in transactions: each input has one output, whatever happens.

An output's value is `input>group@transaction`. The loop begins where the group's offsets are, and after anything that
went wrong it begins there again.
"""

from __future__ import annotations

from tests.history.clients.base import World
from tests.history.clients.group import Member, read_offsets
from tests.history.clients.reader import Reader
from tests.history.clients.transactional import AbortError, TransactionalClient
from tests.history.model import Place
from tests.history.network import DisconnectedError

_MOST_INPUTS = 6


class Transformer(TransactionalClient):
    """member: it shares the inputs with the other members of its group (exactly_once_v2); None: they are all its own,
    and only the transactional id keeps another from doing the same work.
    """

    def __init__(
        self,
        world: World,
        name: str,
        transactional_id: str,
        generation: int,
        *,
        group: str,
        inputs: list[Place],
        outputs: list[Place],
        member: Member | None = None,
    ) -> None:
        super().__init__(world, name, transactional_id, generation)
        self.group = group
        self._inputs = inputs
        self._outputs = outputs
        self._member = member
        self._reader = Reader(world, f"{name}.in", inputs, committed_only=True)

    async def run(self) -> None:
        while not self.world.stopping:
            try:
                if not await self.initialise():
                    await self.pause(50.0, 500.0)
                    continue
                while not self.world.stopping and await self._begin_at_the_offsets():
                    if not await self._loop():
                        break
            except DisconnectedError:
                pass
            # Another of the same transactional id, or group, has its turn.
            await self.pause(50.0, 1_500.0)
        self.sender.abandon()

    async def _begin_at_the_offsets(self) -> bool:
        places = self._inputs
        if self._member is not None:
            if self._member.generation < 0:
                while not self.world.stopping and not await self._member.join():
                    await self.pause()
            places = self._member.assigned
        positions: dict[Place, int] = {}
        while len(positions) < len(places) and not self.world.stopping:
            left = [place for place in places if place not in positions]
            positions |= await read_offsets(self, self.group, left)
            await self.pause(1.0, 20.0)
        self._reader.positions = {place: max(position, 0) for place, position in positions.items()}
        return not self.world.stopping

    async def _loop(self) -> bool:
        """Transform until something goes wrong. True: it may begin at the offsets again; False: initialise first."""
        while not self.world.stopping:
            member = self._member
            if member is not None and (member.generation < 0 or await member.heartbeat() != 0):
                return True
            if not self._reader.positions:
                await self.pause(50.0, 300.0)
                continue
            found = await self._reader.poll(list(self._reader.positions), max_wait_ms=20, max_bytes=400)
            values = [entry.value for entries in found.values() for entry in entries if entry.marker is None]
            if not values:
                await self.pause()
                continue
            if not await self._transform(values, dict(self._reader.positions)):
                return False
            if self.random.random() < 0.03:
                await self.pause(500.0, 15_000.0)
        return True

    async def _transform(self, values: list[str], positions: dict[Place, int]) -> bool:
        """One transaction: the outputs of these inputs, and the group's new offsets. False: nothing came of it."""
        random, member = self.random, self._member
        self.begin()
        try:
            batches = []
            for start in range(0, len(values), _MOST_INPUTS):
                part = [f"{value}>{self.group}@{self.transaction}" for value in values[start : start + _MOST_INPUTS]]
                batches.append((random.choice(self._outputs), len(part), part))
            await self.write(batches[:4])
            for start in range(4, len(batches), 4):
                await self.write(batches[start : start + 4])
            if random.random() < 0.05:
                await self.pause(100.0, 12_000.0)
            await self.send_offsets(
                self.group,
                positions,
                generation=-1 if member is None else member.generation,
                member_id="" if member is None else member.member_id,
            )
        except AbortError as error:
            if member is not None:
                member.generation = -1
            if not error.fenced:
                await self.end(commit=False)
            return False
        commit = random.random() < 0.9
        # After an abort the inputs have to be read again.
        return await self.end(commit=commit) and commit
