"""Producer state against Kafka's rules, a model of them, and its own replay."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kwire.error_codes import ErrorCode
from kwire.errors import ApiError, CorruptRecordsError
from kwire.records import BatchHeader, ControlType, end_transaction_marker
from log.append_validation import AppendOrigin
from log.producer_entry import BatchMetadata, ProducerEntry, decode_snapshot, encode_snapshot
from log.producer_state import CompletedTransaction, ProducerStateManager

NOW = 1_700_000_000_000
DAY = 86_400_000
TOP = 2**31 - 1


def header(
    offset: int,
    producer_id: int,
    epoch: int,
    sequence: int,
    count: int = 1,
    *,
    transactional: bool = False,
    timestamp: int = NOW,
) -> BatchHeader:
    """A data batch, as the validation hands it on."""
    attributes = 0x10 if transactional else 0
    return BatchHeader(
        0, offset, 60, 0, 2, 0, attributes, count - 1, timestamp, timestamp, producer_id, epoch, sequence, count
    )


def marker(
    offset: int,
    producer_id: int,
    epoch: int,
    kind: ControlType = ControlType.COMMIT,
    *,
    coordinator_epoch: int = 0,
    timestamp: int = NOW,
) -> tuple[BatchHeader, bytearray]:
    data = end_transaction_marker(
        kind,
        producer_id=producer_id,
        producer_epoch=epoch,
        coordinator_epoch=coordinator_epoch,
        timestamp=timestamp,
        base_offset=offset,
    )
    return BatchHeader.peek(data), data


def append(
    manager: ProducerStateManager,
    batch: BatchHeader,
    data: bytearray | None = None,
    origin: AppendOrigin = AppendOrigin.CLIENT,
    **arguments: object,
) -> CompletedTransaction | None:
    update = manager.prepare(batch, data, origin, **arguments)  # type: ignore[arg-type]
    manager.end_offset = batch.next_offset
    return manager.apply(update)


def end_transaction(manager: ProducerStateManager, *arguments: object, **named: object) -> CompletedTransaction | None:
    batch, data = marker(*arguments, **named)  # type: ignore[arg-type]
    return append(manager, batch, data, AppendOrigin.COORDINATOR)


def refused(
    code: ErrorCode,
    manager: ProducerStateManager,
    batch: BatchHeader,
    data: bytearray | None = None,
    origin: AppendOrigin = AppendOrigin.CLIENT,
    **arguments: object,
) -> None:
    before = manager.encode_snapshot()
    with pytest.raises(ApiError) as caught:
        manager.prepare(batch, data, origin, **arguments)  # type: ignore[arg-type]
    assert caught.value.code is code
    assert manager.encode_snapshot() == before


@pytest.fixture
def manager() -> ProducerStateManager:
    return ProducerStateManager("topic-0")


class TestSequences:
    @pytest.mark.parametrize("sequence", [0, 3, 7, TOP])
    def test_first_batch_of_a_producer_may_have_any(self, manager: ProducerStateManager, sequence: int) -> None:
        append(manager, header(0, 1, 0, sequence))
        assert manager.producers[1].last_sequence == sequence

    def test_negative_epochs(self, manager: ProducerStateManager) -> None:
        """Measured on Kafka: -1 is no epoch, and then no sequence is wrong; what is below it is an old epoch."""
        refused(ErrorCode.INVALID_PRODUCER_EPOCH, manager, header(0, 1, -2, 0))
        append(manager, header(0, 1, -1, 0))
        append(manager, header(1, 1, -1, 7))
        refused(ErrorCode.INVALID_PRODUCER_EPOCH, manager, header(2, 1, -2, 0))

    def test_gap(self, manager: ProducerStateManager) -> None:
        append(manager, header(0, 1, 0, 0, 3))
        refused(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, manager, header(3, 1, 0, 4))
        refused(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, manager, header(3, 1, 0, 2))
        append(manager, header(3, 1, 0, 3))

    def test_duplicates_among_the_last_five(self, manager: ProducerStateManager) -> None:
        for index in range(6):
            append(manager, header(10 * index, 1, 0, 3 * index, 3, timestamp=NOW + index))
        assert manager.find_duplicate(header(99, 1, 0, 0, 3)) is None
        refused(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, manager, header(99, 1, 0, 0, 3))
        for index in range(1, 6):
            found = manager.find_duplicate(header(99, 1, 0, 3 * index, 3))
            assert found is not None
            assert (found.first_offset, found.last_offset, found.timestamp) == (10 * index, 10 * index + 2, NOW + index)
        assert manager.find_duplicate(header(99, 1, 0, 3, 2)) is None
        assert manager.find_duplicate(header(99, 1, 1, 3, 3)) is None
        assert manager.find_duplicate(header(99, 2, 0, 3, 3)) is None

    def test_wrap(self, manager: ProducerStateManager) -> None:
        append(manager, header(0, 1, 0, TOP - 1, 2))
        append(manager, header(2, 1, 0, 0, 2))
        manager = ProducerStateManager("topic-0")
        append(manager, header(0, 1, 0, TOP - 1, 4))
        assert manager.producers[1].last_sequence == 1
        assert manager.producers[1].batches[0].first_sequence == TOP - 1
        assert manager.find_duplicate(header(9, 1, 0, TOP - 1, 4)) is not None
        append(manager, header(4, 1, 0, 2))

    def test_epochs(self, manager: ProducerStateManager) -> None:
        append(manager, header(0, 1, 3, 0, 2))
        refused(ErrorCode.INVALID_PRODUCER_EPOCH, manager, header(2, 1, 2, 2))
        refused(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, manager, header(2, 1, 4, 5))
        append(manager, header(2, 1, 4, 0))
        assert [batch.last_offset for batch in manager.producers[1].batches] == [2]
        refused(ErrorCode.INVALID_PRODUCER_EPOCH, manager, header(3, 1, 3, 2))

    def test_others_than_clients_have_no_sequences(self, manager: ProducerStateManager) -> None:
        for origin in (AppendOrigin.COORDINATOR, AppendOrigin.REPLICATION):
            append(manager, header(0, 1, 0, 50), origin=origin)
            append(manager, header(1, 1, 0, 7), origin=origin)
        refused(ErrorCode.INVALID_PRODUCER_EPOCH, manager, header(2, 1, -1, 7), origin=AppendOrigin.COORDINATOR)
        append(manager, header(2, 1, -1, 7), origin=AppendOrigin.REPLICATION)

    def test_a_marker_of_a_new_epoch_begins_sequences_at_zero(self, manager: ProducerStateManager) -> None:
        append(manager, header(0, 1, 0, 0, 5, transactional=True))
        end_transaction(manager, 5, 1, 1)
        refused(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, manager, header(6, 1, 1, 5, transactional=True))
        append(manager, header(6, 1, 1, 0, transactional=True))

    def test_a_marker_of_the_same_epoch_keeps_them(self, manager: ProducerStateManager) -> None:
        append(manager, header(0, 1, 0, 0, 5, transactional=True))
        end_transaction(manager, 5, 1, 0)
        append(manager, header(6, 1, 0, 5, transactional=True))


class TestTransactions:
    def test_one(self, manager: ProducerStateManager) -> None:
        append(manager, header(3, 1, 0, 0, 2, transactional=True))
        assert manager.first_unstable_offset == manager.first_undecided_offset == 3
        assert manager.has_ongoing_transaction(1, 0)
        assert not manager.has_ongoing_transaction(1, 1)
        append(manager, header(5, 1, 0, 2, transactional=True))
        completed = end_transaction(manager, 6, 1, 0, ControlType.ABORT)
        assert completed == CompletedTransaction(1, 3, 6, True, 7)
        assert manager.first_undecided_offset is None
        assert manager.first_unstable_offset == 3
        manager.high_watermark_advanced(6)
        assert manager.first_unstable_offset == 3
        manager.high_watermark_advanced(7)
        assert manager.first_unstable_offset is None

    def test_the_last_stable_offset_of_an_index_entry_is_the_next_open_one(self, manager: ProducerStateManager) -> None:
        append(manager, header(0, 1, 0, 0, transactional=True))
        append(manager, header(1, 2, 0, 0, transactional=True))
        append(manager, header(2, 3, 0, 0, transactional=True))
        assert end_transaction(manager, 3, 2, 0) == CompletedTransaction(2, 1, 3, False, 0)
        assert end_transaction(manager, 4, 1, 0) == CompletedTransaction(1, 0, 4, False, 2)
        assert manager.first_unstable_offset == 0
        manager.high_watermark_advanced(5)
        assert manager.first_unstable_offset == 2

    def test_marker_without_a_transaction(self, manager: ProducerStateManager) -> None:
        assert end_transaction(manager, 0, 1, 0) is None
        assert manager.producers[1] == ProducerEntry(1, 0, 0, NOW)

    def test_plain_batch_within(self, manager: ProducerStateManager) -> None:
        append(manager, header(0, 1, 0, 0, transactional=True))
        refused(ErrorCode.INVALID_TXN_STATE, manager, header(1, 1, 0, 1))

    def test_fencing(self, manager: ProducerStateManager) -> None:
        append(manager, header(0, 1, 5, 0, transactional=True))
        batch, data = marker(1, 1, 4)
        refused(ErrorCode.INVALID_PRODUCER_EPOCH, manager, batch, data, AppendOrigin.COORDINATOR)
        end_transaction(manager, 1, 1, 5, coordinator_epoch=3)
        batch, data = marker(2, 1, 5, coordinator_epoch=2)
        refused(ErrorCode.TRANSACTION_COORDINATOR_FENCED, manager, batch, data, AppendOrigin.COORDINATOR)
        append(manager, batch, data, AppendOrigin.REPLICATION)

    def test_markers_of_version_2_raise_the_epoch(self, manager: ProducerStateManager) -> None:
        append(manager, header(0, 1, 5, 0, transactional=True))
        batch, data = marker(1, 1, 5)
        refused(ErrorCode.INVALID_PRODUCER_EPOCH, manager, batch, data, AppendOrigin.COORDINATOR, transaction_version=2)
        batch, data = marker(1, 1, 6)
        append(manager, batch, data, AppendOrigin.COORDINATOR, transaction_version=2)
        batch, data = marker(2, 1, 6)
        assert append(manager, batch, data, AppendOrigin.COORDINATOR, transaction_version=2) is None

    def test_verification(self, manager: ProducerStateManager) -> None:
        first = header(0, 1, 5, 0, transactional=True)
        refused(ErrorCode.INVALID_TXN_STATE, manager, first, guard=None)
        append(manager, first)
        append(manager, header(1, 1, 5, 1, transactional=True), guard=None)
        end_transaction(manager, 2, 1, 5)
        refused(ErrorCode.INVALID_TXN_STATE, manager, header(3, 1, 5, 2, transactional=True), guard=None)
        refused(
            ErrorCode.INVALID_PRODUCER_EPOCH,
            manager,
            header(3, 1, 4, 2, transactional=True),
            guard=None,
        )

    def test_control_batches_that_are_none(self, manager: ProducerStateManager) -> None:
        batch, data = marker(0, 1, 0)
        batch.record_count = 0
        assert append(manager, batch, None, AppendOrigin.REPLICATION) is None
        assert len(manager) == 0
        batch, data = marker(0, 1, 0)
        data[-20:] = bytes(20)
        with pytest.raises(CorruptRecordsError):
            manager.prepare(batch, data, AppendOrigin.REPLICATION)
        with pytest.raises(ValueError, match="bytes of a control batch"):
            manager.prepare(batch, None, AppendOrigin.REPLICATION)


class TestExpiry:
    def test_idle_producers_go(self) -> None:
        manager = ProducerStateManager("topic-0", expiration_ms=1000)
        append(manager, header(0, 1, 0, 0))
        append(manager, header(1, 2, 0, 0, timestamp=NOW + 1))
        append(manager, header(2, 3, 0, 0, transactional=True))
        assert manager.remove_expired(NOW + 999) == 0
        assert manager.remove_expired(NOW + 1000) == 1
        assert sorted(manager.producers) == [2, 3]
        append(manager, header(3, 1, 0, 77))
        assert manager.oldest_transaction_timestamp() == NOW

    def test_not_loaded_from_a_snapshot(self) -> None:
        manager = ProducerStateManager("topic-0", expiration_ms=1000)
        append(manager, header(0, 1, 0, 0))
        append(manager, header(1, 2, 0, 0, transactional=True))
        other = ProducerStateManager("topic-0", expiration_ms=1000)
        other.load_snapshot(manager.encode_snapshot(), 2, NOW + 5000)
        assert sorted(other.producers) == [2]
        assert other.end_offset == 2
        assert other.first_unstable_offset == 1


class TestSnapshots:
    KAFKAS = bytes.fromhex(
        "0001 517aa04c 00000003"
        "0000000000000000 0000 00000001 0000000000000001 00000001 0000018bcfe569f4 00000000 ffffffffffffffff"
        "0000000000000001 0002 00000007 0000000000000003 00000000 0000018bcfe56802 ffffffff ffffffffffffffff"
        "0000000000000002 0000 00000000 0000000000000004 00000000 0000018bcfe56803 ffffffff 0000000000000004"
    )
    """By Kafka, after an aborted transaction of two records, an idempotent batch, the start of a transaction."""

    def test_a_file_of_kafka_s(self) -> None:
        manager = ProducerStateManager("topic-0")
        append(manager, header(0, 0, 0, 0, 2, transactional=True, timestamp=NOW + 1))
        end_transaction(manager, 2, 0, 0, ControlType.ABORT, timestamp=NOW + 500)
        append(manager, header(3, 1, 2, 7, timestamp=NOW + 2))
        append(manager, header(4, 2, 0, 0, transactional=True, timestamp=NOW + 3))
        assert manager.encode_snapshot() == self.KAFKAS
        entries = decode_snapshot(self.KAFKAS)
        assert encode_snapshot(entries) == self.KAFKAS
        # The timestamp of a producer's last batch is not kept apart from that of its marker.
        assert entries[0] == ProducerEntry(0, 0, 0, NOW + 500, None, [BatchMetadata(1, 1, 1, NOW + 500)])
        assert entries[1:] == [manager.producers[1], manager.producers[2]]

    def test_empty(self) -> None:
        data = ProducerStateManager("topic-0").encode_snapshot()
        assert len(data) == 10
        assert decode_snapshot(data) == []

    def test_cut_or_damaged(self) -> None:
        for size in range(len(self.KAFKAS)):
            with pytest.raises(CorruptRecordsError):
                decode_snapshot(self.KAFKAS[:size])
        for at in range(len(self.KAFKAS)):
            with pytest.raises(CorruptRecordsError):
                decode_snapshot(self.KAFKAS[:at] + bytes((self.KAFKAS[at] ^ 0x40,)) + self.KAFKAS[at + 1 :])
        manager = ProducerStateManager("topic-0", end_offset=5)
        append(manager, header(0, 1, 0, 0))
        with pytest.raises(CorruptRecordsError):
            manager.load_snapshot(self.KAFKAS[:-1], 9, NOW)
        assert sorted(manager.producers) == [1]


class Machine(RuleBasedStateMachine):
    """Random producers and a coordinator; beside it the log they wrote, from which all can be told again."""

    def __init__(self) -> None:
        super().__init__()
        self.manager = ProducerStateManager("topic-0", expiration_ms=DAY)
        self.log: list[tuple[BatchHeader, bytearray | None]] = []
        self.end = 0
        self.now = NOW
        self.high_watermark = 0
        self.kept: dict[int, list[BatchHeader]] = {}
        """Batches a producer's repetition must be recognised among."""
        self.snapshots: list[tuple[int, bytes]] = []

    producers = st.integers(1, 3)

    @initialize(first=st.sampled_from([0, 5, TOP - 2]))
    def start(self, first: int) -> None:
        self.first_sequence = first

    def expected_sequence(self, producer_id: int) -> int:
        entry = self.manager.producers.get(producer_id)
        if entry is None:
            return self.first_sequence
        return (entry.last_sequence + 1) & TOP

    def write(self, batch: BatchHeader, data: bytearray | None, origin: AppendOrigin) -> CompletedTransaction | None:
        completed = self.manager.apply(self.manager.prepare(batch, data, origin))
        self.log.append((batch, data))
        self.end = self.manager.end_offset = batch.next_offset
        return completed

    @rule(
        producer_id=producers,
        count=st.integers(1, 4),
        transactional=st.booleans(),
        gap=st.sampled_from([0, 0, 0, 1, -1]),
        bump=st.sampled_from([0, 0, 0, 1, -1]),
    )
    def produce(self, producer_id: int, count: int, transactional: bool, gap: int, bump: int) -> None:
        entry = self.manager.producers.get(producer_id)
        epoch = max(0, (entry.epoch if entry else 0) + bump)
        fresh = entry is None or epoch > entry.epoch
        sequence = (self.expected_sequence(producer_id) if not entry or epoch == entry.epoch else 0) + gap & TOP
        batch = header(self.end, producer_id, epoch, sequence, count, transactional=transactional, timestamp=self.now)
        if self.manager.find_duplicate(batch) is not None:
            return
        if entry is not None and epoch < entry.epoch:
            code = ErrorCode.INVALID_PRODUCER_EPOCH
        elif entry is not None and gap:
            code = ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
        elif entry is not None and entry.transaction_first_offset is not None and not transactional:
            code = ErrorCode.INVALID_TXN_STATE
        else:
            self.write(batch, None, AppendOrigin.CLIENT)
            self.kept[producer_id] = [*([] if fresh else self.kept.get(producer_id, [])), batch][-5:]
            return
        refused(code, self.manager, batch)

    @rule(producer_id=producers, which=st.integers(0, 6))
    def repeat(self, producer_id: int, which: int) -> None:
        written = [batch for batch, data in self.log if batch.producer_id == producer_id and data is None]
        if not written:
            return
        batch = written[-1 - which % len(written)]
        found = self.manager.find_duplicate(batch)
        if any(batch is kept for kept in self.kept.get(producer_id, [])):
            assert found is not None
            assert (found.first_offset, found.last_offset) == (batch.base_offset, batch.last_offset)

    @rule(
        producer_id=producers,
        kind=st.sampled_from([ControlType.ABORT, ControlType.COMMIT]),
        bump=st.sampled_from([0, 0, 1, -1]),
        coordinator=st.integers(0, 2),
    )
    def end_transaction(self, producer_id: int, kind: ControlType, bump: int, coordinator: int) -> None:
        entry = self.manager.producers.get(producer_id)
        epoch = max(0, (entry.epoch if entry else 0) + bump)
        batch, data = marker(self.end, producer_id, epoch, kind, coordinator_epoch=coordinator, timestamp=self.now)
        if entry is not None and epoch < entry.epoch:
            refused(ErrorCode.INVALID_PRODUCER_EPOCH, self.manager, batch, data, AppendOrigin.COORDINATOR)
        elif entry is not None and coordinator < entry.coordinator_epoch:
            refused(ErrorCode.TRANSACTION_COORDINATOR_FENCED, self.manager, batch, data, AppendOrigin.COORDINATOR)
        else:
            first = entry.transaction_first_offset if entry else None
            if entry is None or entry.epoch != epoch:
                self.kept[producer_id] = []
            completed = self.write(batch, data, AppendOrigin.COORDINATOR)
            if first is None:
                assert completed is None
            else:
                stable = min((one for one in self.open_transactions().values()), default=batch.base_offset + 1)
                assert completed == CompletedTransaction(
                    producer_id, first, batch.base_offset, kind is ControlType.ABORT, stable
                )

    def open_transactions(self) -> dict[int, int]:
        """First offsets by producer, told from the log."""
        found: dict[int, int] = {}
        for batch, data in self.log:
            if data is not None:
                found.pop(batch.producer_id, None)
            elif batch.is_transactional:
                found.setdefault(batch.producer_id, batch.base_offset)
        return found

    @rule(up=st.integers(0, 5))
    def advance_high_watermark(self, up: int) -> None:
        self.high_watermark = min(self.end, self.high_watermark + up)
        self.manager.high_watermark_advanced(self.high_watermark)

    @rule()
    def take_snapshot(self) -> None:
        self.snapshots.append((self.end, self.manager.encode_snapshot()))

    @precondition(lambda self: self.snapshots)
    @rule(which=st.integers(0, 3))
    def reload(self, which: int) -> None:
        """From a snapshot and the batches behind it: the same, but that only the last batch before it is remembered."""
        offset, data = self.snapshots[-1 - which % len(self.snapshots)]
        other = ProducerStateManager("topic-0", expiration_ms=DAY)
        other.load_snapshot(data, offset, self.now)
        assert other.encode_snapshot() == data
        for batch, control in self.log:
            if batch.base_offset >= offset:
                other.replay(batch, control)
        self.check_same(other)

    @rule()
    def reload_everything(self) -> None:
        other = ProducerStateManager("topic-0", expiration_ms=DAY)
        for batch, control in self.log:
            other.replay(batch, control)
        self.check_same(other)
        assert other.producers == self.manager.producers

    def check_same(self, other: ProducerStateManager) -> None:
        assert other.end_offset == self.end
        assert sorted(decode_snapshot(other.encode_snapshot()), key=lambda one: one.producer_id) == sorted(
            decode_snapshot(self.manager.encode_snapshot()), key=lambda one: one.producer_id
        )
        assert other.first_undecided_offset == self.manager.first_undecided_offset
        other.high_watermark_advanced(self.high_watermark)
        for producer_id, entry in other.producers.items():
            assert self.manager.producers[producer_id].batches[-len(entry.batches) :] == entry.batches

    @invariant()
    def the_first_unstable_offset_is_right(self) -> None:
        opened = self.open_transactions()
        assert self.manager.first_undecided_offset == min(opened.values(), default=None)
        begun: dict[int, int] = {}
        unstable = list(opened.values())
        for batch, data in self.log:
            if data is None and batch.is_transactional:
                begun.setdefault(batch.producer_id, batch.base_offset)
            elif data is not None and batch.producer_id in begun:
                first = begun.pop(batch.producer_id)
                if batch.base_offset >= self.high_watermark:
                    unstable.append(first)
        assert self.manager.first_unstable_offset == min(unstable, default=None)


TestMachine = Machine.TestCase
TestMachine.settings = settings(stateful_step_count=40, deadline=None)
