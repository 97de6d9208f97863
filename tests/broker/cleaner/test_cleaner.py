"""Which log is compacted when, and what ends a compaction."""

from __future__ import annotations

import errno

import pytest

from broker.cleaner.runner import WorkerGoneError
from broker.deferred import resolved
from kwire.errors import ApiError
from log.compaction.job import CleaningError
from log.config import LogConfig
from log.filenames import CLEANED, DELETED, SWAP
from log.log_move import LogMove
from log.retention_rounds import delete_old_segments
from tests.broker.cleaner.cleaner_world import BACKOFF_MS, World, small
from tests.crash.test_compaction_crashes import read_all

DIRTY = (1, 2, 1, 2, 1, 2, 1, 2, 1)


def last_values(world: World, topic: str) -> dict[bytes, bytes | None]:
    return {key: value for _, key, value in read_all(world.log(topic))}


def leftovers(world: World, topic: str) -> list[str]:
    return [name for name in world.names(topic) if name.endswith((CLEANED, SWAP, DELETED))]


def test_a_dirty_log_is_compacted_and_its_checkpoint_written() -> None:
    world = World({"a": small()})
    world.put("a", *DIRTY)
    expected = last_values(world, "a")
    world.begin()
    (run,) = world.runs
    run.work()
    log = world.log("a")
    active = log.segments.active.base_offset
    assert [offset for offset, _, _ in read_all(log)] == [active - 2, active - 1, *range(active, 9)]
    assert last_values(world, "a") == expected
    assert world.manager.cleaned_to("a", 0) == active
    assert bytes(dict(world.storage.files())["/data/cleaner-offset-checkpoint"]) == b"0\n1\na 0 %d\n" % active
    assert not leftovers(world, "a")
    assert log.cleaning is None
    # clean now: nothing to do, however often it looks
    world.turn(10 * BACKOFF_MS)
    assert len(world.runs) == 1
    stats = world.cleaner.stats
    assert (stats.cleanings, stats.failed, stats.aborted) == (1, 0, 0)
    assert stats.last is not None
    assert (stats.last.first_dirty_offset, stats.last.end_offset) == (0, active)
    assert 0 < stats.recopy_percent < 100


def test_the_dirtiest_is_first_and_the_ratio_is_kept() -> None:
    world = World({"half": small(), "all": small(), "clean": small(min_cleanable_dirty_ratio=0.99)})
    for topic in world.configs:
        world.put(topic, *DIRTY)
    log = world.log("half")
    world.manager.checkpoint_cleaner("half", 0, log.segments.higher(0).base_offset)  # type: ignore[union-attr]
    world.manager.checkpoint_cleaner("clean", 0, log.segments.higher(0).base_offset)  # type: ignore[union-attr]
    world.put("half", *DIRTY)
    world.begin()
    assert world.jobs() == ["all"]
    world.runs[0].work()
    world.turn()
    assert world.jobs() == ["all", "half"], "no pause while there is something to do"
    world.runs[1].work()
    world.turn(BACKOFF_MS)
    assert len(world.runs) == 2
    assert world.cleaner.stats.max_dirty_percent < 99


def test_nothing_is_compacted_of_topics_without_the_policy_or_with_one_segment() -> None:
    world = World({"deleted": small(cleanup_policy=("delete",)), "kept": small(cleanup_policy=()), "short": small()})
    world.put("deleted", *DIRTY)
    world.put("kept", *DIRTY)
    world.put("short", 1)
    world.begin()
    assert not world.runs


def test_max_compaction_lag_needs_no_dirty_ratio() -> None:
    lazy = small(min_cleanable_dirty_ratio=1.0, max_compaction_lag_ms=100_000)
    world = World({"a": lazy})
    world.put("a", *DIRTY)
    world.begin()
    assert not world.runs
    world.turn(100_000 + BACKOFF_MS)
    assert world.jobs() == ["a"]
    assert world.cleaner.stats.max_compaction_delay_ms > 0


def test_the_active_segment_is_rolled_within_max_compaction_lag() -> None:
    world = World({"a": small(max_compaction_lag_ms=1000), "b": small()})
    for topic in world.configs:
        world.put(topic, 1)
    world.turn(2000)
    for topic in world.configs:
        world.put(topic, 1)
    assert [len(world.log(topic).segments) for topic in ("a", "b")] == [2, 1]


def test_min_compaction_lag_holds_back() -> None:
    world = World({"a": small(min_compaction_lag_ms=100_000)})
    world.put("a", *DIRTY)
    world.begin()
    assert not world.runs
    world.turn(100_000 + BACKOFF_MS)
    assert world.jobs() == ["a"]


def test_what_is_not_on_the_disk_is_left_alone_and_flushed() -> None:
    world = World({"a": small()})
    world.put("a", *DIRTY)
    log = world.log("a")
    log.recovery_point = 0
    world.begin()
    assert not world.runs
    world.turn(1)
    assert log.recovery_point == log.log_end_offset
    world.turn(BACKOFF_MS)
    assert world.jobs() == ["a"]


def test_a_job_says_what_the_settings_are() -> None:
    world = World(
        {"a": small(delete_retention_ms=7)},
        {
            "log.cleaner.threads": "2",
            "log.cleaner.dedupe.buffer.size": "8000000",
            "log.cleaner.io.buffer.size": "4096",
            "log.cleaner.io.buffer.load.factor": "0.5",
            "log.cleaner.io.max.bytes.per.second": "1000",
        },
    )
    world.put("a", *DIRTY)
    world.begin()
    (run,) = world.runs
    job = run.job
    assert (job.map_bytes, job.io_buffer_bytes, job.map_load_factor) == (4_000_000, 2048, 0.5)
    assert (job.delete_retention_ms, job.segment_bytes, run.bytes_per_second) == (7, 500, 500.0)
    assert [segment.base_offset for segment in job.segments] == [
        segment.base_offset for segment in world.log("a").segments if segment.base_offset < job.first_uncleanable_offset
    ]


def test_as_many_at_a_time_as_threads_and_that_may_change() -> None:
    world = World({name: small() for name in "abcd"}, {"log.cleaner.threads": "2"})
    for topic in world.configs:
        world.put(topic, *DIRTY)
    world.begin()
    assert len(world.runs) == 2
    world.config.set_dynamic({"log.cleaner.threads": "3"}, {})
    world.turn()
    assert len(world.runs) == 3
    assert len(set(world.jobs())) == 3
    world.config.set_dynamic({"log.cleaner.threads": "1"}, {})
    for run in list(world.runs):
        run.work()
    world.turn()
    assert len(world.runs) == 4


def test_disabled_it_does_nothing() -> None:
    both = small(cleanup_policy=("compact", "delete"), retention_bytes=1)
    world = World({"a": both}, {"log.cleaner.enable": "false"})
    world.put("a", *DIRTY)
    world.begin()
    world.turn(10 * BACKOFF_MS)
    assert not world.runs
    assert world.log("a").log_start_offset == 0


@pytest.mark.parametrize("error", [WorkerGoneError("killed"), OSError(errno.ENOSPC, "full")])
def test_a_failed_cleaning_is_tried_again_after_the_back_off(error: Exception) -> None:
    world = World({"a": small()})
    world.put("a", *DIRTY)
    before = read_all(world.log("a"))
    world.begin()
    world.storage.open("/data/a-0/00000000000000000000.log.cleaned", create=True)
    world.runs[0].fail(error)
    assert not leftovers(world, "a")
    assert read_all(world.log("a")) == before
    assert not world.log("a").offline
    world.turn(BACKOFF_MS - 1)
    assert len(world.runs) == 1
    world.turn(1)
    world.turn(BACKOFF_MS)
    assert len(world.runs) == 2
    world.runs[1].fail(error)
    world.turn(BACKOFF_MS)
    assert len(world.runs) == 2, "twice as long"
    world.turn(2 * BACKOFF_MS)
    assert len(world.runs) == 3
    world.runs[2].work()
    assert world.cleaner.stats.cleanings == 1
    assert world.cleaner.stats.failed == 2


def test_a_log_that_cannot_be_cleaned_is_left_out() -> None:
    world = World({"a": small(), "b": small()})
    world.put("a", *DIRTY)
    world.put("b", *DIRTY)
    world.begin()
    first = world.jobs()[0]
    world.runs[0].fail(CleaningError("damaged"))
    world.turn(3 * BACKOFF_MS)
    assert sorted(world.jobs()) == ["a", "b"]
    assert world.cleaner.stats.uncleanable == {(first, 0): "damaged"}
    world.cleaner.abort([(first, 0)])
    assert not world.cleaner.stats.uncleanable


def test_pause_waits_for_the_end_of_what_is_under_way() -> None:
    world = World({"a": small()})
    world.put("a", *DIRTY)
    world.begin()
    world.threads.held = True
    paused = world.cleaner.pause("a", 0)
    assert world.runs[0].killed
    assert not paused.done
    assert world.threads.let_go() > 0
    assert paused.done
    world.threads.held = False
    world.turn(3 * BACKOFF_MS)
    assert len(world.runs) == 1
    assert world.cleaner.pause("a", 0).done
    world.cleaner.resume("a", 0)
    world.turn(BACKOFF_MS)
    assert len(world.runs) == 1, "paused twice, resumed once"
    world.cleaner.resume("a", 0)
    world.turn(BACKOFF_MS)
    assert len(world.runs) == 2
    assert world.cleaner.stats.failed == 0


def test_a_topic_deleted_meanwhile() -> None:
    world = World({"a": small(), "b": small()})
    world.put("a", *DIRTY)
    world.begin()
    world.cleaner.abort([("a", 0)])
    for work in world.manager.delete([("a", 0)]):
        work.run(world.storage)
    assert world.runs[0].killed
    assert not world.storage.exists("/data/a-0")
    assert world.cleaner.stats.aborted == 1
    assert bytes(dict(world.storage.files())["/data/cleaner-offset-checkpoint"]) in (b"", b"0\n0\n")
    # one of the same name has nothing to do with it
    world.put("a", 1, 1)
    world.turn(BACKOFF_MS)
    assert len(world.runs) == 1


def test_a_topic_deleted_in_the_middle_of_a_swap() -> None:
    for steps in range(8):
        world = World({"a": small()})
        world.put("a", *DIRTY)
        world.begin()
        world.threads.held = True
        world.runs[0].real._run_in_thread = lambda fn: resolved(fn())
        world.runs[0].work()
        world.threads.let_go(steps)
        world.cleaner.abort([("a", 0)])
        deleted = world.manager.delete([("a", 0)])
        world.put("a", 1, 2, 3)
        names = world.names("a")
        world.threads.let_go()
        world.threads.held = False
        for work in deleted:
            work.run(world.storage)
        assert world.names("a") == names, "the new log's files are its own"
        assert len(read_all(world.log("a"))) == 3


def test_a_log_closed_in_the_middle_of_a_swap_is_whole() -> None:
    for steps in range(8):
        world = World({"a": small()})
        world.put("a", *DIRTY)
        expected = last_values(world, "a")
        world.begin()
        world.threads.held = True
        world.runs[0].real._run_in_thread = lambda fn: resolved(fn())
        world.runs[0].work()
        world.threads.let_go(steps)
        world.cleaner.stop()
        assert world.manager.close(world.clock.now_ms()) == []
        names = [name for name in world.names("a") if name.endswith((CLEANED, SWAP))]
        assert not names
        world.threads.let_go()
        again = World(world.configs, storage=world.storage.after_kill())
        assert last_values(again, "a") == expected


def test_the_policy_changed_meanwhile() -> None:
    world = World({"a": small()})
    world.put("a", *DIRTY)
    world.begin()
    world.storage.open("/data/a-0/00000000000000000000.log.cleaned", create=True)
    world.configs["a"] = small(cleanup_policy=("delete",))
    world.manager.config_changed("a")
    world.cleaner.config_changed(["a"])
    assert world.runs[0].killed
    assert not leftovers(world, "a")
    world.turn(3 * BACKOFF_MS)
    assert len(world.runs) == 1
    world.configs["a"] = small()
    world.manager.config_changed("a")
    world.cleaner.config_changed(["a"])
    world.turn(BACKOFF_MS)
    assert len(world.runs) == 2


def test_a_disk_that_fails_after_readers_saw_the_swap_takes_the_log_offline() -> None:
    world = World({"a": small()})
    world.put("a", *DIRTY)
    expected = last_values(world, "a")
    world.begin()
    world.storage.fail = lambda operation, path: (
        OSError(errno.EIO, "broken") if operation == "rename" and path.endswith(DELETED) else None
    )
    world.runs[0].work()
    world.storage.fail = None
    log = world.log("a")
    assert log.offline
    with pytest.raises(ApiError):
        log.read(0, 100, up_to=1)
    world.manager.reopen("a", 0, now_ms=world.clock.now_ms())
    assert last_values(world, "a") == expected
    assert not leftovers(world, "a")
    world.turn(2 * BACKOFF_MS)
    assert world.cleaner.stats.failed in (0, 1)


def test_old_segments_of_compact_and_delete() -> None:
    both = small(cleanup_policy=("compact", "delete"), retention_bytes=600, min_cleanable_dirty_ratio=1.0)
    world = World({"a": both})
    world.put("a", *DIRTY, *DIRTY, *DIRTY)
    assert [work for works in delete_old_segments(world.manager, world.clock.now_ms()) for work in works] == []
    world.begin()
    log = world.log("a")
    assert log.log_start_offset > 0
    assert log.size_bytes < 1200
    assert not leftovers(world, "a")


def test_records_deleted_of_a_compacted_log_go() -> None:
    world = World({"a": small(min_cleanable_dirty_ratio=1.0)})
    world.put("a", *DIRTY)
    log = world.log("a")
    log.delete_records_before(log.segments.active.base_offset)
    world.begin()
    assert len(log.segments) == 1


def test_a_checkpoint_outside_of_the_log_is_replaced() -> None:
    world = World({"a": small()})
    world.put("a", *DIRTY)
    world.manager.checkpoint_cleaner("a", 0, 1000)
    world.begin()
    assert world.runs[0].job.first_dirty_offset == 0
    assert world.manager.cleaned_to("a", 0) == 0


def test_logs_that_nobody_uses_are_looked_at_after_a_start() -> None:
    configs: dict[str, LogConfig] = {"long": small(), "short": small(), "other": small(cleanup_policy=("delete",))}
    world = World(configs)
    world.put("long", *DIRTY)
    world.put("other", *DIRTY)
    world.put("short", 1)
    assert world.manager.close(world.clock.now_ms()) == []
    again = World(configs, storage=world.storage.after_kill())
    again.begin()
    assert again.jobs() == ["long"]
    assert [log.topic for log in again.manager.open_logs()] == ["long"]


def test_stop_kills_what_runs() -> None:
    world = World({"a": small()})
    world.put("a", *DIRTY)
    world.begin()
    world.cleaner.stop()
    assert world.runs[0].killed
    assert world.closed
    world.turn(3 * BACKOFF_MS)
    assert len(world.runs) == 1


def test_the_checkpoint_goes_with_a_log_that_is_moved() -> None:
    world = World({"a": small()}, directories=("/data", "/other"))
    world.put("a", *DIRTY)
    world.begin()
    world.runs[0].work()
    target = next(d for d in world.manager.directories if d is not world.manager.directory_of("a", 0))
    cleaned_to = world.manager.cleaned_to("a", 0)
    assert cleaned_to
    move = LogMove(world.manager, world.log("a"), target, "1" * 32)
    while (names := move.plan(world.clock.now_ms())) is not None:
        move.copy(names)
    move.finish(world.clock.now_ms())
    assert world.manager.cleaned_to("a", 0) == cleaned_to
    assert world.manager.directory_of("a", 0) is target
    assert target.cleaner_offsets == {("a", 0): cleaned_to}
