"""What a partition remembers of its producers: sequences, epochs, open transactions  (Kafka: ProducerStateManager).

    manager = ProducerStateManager("topic-0", expiration_ms=86_400_000)

    # an append, `header` being that of the validated batch, with its final offsets
    if header.has_producer_id:
        duplicate = manager.find_duplicate(header)             # clients only
        update = manager.prepare(header, data, origin)         # RecordsRejectedError; changes nothing
    ... the batch is written ...
        completed = manager.apply(update)                      # a marker ended a transaction: to .txnindex if aborted
    manager.end_offset = header.next_offset

    # loading a log
    manager.load_snapshot(file_bytes, offset, now_ms)          # CorruptRecordsError: try the one before
    manager.replay(header, data)                               # each batch from `offset` on; then set end_offset

Pure state: no files, no clock. `manager.encode_snapshot()` gives the bytes of a `.snapshot` file;
`manager.end_offset` is the offset up to which (exclusive) the state goes, and names that file.

The last stable offset is `first_unstable_offset` where that is below the high watermark, else the high watermark.
"""

from collections.abc import Mapping

from attrs import define

from kwire.error_codes import ErrorCode
from kwire.errors import CorruptRecordsError
from kwire.records.batch import (
    NO_PRODUCER_EPOCH,
    NO_PRODUCER_ID,
    NO_TIMESTAMP,
    BatchHeader,
    Buffer,
)
from kwire.records.control import ControlType, decode_control_type, decode_marker_value, read_plain_marker
from kwire.records.record import read_records
from log.append_errors import RecordsRejectedError
from log.append_validation import AppendOrigin
from log.producer_entry import BatchMetadata, ProducerEntry, decode_snapshot, encode_snapshot
from log.verification import UNCHECKED, VerificationGuard

BATCHES_KEPT = 5
"""Batches of a producer that a repetition is recognised among."""
MAX_SEQUENCE = 0x7FFFFFFF
MOST_VERIFIED = 50_000
"""Guards kept in a partition. Who asks while no coordinator can answer leaves one behind for each producer id, also for
one that was made up; the oldest becomes void then."""
MAX_EPOCH = 0x7FFF


@define(slots=True, frozen=True)
class CompletedTransaction:
    """A transaction that a marker ended. `last_stable_offset` is what the transaction index records beside it."""

    producer_id: int
    first_offset: int
    last_offset: int
    """The marker's."""
    aborted: bool
    last_stable_offset: int


@define(slots=True, frozen=True)
class _Marker:
    aborted: bool
    coordinator_epoch: int
    timestamp: int


@define(slots=True, frozen=True)
class ProducerUpdate:
    """What one batch is going to change, checked and not yet done."""

    header: BatchHeader
    marker: _Marker | None
    is_empty_control: bool = False


class ProducerStateManager:
    """See the module's docstring. `partition` ("topic-0") is for messages only."""

    __slots__ = ("_completed", "_ongoing", "_producers", "_verifying", "end_offset", "expiration_ms", "partition")

    def __init__(self, partition: str, *, expiration_ms: int = 86_400_000, end_offset: int = 0) -> None:
        self.partition = partition
        self.expiration_ms = expiration_ms
        self.end_offset = end_offset
        self._producers: dict[int, ProducerEntry] = {}
        self._ongoing: dict[int, int] = {}
        """First offset -> producer id of the open transactions, by rising offset."""
        self._completed: dict[int, int] = {}
        """First -> last offset of ended transactions whose marker is not below the high watermark yet."""
        self._verifying: dict[int, VerificationGuard] = {}
        """By producer id: transactions whose first batch here waits for the coordinator's answer."""

    # State

    def __len__(self) -> int:
        """Producer ids known."""
        return len(self._producers)

    @property
    def producers(self) -> Mapping[int, ProducerEntry]:
        """By producer id. To look at, not to change."""
        return self._producers

    @property
    def first_unstable_offset(self) -> int | None:
        """Where the first transaction begins that is open, or whose marker is not below the high watermark."""
        ongoing = next(iter(self._ongoing), None)
        if not self._completed:
            return ongoing
        completed = min(self._completed)
        return completed if ongoing is None else min(ongoing, completed)

    @property
    def first_undecided_offset(self) -> int | None:
        """Where the first open transaction begins."""
        return next(iter(self._ongoing), None)

    def oldest_transaction_timestamp(self) -> int:
        """The last timestamp of the producer whose transaction is the oldest open one, -1 without one."""
        for producer_id in self._ongoing.values():
            entry = self._producers.get(producer_id)
            return NO_TIMESTAMP if entry is None else entry.last_timestamp
        return NO_TIMESTAMP

    def has_ongoing_transaction(self, producer_id: int, epoch: int) -> bool:
        entry = self._producers.get(producer_id)
        return entry is not None and entry.transaction_first_offset is not None and entry.epoch == epoch

    # Appending

    def begin_verification(
        self, producer_id: int, epoch: int, sequence: int, *, must_begin_at_zero: bool, now_ms: int
    ) -> VerificationGuard | None:
        """Taken before the coordinator is asked about a batch's transaction. None: it is open here, so it knows.

        RecordsRejectedError INVALID_PRODUCER_EPOCH: a newer epoch was seen.
        (Kafka: UnifiedLog.maybeStartTransactionVerification)
        """
        entry = self._producers.get(producer_id)
        if entry is not None:
            if epoch < entry.epoch:
                raise _old_epoch(entry, epoch)
            if entry.transaction_first_offset is not None and entry.epoch == epoch:
                return None
        guard = self._verifying.get(producer_id)
        if guard is None:
            if len(self._verifying) >= MOST_VERIFIED:
                del self._verifying[next(iter(self._verifying))]
            guard = self._verifying[producer_id] = VerificationGuard(now_ms, sequence, epoch, must_begin_at_zero)
        else:
            guard.note(sequence, epoch)
        return guard

    def drop_verification(self, producer_id: int, guard: VerificationGuard) -> None:
        """The producer id is not that of the transactional id: whoever makes ids up takes no memory."""
        if self._verifying.get(producer_id) is guard:
            del self._verifying[producer_id]

    def find_duplicate(self, header: BatchHeader) -> BatchMetadata | None:
        """The batch of the same producer, epoch and sequences among its last five: the answer is its offsets.

        Kafka answers its timestamp as the log append time.
        """
        entry = self._producers.get(header.producer_id)
        if entry is None or entry.epoch != header.producer_epoch:
            return None
        last = header.last_sequence
        for batch in entry.batches:
            if batch.last_sequence == last and batch.first_sequence == header.base_sequence:
                return batch
        return None

    def prepare(
        self,
        header: BatchHeader,
        data: Buffer | None,
        origin: AppendOrigin,
        *,
        guard: VerificationGuard | None = UNCHECKED,
        transaction_version: int = -1,
    ) -> ProducerUpdate:
        """Check a batch that has a producer id; nothing is changed. It must carry its final offsets.

        `data` holds the batch at `header.position`; it is looked at for control batches only. `guard`: what
        `begin_verification` gave, the coordinator having said yes since; None: it was not asked. `transaction_version`
        is that of a marker's transaction: from 2 on its epoch must be above the last one seen, but for a repetition.

        RecordsRejectedError: INVALID_PRODUCER_EPOCH, OUT_OF_ORDER_SEQUENCE_NUMBER (clients), INVALID_TXN_STATE,
        TRANSACTION_COORDINATOR_FENCED. CorruptRecordsError: a control batch that is none.
        (Kafka: ProducerAppendInfo, UnifiedLog.analyzeAndValidateProducerState)
        """
        entry = self._producers.get(header.producer_id)
        if entry is None and header.producer_epoch < NO_PRODUCER_EPOCH and origin is not AppendOrigin.REPLICATION:
            raise _old_epoch(ProducerEntry(header.producer_id), header.producer_epoch)
        if header.is_control:
            if header.record_count == 0:
                return ProducerUpdate(header, None, is_empty_control=True)  # the cleaner removed its transaction
            marker = _read_marker(header, data)
            if entry is not None:
                self._check_epoch(entry, header, origin, transaction_version)
                self._check_coordinator_epoch(entry, marker, header, origin)
            return ProducerUpdate(header, marker)
        if entry is None:
            if header.is_transactional:
                self._check_guard(header, guard)
            if self._verifying and origin is AppendOrigin.CLIENT:
                self._check_first_sequence(header, knows_batches=False)
            return ProducerUpdate(header, None)
        if (
            header.is_transactional
            and (origin is AppendOrigin.CLIENT or origin is AppendOrigin.COORDINATOR)
            and not (entry.transaction_first_offset is not None and entry.epoch == header.producer_epoch)
        ):
            if header.producer_epoch < entry.epoch:
                raise _old_epoch(entry, header.producer_epoch)
            self._check_guard(header, guard)
        self._check_epoch(entry, header, origin, -1)
        if origin is AppendOrigin.CLIENT:
            if self._verifying:
                self._check_first_sequence(header, knows_batches=bool(entry.batches))
            self._check_sequence(entry, header)
        if entry.transaction_first_offset is not None and not header.is_transactional:
            raise RecordsRejectedError(
                ErrorCode.INVALID_TXN_STATE,
                f"Expected transactional write from producer {entry.producer_id} at offset {header.base_offset} in "
                f"partition {self.partition}",
            )
        return ProducerUpdate(header, None)

    def apply(self, update: ProducerUpdate) -> CompletedTransaction | None:
        """Make a prepared change, the batch being in the log. A marker of an open transaction gives that
        transaction."""
        header = update.header
        producer_id = header.producer_id
        if producer_id == NO_PRODUCER_ID:
            raise ValueError("a batch without a producer id changes nothing")
        if update.is_empty_control:
            return None
        if self._verifying and header.is_transactional:
            self._verifying.pop(producer_id, None)
        entry = self._producers.get(producer_id)
        if entry is None:
            entry = self._producers[producer_id] = ProducerEntry(producer_id)
        batches = entry.batches
        if entry.epoch != header.producer_epoch:
            entry.epoch = header.producer_epoch
            batches.clear()
        if update.marker is not None:
            return self._apply_marker(entry, header, update.marker)
        delta = header.last_offset_delta
        if len(batches) == BATCHES_KEPT:
            del batches[0]
        timestamp = header.max_timestamp
        batches.append(BatchMetadata(header.last_sequence, header.base_offset + delta, delta, timestamp))
        entry.last_timestamp = timestamp
        if header.is_transactional and entry.transaction_first_offset is None:
            entry.transaction_first_offset = header.base_offset
            self._ongoing[header.base_offset] = producer_id
        return None

    def _apply_marker(self, entry: ProducerEntry, header: BatchHeader, marker: _Marker) -> CompletedTransaction | None:
        first_offset = entry.transaction_first_offset
        entry.coordinator_epoch = marker.coordinator_epoch
        entry.last_timestamp = marker.timestamp
        entry.transaction_first_offset = None
        if first_offset is None:
            return None
        last_offset = header.base_offset
        self._ongoing.pop(first_offset, None)
        stable = next(iter(self._ongoing), last_offset + 1)
        self._completed[first_offset] = last_offset
        return CompletedTransaction(entry.producer_id, first_offset, last_offset, marker.aborted, stable)

    def _check_epoch(
        self, entry: ProducerEntry, header: BatchHeader, origin: AppendOrigin, transaction_version: int
    ) -> None:
        epoch = header.producer_epoch
        seen = entry.epoch
        if transaction_version >= 2:
            if epoch > seen:
                return
            if epoch == seen and (entry.transaction_first_offset is None or epoch == MAX_EPOCH):
                return  # the marker again, or one of a producer whose epochs are used up
            relation = "<="
        elif epoch >= seen:
            return
        else:
            relation = "<"
        if origin is not AppendOrigin.REPLICATION:
            raise RecordsRejectedError(
                ErrorCode.INVALID_PRODUCER_EPOCH,
                f"Epoch of producer {entry.producer_id} at offset {header.base_offset} in {self.partition} is {epoch}, "
                f"which is {relation} the last seen epoch {seen} (TV{transaction_version})",
            )

    def _check_coordinator_epoch(
        self, entry: ProducerEntry, marker: _Marker, header: BatchHeader, origin: AppendOrigin
    ) -> None:
        if entry.coordinator_epoch > marker.coordinator_epoch and origin is not AppendOrigin.REPLICATION:
            raise RecordsRejectedError(
                ErrorCode.TRANSACTION_COORDINATOR_FENCED,
                f"Invalid coordinator epoch for producerId {entry.producer_id} at offset {header.base_offset} in "
                f"partition {self.partition}: {marker.coordinator_epoch} (zombie), {entry.coordinator_epoch} (current)",
            )

    def _check_guard(self, header: BatchHeader, guard: VerificationGuard | None) -> None:
        """The first batch of a transaction: the coordinator knows of it, and nothing of it was written meanwhile."""
        if guard is not UNCHECKED and (guard is None or self._verifying.get(header.producer_id) is not guard):
            raise RecordsRejectedError(ErrorCode.INVALID_TXN_STATE, "Record was not part of an ongoing transaction")

    def _check_first_sequence(self, header: BatchHeader, *, knows_batches: bool) -> None:
        """While a transaction is being verified, its lowest sequence goes first  (Kafka: ProducerAppendInfo)."""
        guard = self._verifying.get(header.producer_id)
        if guard is None:
            return
        first = header.base_sequence
        if (guard.must_begin_at_zero and first != 0 and not knows_batches) or first > guard.lowest_sequence:
            raise RecordsRejectedError(
                ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
                f"Out of order sequence number for producer {header.producer_id} at offset {header.base_offset} in "
                f"partition {self.partition}: {first} (incoming seq. number), {guard.lowest_sequence} (earliest seen "
                f"sequence)",
            )

    def _check_sequence(self, entry: ProducerEntry, header: BatchHeader) -> None:
        first = header.base_sequence
        if header.producer_epoch != entry.epoch:
            if first != 0 and entry.epoch != NO_PRODUCER_EPOCH:
                raise RecordsRejectedError(
                    ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
                    f"Invalid sequence number for new epoch of producer {entry.producer_id} at offset "
                    f"{header.base_offset} in partition {self.partition}: {header.producer_epoch} (request epoch), "
                    f"{first} (seq. number), {entry.epoch} (current producer epoch)",
                )
            return
        last = entry.last_sequence
        if first == last + 1 or (first == 0 and last == MAX_SEQUENCE) or entry.epoch == NO_PRODUCER_EPOCH:
            return  # without an epoch Kafka takes any sequence
        raise RecordsRejectedError(
            ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
            f"Out of order sequence number for producer {entry.producer_id} at offset {header.base_offset} in "
            f"partition {self.partition}: {first} (incoming seq. number), {last} (current end sequence number)",
        )

    def high_watermark_advanced(self, high_watermark: int) -> None:
        """Transactions whose marker is below it hold the last stable offset no longer."""
        if self._completed:
            self._forget_completed_below(high_watermark)

    def _forget_completed_below(self, offset: int) -> None:
        for first_offset in [first for first, last in self._completed.items() if last < offset]:
            del self._completed[first_offset]

    # Expiry, deletion, truncation

    def remove_expired(self, now_ms: int) -> int:
        """Forget producers idle for `expiration_ms` or longer, but for those in a transaction. Returns how many."""
        expired = [entry.producer_id for entry in self._producers.values() if self._is_expired(entry, now_ms)]
        for producer_id in expired:
            del self._producers[producer_id]
        if self._verifying:
            kept = {
                id_: guard for id_, guard in self._verifying.items() if now_ms - guard.created_ms < self.expiration_ms
            }
            self._verifying = kept
        return len(expired)

    def _is_expired(self, entry: ProducerEntry, now_ms: int) -> bool:
        return entry.transaction_first_offset is None and now_ms - entry.last_timestamp >= self.expiration_ms

    def log_start_advanced(self, log_start_offset: int) -> None:
        """Records below were deleted. Producers stay known. (Kafka: onLogStartOffsetIncremented)"""
        self._forget_completed_below(log_start_offset)
        self.end_offset = max(self.end_offset, log_start_offset)

    def reset(self, end_offset: int) -> None:
        """Forget everything; the state then goes up to `end_offset`. Truncation is a reset, a snapshot and a replay."""
        self._producers.clear()
        self._ongoing.clear()
        self._completed.clear()
        self.end_offset = end_offset

    # Loading and saving

    def replay(self, header: BatchHeader, data: Buffer | None = None) -> CompletedTransaction | None:
        """Take in a batch of the log itself, believing it: as an append by replication. `data` as in `prepare`.

        Batches without a producer id are passed over. Sets `end_offset`.
        """
        completed = None
        if header.producer_id > NO_PRODUCER_ID:
            completed = self.apply(self.prepare(header, data, AppendOrigin.REPLICATION))
        self.end_offset = header.base_offset + header.last_offset_delta + 1
        return completed

    def load_snapshot(self, data: bytes, offset: int, now_ms: int) -> None:
        """Begin from the `.snapshot` file of `offset`; entries that have expired are left out.

        CorruptRecordsError: not a snapshot, or damaged; then nothing is changed.
        """
        entries = decode_snapshot(data)
        self.reset(offset)
        for entry in entries:
            if not self._is_expired(entry, now_ms):
                self._producers[entry.producer_id] = entry
        self._ongoing = dict(
            sorted(
                (entry.transaction_first_offset, entry.producer_id)
                for entry in self._producers.values()
                if entry.transaction_first_offset is not None
            )
        )

    def encode_snapshot(self) -> bytes:
        """The bytes of the `.snapshot` file of `end_offset`."""
        return encode_snapshot(self._producers.values())


def _old_epoch(entry: ProducerEntry, epoch: int) -> RecordsRejectedError:
    return RecordsRejectedError(
        ErrorCode.INVALID_PRODUCER_EPOCH,
        f"Epoch of producer {entry.producer_id} is {epoch}, which is smaller than the last seen epoch {entry.epoch}",
    )


def _read_marker(header: BatchHeader, data: Buffer | None) -> _Marker:
    if data is None:
        raise ValueError("the bytes of a control batch are needed")
    plain = read_plain_marker(header, data)
    if plain is not None:
        return _Marker(plain[0] is ControlType.ABORT, plain[1], header.max_timestamp)
    record = next(read_records(data, header.position), None)
    if record is None:
        raise CorruptRecordsError("a control batch without a record")
    control_type = decode_control_type(record.key)
    if control_type not in (ControlType.ABORT, ControlType.COMMIT):
        raise CorruptRecordsError(f"a control record of a producer must end a transaction, it is {control_type}")
    return _Marker(control_type is ControlType.ABORT, decode_marker_value(record.value), record.timestamp)
