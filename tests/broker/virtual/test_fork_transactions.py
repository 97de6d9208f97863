"""A transaction that is open when a cluster is forked is open in both, and ends in each as its producer there wants."""

from __future__ import annotations

from pathlib import Path

import trio

from tests.broker.test_transactions import Producer, bases, fetched
from tests.broker.virtual.helpers import plane


def test_an_open_transaction_goes_on_in_the_fork(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            virtual = await p.made("c", topics={"t": 1})
            client = await p.connect(virtual)
            producer = await Producer(client, "id").init()
            assert (await producer.produce("t", b"one")).error_code == 0
            fork = p.clusters.fork("c")
            other = await p.connect(fork)
            for each in (client, other):
                data = await fetched(each, "t")
                assert (data.high_watermark, data.last_stable_offset) == (1, 0)
            # the same producer, in the fork: its next record, and the end
            there = Producer(other, "id")
            there.producer_id, there.epoch, there.sequence = producer.producer_id, producer.epoch, producer.sequence
            while (answer := await there.produce("t", b"two")).error_code in (14, 16, 51):  # loading
                pass
            assert answer.error_code == 0
            await there.end(committed=True)
            await producer.end(committed=False)
            data = await fetched(other, "t")
            assert data.last_stable_offset == data.high_watermark == 3
            assert not data.aborted_transactions
            data = await fetched(client, "t")
            assert data.last_stable_offset == data.high_watermark == 2
            assert [each.first_offset for each in data.aborted_transactions] == [0]
            assert bases(data)[0] == 0
            # the next transaction in each
            for each in (there, producer):
                assert (await each.produce("t", b"next")).error_code == 0
                await each.end(committed=True)

    trio.run(main)
