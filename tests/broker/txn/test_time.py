"""What time does to transactions: open ones are aborted, ids nobody uses are forgotten."""

from __future__ import annotations

import pytest

from broker.txn.config import TransactionConfig
from broker.txn.states import TransactionState
from kwire.error_codes import ErrorCode
from kwire.messages.init_producer_id import InitProducerIdRequest
from tests.broker.txn.txn_world import TxnWorld


@pytest.fixture
def world() -> TxnWorld:
    return TxnWorld()


def test_a_transaction_that_is_open_too_long_is_aborted_at_the_next_look(world: TxnWorld) -> None:
    pid, epoch = world.open(timeout_ms=12_000)
    world.clock.advance(12_000)
    assert world.state() is TransactionState.ONGOING
    world.clock.advance(8_000)
    assert world.state() is TransactionState.COMPLETE_ABORT
    assert world.markers.written == [(pid, epoch + 1, False, 0, (("t", 0),), 2)]
    assert world.end(pid, epoch).error_code == ErrorCode.PRODUCER_FENCED


def test_each_in_its_time(world: TxnWorld) -> None:
    world.open("x", timeout_ms=5_000)
    world.open("y", timeout_ms=15_000)
    world.open("z", timeout_ms=5_000)
    world.clock.advance(10_000)
    assert [world.state(each).name for each in "xyz"] == ["COMPLETE_ABORT", "ONGOING", "COMPLETE_ABORT"]


def test_after_a_restart(world: TxnWorld) -> None:
    world.open(timeout_ms=5_000)
    world.restart()
    world.clock.advance(10_000)
    assert world.state() is TransactionState.COMPLETE_ABORT


def test_exhausted_epochs_and_an_id_that_takes_its_time(world: TxnWorld) -> None:
    world.open(timeout_ms=5_000, version=5)
    found = world.transaction()
    found.producer_epoch = 32_766
    world.producer_ids.hold = True
    world.clock.advance(10_000)
    assert world.state() is TransactionState.ONGOING
    world.producer_ids.release()
    assert world.state() is TransactionState.COMPLETE_ABORT
    assert (world.transaction().producer_id, world.transaction().producer_epoch) == (1, 0)
    assert world.markers.written[0][:2] == (0, 32_767)


def test_ids_nobody_uses_expire(world: TxnWorld) -> None:
    world.config = TransactionConfig(transactional_id_expiration_ms=7_200_000)
    world.restart()
    world.init("x")
    world.open("y", timeout_ms=900_000)
    pid, epoch = world.open("z")
    world.end(pid, epoch, name="z")
    world.clock.advance(3_600_000)
    assert world.init("x").producer_epoch == 1
    world.clock.advance(3_600_000)
    assert world.describe("x").error_code == 0
    assert world.states("z")[-1] == ""
    assert world.describe("z").error_code == ErrorCode.TRANSACTIONAL_ID_NOT_FOUND
    world.restart()
    assert world.describe("z").error_code == ErrorCode.TRANSACTIONAL_ID_NOT_FOUND
    assert world.init("z").producer_epoch == 0


def test_thousands_that_time_out_together_leave_turns_to_others(world: TxnWorld) -> None:
    for number in range(200):
        world.open(str(number), timeout_ms=5_000)
    world.clock.advance(5_001)
    work = world.coordinator._abort_all_timed_out()
    next(work)
    aborted = len(world.list(state_filters=["CompleteAbort"]).transaction_states)
    assert 0 < aborted <= 20
    world.clock.advance(4_999)
    assert len(world.list(state_filters=["CompleteAbort"]).transaction_states) == 200


def test_a_transaction_begun_while_the_last_is_timed_out_goes_on(world: TxnWorld) -> None:
    pid, _ = world.open(timeout_ms=5_000, version=5)
    world.transaction().producer_epoch = 32_766
    world.producer_ids.hold = True
    world.clock.advance(10_000)
    # The timeout waits for a producer id. The client ends the transaction and begins another.
    assert world.end(pid, 32_766, version=4).error_code == 0
    assert world.add(pid, 32_766) == {("t", 0): 0}
    world.producer_ids.release()
    assert world.state() is TransactionState.ONGOING
    world.clock.advance(10_000)
    assert world.state() is TransactionState.COMPLETE_ABORT


def test_many_that_were_prepared_are_finished_after_a_restart(world: TxnWorld) -> None:
    given = {str(number): world.open(str(number)) for number in range(300)}
    world.markers.hold = True
    later = [world.end_later(*ids, name=name) for name, ids in given.items()]
    world.markers.hold = False
    world.markers.written.clear()
    world.restart()
    world.clock.advance(0)
    assert len(later) == len(world.markers.written) == 300
    assert len(world.list(state_filters=["CompleteCommit"]).transaction_states) == 300


def test_many_that_expire_take_several_batches(world: TxnWorld) -> None:
    names = [f"{number:05}" + "n" * 200 for number in range(40)]
    for name in names:
        world.init(name)
    for log in world.topic.logs:
        log.max_batch_bytes = 1_000
    world.clock.advance(604_800_000 + 3_600_000)
    assert world.list().transaction_states == []


def test_timed_out_only_after_its_timeout(world: TxnWorld) -> None:
    world.open(timeout_ms=10_000)
    world.clock.advance(10_000)
    assert world.state() is TransactionState.ONGOING
    world.clock.advance(10_000)
    assert world.state() is TransactionState.COMPLETE_ABORT


def test_a_two_phase_commit_never_times_out() -> None:
    day_ms = 86_400_000
    world = TxnWorld(
        TransactionConfig(
            transaction_two_phase_commit_enable=True,
            transaction_abort_timed_out_transaction_cleanup_interval_ms=day_ms,
            transaction_remove_expired_transaction_cleanup_interval_ms=day_ms,
        )
    )
    given = world.ask(InitProducerIdRequest(transactional_id="x", transaction_timeout_ms=1, enable2_pc=True), 6)
    assert world.add(given.producer_id, given.producer_epoch) == {("t", 0): 0}
    int32_ms_and_more = 30 * day_ms
    world.clock.advance(int32_ms_and_more)
    assert world.state() is TransactionState.ONGOING


def test_what_is_open_does_not_expire() -> None:
    world = TxnWorld(
        TransactionConfig(
            transactional_id_expiration_ms=1_000, transaction_remove_expired_transaction_cleanup_interval_ms=500
        )
    )
    pid, epoch = world.open(timeout_ms=900_000)
    world.clock.advance(5_000)
    assert world.state() is TransactionState.ONGOING
    world.markers.codes[("t", 0)] = ErrorCode.NOT_LEADER_OR_FOLLOWER
    assert world.end(pid, epoch).error_code == 0
    world.clock.advance(5_000)
    assert world.state() is TransactionState.PREPARE_COMMIT
    world.markers.codes.clear()
    world.clock.advance(200)
    assert world.state() is TransactionState.COMPLETE_COMMIT
    world.clock.advance(2_000)
    assert world.describe().error_code == ErrorCode.TRANSACTIONAL_ID_NOT_FOUND
