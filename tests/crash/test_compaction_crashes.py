"""The process or the machine dies at every change of a compaction: the log is one from before or after a swap."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from random import Random

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from kwire.records import RecordBatchBuilder, iter_batches, read_records
from log.compaction.cleaning import clean
from log.compaction.job import CleanedGroup, CleaningHooks
from log.config import LogConfig
from log.filenames import CLEANED, DELETED, SWAP
from log.log_manager import LogManager
from log.partition_log import AppendOrigin, PartitionLog
from tests.crash.fault_storage import Crash, FaultStorage
from tests.crash.log_history import NOW, TOPIC_ID, abort_marker

CONFIG = LogConfig(
    cleanup_policy=("compact",),
    segment_bytes=500,
    index_interval_bytes=100,
    segment_index_bytes=96,
    file_delete_delay_ms=0,
    min_cleanable_dirty_ratio=0.0,
)
NO_LONGER_COMPACTED = LogConfig(
    segment_bytes=500, index_interval_bytes=100, segment_index_bytes=96, retention_ms=-1, file_delete_delay_ms=0
)
KEY = ("c", 0)

Record = tuple[int, bytes, bytes | None]


@define
class Life:
    """A log and what its users know of it."""

    storage: FaultStorage
    written: list[Record] = field(factory=list)
    """Every record handed to append that counts (no control records, no aborted ones), with its offset."""
    acknowledged: int = 0
    durable: int = 0
    states: list[set[int]] | None = None
    """When asked for: the offsets there, before the first swap and after each."""
    manager: LogManager = field(init=False)

    def start(self, config: LogConfig = CONFIG) -> PartitionLog:
        self.manager = LogManager(
            self.storage, ["/data"], lambda _: config, unique=lambda: "0" * 32, random_uuid=lambda: TOPIC_ID
        )
        self.manager.lock()
        self.manager.load()
        return self.log

    @property
    def log(self) -> PartitionLog:
        return self.manager.get_or_create(*KEY, topic_id=TOPIC_ID, now_ms=NOW)

    def put(self, *keys: int) -> None:
        first = self.acknowledged
        builder = RecordBatchBuilder()
        for number, key in enumerate(keys):
            offset = first + number
            value = None if key == 4 and offset % 2 else b"%d." % offset + b"." * 30
            builder.append(b"k%d" % key, value, timestamp=NOW)
            self.written.append((offset, b"k%d" % key, value))
        self._append(builder.build())

    def abort_transaction(self) -> None:
        builder = RecordBatchBuilder(producer_id=9, producer_epoch=0, base_sequence=0, transactional=True)
        builder.append(b"k0", b"aborted", timestamp=NOW)
        self._append(builder.build())
        self._append(abort_marker(9))

    def _append(self, batch: bytearray) -> None:
        (header,) = iter_batches(batch)
        origin = AppendOrigin.COORDINATOR if header.is_control else AppendOrigin.CLIENT
        info = self.log.append_as_leader(memoryview(batch), leader_epoch=0, now_ms=NOW, origin=origin)
        assert info.first_offset == self.acknowledged
        self.acknowledged = info.last_offset + 1

    def flush(self) -> None:
        self.log.flush(NOW)
        self.durable = self.acknowledged

    def _note_state(self) -> None:
        if self.states is not None:
            self.states.append({offset for offset, _, _ in read_all(self.log)})

    def compact(self, *, meanwhile: Callable[[], None] = lambda: None) -> None:
        """As the broker does it; ``meanwhile`` between the steps of each swap."""
        log = self.log
        self._note_state()
        for write in self.manager.checkpoint_recovery_points():
            write.run(self.storage)
        # left by a worker that was killed
        self.storage.open(f"/data/c-0/{1:020d}.index.cleaned", create=True)
        wanted = log.to_clean(self.manager.cleaned_to(*KEY), NOW).wanted
        cleaning = log.begin_cleaning()
        job = log.cleaning_job(wanted, NOW, map_bytes=1 << 20, map_load_factor=0.9, io_buffer_bytes=4096)()
        life = self

        class Hooks(CleaningHooks):
            def group_done(self, group: CleanedGroup) -> None:
                swap = cleaning.swap(group.base_offset, group.sources)
                for _, step in swap.steps:
                    step()
                    meanwhile()
                    if life.states is not None:
                        read_all(log)
                assert swap.deleted is not None
                swap.deleted.run(life.storage)
                life._note_state()

        result = clean(self.storage, job, Hooks())
        cleaning.end()
        for write in self.manager.checkpoint_cleaner(*KEY, result.end_offset):
            write.run(self.storage)


def read_all(log: PartitionLog) -> list[Record]:
    """Every record, by offset; control records left out."""
    found: list[Record] = []
    offset = log.log_start_offset
    while offset < log.log_end_offset:
        result = log.read(offset, 300, up_to=log.log_end_offset)
        if result.file_range is None:
            return found
        data = result.file_range.read()
        before = offset
        for header in iter_batches(data, partial_tail=True):
            if header.last_offset >= offset:
                if not header.is_control:
                    found += [
                        (record.offset, record.key or b"", record.value)
                        for record in read_records(data, header.position)
                    ]
                offset = header.next_offset
        assert offset > before
    return found


def history(life: Life) -> None:
    life.start()
    for round_ in range(4):
        life.put(0, 1, 2)
        life.put(3, 4)
        life.put(round_ % 3)
    life.abort_transaction()
    life.put(0, 1, 2, 3)
    life.flush()
    life.compact(meanwhile=lambda: life.put(2))
    for _ in range(3):
        life.put(1, 4)
        life.put(0, 0)
    life.flush()
    life.put(3)
    life.compact()
    life.put(1)


def length() -> tuple[int, list[set[int]], list[Record]]:
    life = Life(FaultStorage(), states=[])
    history(life)
    assert life.states is not None
    return life.storage.steps, life.states, life.written


CHANGES, STATES, WRITTEN = length()


def live_until(crash_at: int, *, torn: bool = False) -> Life:
    life = Life(FaultStorage())
    life.storage.crash_at = crash_at
    life.storage.torn = torn
    with suppress(Crash):
        history(life)
    return life


def check(storage: FaultStorage, life: Life, *, promised: int, config: LogConfig = CONFIG) -> None:
    after = Life(storage, life.written)
    log = after.start(config)
    end = log.log_end_offset
    assert end >= promised, f"ends at {end}, promised {promised}"
    found = read_all(log)
    aborted = {transaction.first_offset for transaction in log.aborted_transactions(0, end)}
    seen = [record for record in found if record[0] not in aborted and record[2] != b"aborted"]
    assert {record[2] for record in found if record[0] in aborted} <= {b"aborted"}
    assert [offset for offset, _, _ in found] == sorted({offset for offset, _, _ in found})
    written = {record[0]: record for record in life.written}
    assert all(written[record[0]] == record for record in seen)
    last_promised = {key: offset for offset, key, _ in life.written if offset < promised}
    last_found = {key: offset for offset, key, _ in seen}
    assert all(last_found.get(key, -1) >= offset for key, offset in last_promised.items()), "a last value is gone"
    offsets = {offset for offset, _, _ in found}
    for offset in range(promised):
        assert offset in offsets or any(offset not in state for state in STATES), f"{offset} is gone"
    names = storage.list_dir("/data/c-0")
    assert not [name for name in names if name.endswith((CLEANED, SWAP, DELETED))]
    # it goes on working: another compaction, another stop, another start
    after.acknowledged = end
    after.written = list(seen)
    after.put(0, 1, 2, 3)
    after.log.roll(NOW)
    after.flush()
    if config.compact:
        after.compact()
    last = {key: value for _, key, value in after.written}
    assert {key: value for _, key, value in read_all(after.log) if value != b"aborted"} == last
    assert after.manager.close(NOW) == []
    again = Life(storage.after_kill())
    assert {key: value for _, key, value in read_all(again.start(config)) if value != b"aborted"} == last


def test_it_compacts() -> None:
    assert len(STATES) >= 5
    assert len(STATES[-1]) < len(WRITTEN) / 2


@pytest.mark.parametrize("torn", [False, True])
def test_a_killed_process(torn: bool, long_form: bool) -> None:
    for crash_at in range(1, CHANGES + 1, 1 if long_form else 13 if torn else 4):
        life = live_until(crash_at, torn=torn)
        try:
            check(life.storage.after_kill(), life, promised=life.acknowledged)
        except BaseException as error:
            error.add_note(f"killed at change {crash_at}: {life.storage.trace[-1]}")
            raise


@pytest.mark.parametrize("keep", [0.0, 1.0])
def test_a_power_loss(keep: float, long_form: bool) -> None:
    for crash_at in range(1, CHANGES + 1, 1 if long_form else 8):
        life = live_until(crash_at)
        try:
            check(life.storage.after_power_loss(Random(crash_at), keep=keep), life, promised=life.durable)
        except BaseException as error:
            error.add_note(f"power lost at change {crash_at}: {life.storage.trace[-1]}")
            raise


@given(crash_at=st.integers(1, CHANGES), seed=st.integers(0, 2**32), keep=st.floats(0, 1), torn=st.booleans())
def test_any_subset_of_unsynced_changes(crash_at: int, seed: int, keep: float, torn: bool) -> None:
    life = live_until(crash_at, torn=torn)
    check(life.storage.after_power_loss(Random(seed), keep=keep), life, promised=life.durable)


@given(first=st.integers(1, CHANGES), second=st.integers(1, 40), seed=st.integers(0, 2**32))
def test_a_second_power_loss_during_recovery(first: int, second: int, seed: int) -> None:
    random = Random(seed)
    life = live_until(first)
    again = life.storage.after_power_loss(random)
    again.crash_at = second
    with suppress(Crash):
        Life(again).start()
    check(again.after_power_loss(random), life, promised=life.durable)


@given(crash_at=st.integers(CHANGES // 3, CHANGES), seed=st.integers(0, 2**32), keep=st.floats(0, 1))
def test_holes_are_no_loss_after_the_policy_was_changed(crash_at: int, seed: int, keep: float) -> None:
    """Recovery drops what follows a hole in a log that is not compacted; below its recovery point it does not look."""
    life = live_until(crash_at)
    check(
        life.storage.after_power_loss(Random(seed), keep=keep), life, promised=life.durable, config=NO_LONGER_COMPACTED
    )
