"""A producer that was fenced is not taken for its successor, whatever generations the two are of."""

from __future__ import annotations

import pytest

from kwire.error_codes import ErrorCode
from tests.broker.txn.txn_world import TxnWorld


@pytest.mark.parametrize("commit", [False, True])
def test_a_fenced_producer_of_generation_2_gets_nothing_of_a_successor_of_generation_1(commit: bool) -> None:
    """Found by tests/history: its EndTxn looked like the retry of one that raised the epoch, and got the new epoch."""
    world = TxnWorld()
    zombie = world.init()
    successor = world.init()
    assert (successor.producer_id, successor.producer_epoch) == (zombie.producer_id, zombie.producer_epoch + 1)
    world.add(successor.producer_id, successor.producer_epoch)
    assert world.end(successor.producer_id, successor.producer_epoch, commit).error_code == 0
    answer = world.end(zombie.producer_id, zombie.producer_epoch, commit, version=5)
    assert answer.error_code == ErrorCode.PRODUCER_FENCED
    assert answer.producer_epoch == -1


def test_a_producer_of_generation_2_may_ask_again_how_its_transaction_ended() -> None:
    world = TxnWorld()
    pid, epoch = world.open(version=4)
    first = world.end(pid, epoch, version=5)
    again = world.end(pid, epoch, version=5)
    assert (first.error_code, first.producer_epoch) == (0, epoch + 1)
    assert (again.error_code, again.producer_id, again.producer_epoch) == (0, pid, epoch + 1)


def test_the_old_producer_id_continues_only_with_its_last_epochs() -> None:
    """After a change of producer id: a zombie of the old id's first epoch is not taken for its successor."""
    world = TxnWorld()
    first = world.init()
    world.transaction().producer_epoch = 32_766
    successor = world.init()
    assert (successor.producer_id, successor.producer_epoch) == (first.producer_id + 1, 0)
    for epoch in (0, 1, 32_765):
        answer = world.init(producer_id=first.producer_id, epoch=epoch)
        assert (answer.error_code, answer.producer_epoch) == (ErrorCode.PRODUCER_FENCED, -1), epoch
    assert world.init(producer_id=successor.producer_id, epoch=0).producer_epoch == 1
