"""What the transaction coordinator costs:  python -m tests.broker.txn.measure

Microseconds from decoded request to response, handlers included, sockets, codec and markers not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from broker.context import ConnectionContext, RequestContext
from broker.deferred import start
from broker.handlers.transactions.add_partitions_to_txn import add_partitions_to_txn
from broker.handlers.transactions.end_txn import end_txn
from kwire.api_keys import ApiKey
from kwire.messages.add_partitions_to_txn import AddPartitionsToTxnRequest
from kwire.messages.end_txn import EndTxnRequest
from tests.broker.coordinator.group_world import value
from tests.broker.txn.txn_world import TxnWorld, by_topic


def context(api: ApiKey, version: int) -> RequestContext:
    connection = ConnectionContext("PLAINTEXT", "127.0.0.1", "127.0.0.1", 9092, "User:ANONYMOUS", 1)
    return RequestContext(connection, api, version, 0, "c")


def report(what: str, fn: Callable[[], object], times: int) -> None:
    best = float("inf")
    for _ in range(5):
        begin = time.perf_counter()
        for _ in range(times):
            fn()
        best = min(best, (time.perf_counter() - begin) / times)
    print(f"{what:45} {best * 1e6:10.2f} us")


def main() -> None:
    for partitions in (1, 10):
        classic(partitions)
        raised(partitions)
    loading()


def cleared(world: TxnWorld) -> None:
    world.log_of().batches.clear()
    world.markers.written.clear()


def classic(partitions: int) -> None:
    world = TxnWorld(t=partitions)
    given = world.init()
    wanted = [("t", index) for index in range(partitions)]
    add = AddPartitionsToTxnRequest(
        v3_and_below_transactional_id="x",
        v3_and_below_producer_id=given.producer_id,
        v3_and_below_producer_epoch=0,
        v3_and_below_topics=by_topic(wanted),
    )
    end = EndTxnRequest(transactional_id="x", producer_id=given.producer_id, producer_epoch=0, committed=True)
    add_context, end_context = context(ApiKey.ADD_PARTITIONS_TO_TXN, 3), context(ApiKey.END_TXN, 4)

    def once() -> None:
        value(start(add_partitions_to_txn(add, add_context, world.coordinator)))
        assert value(start(end_txn(end, end_context, world.coordinator))).error_code == 0
        cleared(world)

    report(f"classic: AddPartitions({partitions}), EndTxn", once, 5_000)


def raised(partitions: int) -> None:
    world = TxnWorld(t=partitions)
    given = world.init()
    wanted = [("t", index) for index in range(partitions)]
    epoch = 0
    end_context = context(ApiKey.END_TXN, 5)

    def once() -> None:
        nonlocal epoch
        world.coordinator.verify("x", given.producer_id, epoch, wanted, add=True)
        end = EndTxnRequest(transactional_id="x", producer_id=given.producer_id, producer_epoch=epoch, committed=True)
        answer: Any = value(start(end_txn(end, end_context, world.coordinator)))
        assert answer.error_code == 0
        epoch = answer.producer_epoch
        cleared(world)

    report(f"transaction.version 2: verify({partitions}), EndTxn", once, 5_000)


def loading() -> None:
    world = TxnWorld(partitions=1)
    for number in range(20_000):
        world.coordinator._shards.of("x").run(lambda _: None)
        world.open(f"transaction-{number}")
    begin = time.perf_counter()
    world.restart()
    while world.coordinator._shards[0].status.value == "loading":
        world.settle()
    print(f"loading 20,000 open transactions, 2 records each: {time.perf_counter() - begin:.3f} s")


if __name__ == "__main__":
    main()
