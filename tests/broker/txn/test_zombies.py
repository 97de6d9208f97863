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
