"""Guards of first batches: who may begin a transaction in a partition  (KIP-890)."""

from __future__ import annotations

import pytest

from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.records import ControlType
from log.append_validation import AppendOrigin
from log.producer_state import ProducerStateManager
from log.verification import VerificationGuard
from tests.log.test_producer_state import NOW, append, end_transaction, header, marker, refused


@pytest.fixture
def manager() -> ProducerStateManager:
    return ProducerStateManager("topic-0", expiration_ms=1000)


def begin(
    manager: ProducerStateManager, sequence: int = 0, *, epoch: int = 0, new: bool = False, producer_id: int = 1
) -> VerificationGuard | None:
    return manager.begin_verification(producer_id, epoch, sequence, must_begin_at_zero=new, now_ms=NOW)


def test_only_with_the_guard_of_this_transaction(manager: ProducerStateManager) -> None:
    refused(ErrorCode.INVALID_TXN_STATE, manager, header(0, 1, 0, 0, transactional=True), guard=None)
    guard = begin(manager)
    assert guard is not None
    other = VerificationGuard(0, 0, 0, False)
    refused(ErrorCode.INVALID_TXN_STATE, manager, header(0, 1, 0, 0, transactional=True), guard=other)
    append(manager, header(0, 1, 0, 0, transactional=True), guard=guard)
    assert begin(manager) is None, "the transaction is open"
    append(manager, header(1, 1, 0, 1, transactional=True), guard=None)


def test_a_marker_in_between_makes_it_void(manager: ProducerStateManager) -> None:
    guard = begin(manager)
    end_transaction(manager, 0, 1, 0, ControlType.ABORT)
    refused(ErrorCode.INVALID_TXN_STATE, manager, header(1, 1, 0, 0, transactional=True), guard=guard)
    again = begin(manager)
    assert again is not guard
    append(manager, header(1, 1, 0, 0, transactional=True), guard=again)


def test_another_batch_in_between_makes_it_void_once_the_transaction_is_over(manager: ProducerStateManager) -> None:
    guard = begin(manager)
    append(manager, header(0, 1, 0, 0, transactional=True), guard=guard)
    end_transaction(manager, 1, 1, 0)
    refused(ErrorCode.INVALID_TXN_STATE, manager, header(2, 1, 0, 1, transactional=True), guard=guard)


def test_batches_that_ask_together_share_it(manager: ProducerStateManager) -> None:
    guard = begin(manager, 0)
    assert begin(manager, 3) is guard


def test_the_lowest_sequence_that_asked_goes_first(manager: ProducerStateManager) -> None:
    guard = begin(manager, 5)
    begin(manager, 3)
    sequence_5 = header(0, 1, 0, 5, transactional=True)
    refused(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, manager, sequence_5, guard=guard)
    append(manager, header(0, 1, 0, 3, 2, transactional=True), guard=guard)
    append(manager, header(2, 1, 0, 5, transactional=True), guard=None)


def test_a_new_epoch_begins_its_sequences_anew(manager: ProducerStateManager) -> None:
    guard = begin(manager, 0, epoch=0)
    assert begin(manager, 4, epoch=1) is guard
    assert guard is not None
    assert (guard.lowest_sequence, guard.epoch) == (4, 1)
    begin(manager, 2, epoch=0)
    assert guard.lowest_sequence == 4


def test_new_producers_begin_at_zero(manager: ProducerStateManager) -> None:
    guard = begin(manager, 2, new=True)
    refused(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, manager, header(0, 1, 0, 2, transactional=True), guard=guard)
    begin(manager, 0, new=True)
    append(manager, header(0, 1, 0, 0, transactional=True), guard=guard)
    batch, data = marker(1, 1, 1)
    append(manager, batch, data, AppendOrigin.COORDINATOR, transaction_version=2)
    guard = begin(manager, 1, epoch=1, new=True)
    refused(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, manager, header(2, 1, 1, 1, transactional=True), guard=guard)


def test_classic_producers_begin_anywhere(manager: ProducerStateManager) -> None:
    """One whose state expired goes on where it was: 59 (UNKNOWN_PRODUCER_ID) is never sent."""
    guard = begin(manager, 12)
    append(manager, header(0, 1, 0, 12, transactional=True), guard=guard)


def test_an_old_epoch_is_told_at_once(manager: ProducerStateManager) -> None:
    append(manager, header(0, 1, 5, 0))
    with pytest.raises(ApiError) as caught:
        begin(manager, epoch=4)
    assert caught.value.code is ErrorCode.INVALID_PRODUCER_EPOCH


def test_a_repetition_needs_no_guard(manager: ProducerStateManager) -> None:
    guard = begin(manager)
    append(manager, header(0, 1, 0, 0, transactional=True), guard=guard)
    end_transaction(manager, 1, 1, 0)
    assert manager.find_duplicate(header(9, 1, 0, 0, transactional=True)) is not None


def test_other_batches_need_none(manager: ProducerStateManager) -> None:
    append(manager, header(0, 1, 0, 0), guard=None)
    batch, data = marker(1, 2, 0)
    append(manager, batch, data, AppendOrigin.COORDINATOR, guard=None)


def test_a_refused_batch_leaves_it(manager: ProducerStateManager) -> None:
    append(manager, header(0, 1, 0, 0))
    guard = begin(manager, 1)
    refused(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, manager, header(1, 1, 0, 3, transactional=True), guard=guard)
    append(manager, header(1, 1, 0, 1, transactional=True), guard=guard)


def test_guards_nobody_shows_are_forgotten(manager: ProducerStateManager) -> None:
    guard = begin(manager)
    manager.remove_expired(NOW + 999)
    assert begin(manager) is guard
    manager.remove_expired(NOW + 1000)
    assert begin(manager) is not guard


def test_made_up_producers_take_little_memory_while_no_coordinator_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("log.producer_state.MOST_VERIFIED", 100)
    manager = ProducerStateManager("t-0")
    first = [begin(manager, producer_id=number) for number in range(100)]
    kept = begin(manager, producer_id=100)
    assert len(manager._verifying) == 100
    assert begin(manager, producer_id=100) is kept
    assert begin(manager, producer_id=1) is first[1]
    assert begin(manager, producer_id=0) is not first[0]
