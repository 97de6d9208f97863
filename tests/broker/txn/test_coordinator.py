"""The transaction coordinator over logs in memory: markers, commits that take their time or fail, loading."""

from __future__ import annotations

import pytest

from broker.coordinator.shard import ShardStatus
from broker.coordinator.transactions import MARKER_RETRY_MS
from broker.group.ids import partition_for
from broker.txn.config import TransactionConfig
from broker.txn.states import TransactionState
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.messages.add_partitions_to_txn import AddPartitionsToTxnTransaction
from kwire.messages.end_txn import EndTxnRequest
from kwire.messages.init_producer_id import InitProducerIdRequest
from kwire.records import RecordBatchBuilder
from tests.broker.coordinator.group_world import value
from tests.broker.txn.txn_world import PARTITIONS, TxnWorld, by_topic


@pytest.fixture
def world() -> TxnWorld:
    return TxnWorld()


def beside(name: str) -> str:
    """Another id of the same shard."""
    wanted = partition_for(name, PARTITIONS)
    return next(each for each in map(str, range(1000)) if partition_for(each, PARTITIONS) == wanted)


class TestEnds:
    def test_prepared_marked_and_complete_in_one_turn(self, world: TxnWorld) -> None:
        pid, epoch = world.open()
        answer = world.end(pid, epoch)
        assert (answer.error_code, answer.producer_id, answer.producer_epoch) == (0, -1, -1)
        assert world.markers.written == [(pid, epoch, True, 0, (("t", 0),), 0)]
        assert world.states() == ["EMPTY", "ONGOING", "PREPARE_COMMIT", "COMPLETE_COMMIT"]

    def test_generation_2_marks_with_the_raised_epoch(self, world: TxnWorld) -> None:
        pid, epoch = world.open(version=5)
        answer = world.end(pid, epoch, commit=False, version=5)
        assert (answer.error_code, answer.producer_id, answer.producer_epoch) == (0, pid, epoch + 1)
        assert world.markers.written == [(pid, epoch + 1, False, 0, (("t", 0),), 2)]

    def test_an_abort_of_nothing_writes_no_marker(self, world: TxnWorld) -> None:
        given = world.init()
        assert world.end(given.producer_id, 0, commit=False, version=5).producer_epoch == 1
        assert world.markers.written == []
        assert world.states() == ["EMPTY", "PREPARE_ABORT", "COMPLETE_ABORT"]

    def test_answered_before_the_markers_are_written(self, world: TxnWorld) -> None:
        pid, epoch = world.open()
        world.markers.hold = True
        assert world.end(pid, epoch).error_code == 0
        assert world.state() is TransactionState.PREPARE_COMMIT
        assert world.end(pid, epoch).error_code == ErrorCode.CONCURRENT_TRANSACTIONS
        assert world.add(pid, epoch) == {("t", 0): ErrorCode.CONCURRENT_TRANSACTIONS}
        assert world.init().error_code == ErrorCode.CONCURRENT_TRANSACTIONS
        assert world.verify(pid, epoch, ("t", 0)) == {("t", 0): ErrorCode.CONCURRENT_TRANSACTIONS}
        world.markers.release()
        assert world.state() is TransactionState.COMPLETE_COMMIT
        assert world.add(pid, epoch) == {("t", 0): 0}

    def test_no_marker_before_the_decision_is_committed(self, world: TxnWorld) -> None:
        pid, epoch = world.open()
        log = world.log_of()
        log.hold = True
        answer = world.end_later(pid, epoch)
        assert not answer.done
        assert world.markers.written == []
        log.hold = False
        log.commit()
        assert value(answer).error_code == 0
        assert len(world.markers.written) == 1
        assert world.state() is TransactionState.COMPLETE_COMMIT

    def test_a_decision_that_is_committed_late_is_carried_out_all_the_same(self, world: TxnWorld) -> None:
        pid, epoch = world.open()
        log = world.log_of()
        log.hold = True
        answer = world.end_later(pid, epoch)
        world.clock.advance(30_000)
        assert value(answer).error_code == ErrorCode.COORDINATOR_NOT_AVAILABLE
        log.hold = False
        log.commit()
        assert world.markers.written == [(pid, epoch, True, 0, (("t", 0),), 0)]
        assert world.state() is TransactionState.COMPLETE_COMMIT

    def test_a_decision_that_is_lost(self, world: TxnWorld) -> None:
        pid, epoch = world.open()
        log = world.log_of()
        log.hold = True
        answer = world.end_later(pid, epoch)
        del log.batches[-1:]
        log.hold = False
        log.fail_commits(ApiError(ErrorCode.KAFKA_STORAGE_ERROR))
        assert value(answer).error_code == ErrorCode.NOT_COORDINATOR
        assert world.markers.written == []
        assert world.end(pid, epoch).error_code == ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
        world.clock.advance(1_000)
        assert world.state() is TransactionState.ONGOING
        assert world.end(pid, epoch, commit=False).error_code == 0

    def test_the_complete_record_cannot_be_written(self, world: TxnWorld) -> None:
        """Loaded anew, the transaction is prepared: its markers are written once more, then it is complete."""
        pid, epoch = world.open()
        world.markers.hold = True
        world.end(pid, epoch)
        world.log_of().fail_append = OSError("no space")
        world.markers.release()
        assert world.init().error_code == ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
        world.clock.advance(1_000)
        world.settle()
        assert world.state() is TransactionState.COMPLETE_COMMIT
        assert len(world.markers.written) == 2

    @pytest.mark.parametrize(
        "code",
        [
            ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
            ErrorCode.NOT_LEADER_OR_FOLLOWER,
            ErrorCode.KAFKA_STORAGE_ERROR,
            ErrorCode.REQUEST_TIMED_OUT,
            ErrorCode.UNKNOWN_SERVER_ERROR,
        ],
    )
    def test_a_partition_that_cannot_take_its_marker_now(self, world: TxnWorld, code: ErrorCode) -> None:
        given = world.init()
        world.add(given.producer_id, 0, ("t", 0), ("t", 1))
        world.markers.codes[("t", 1)] = code
        world.end(given.producer_id, 0)
        assert [topic.partitions for topic in world.describe().topics] == [[1]]
        assert world.describe().transaction_state == "PrepareCommit"
        world.clock.advance(MARKER_RETRY_MS)
        world.markers.codes.clear()
        world.clock.advance(MARKER_RETRY_MS)
        assert [sorted(each[4]) for each in world.markers.written] == [[("t", 0), ("t", 1)], [("t", 1)], [("t", 1)]]
        assert world.state() is TransactionState.COMPLETE_COMMIT

    def test_thousands_of_markers_leave_turns_to_others(self, world: TxnWorld) -> None:
        world.topics.partitions["many"] = 1000
        given = world.init()
        wanted = [("many", index) for index in range(1000)]
        world.add(given.producer_id, 0, *wanted)
        offline = [("many", 3), ("many", 4)]
        world.markers.codes.update(dict.fromkeys(offline, ErrorCode.KAFKA_STORAGE_ERROR))
        assert world.end(given.producer_id, 0).error_code == 0
        assert len(world.markers.written) == 1
        assert len(world.markers.written[0][4]) <= 100
        world.clock.advance(MARKER_RETRY_MS / 2)
        tried = [each for written in world.markers.written for each in written[4]]
        assert sorted(set(tried)) == wanted
        assert world.state() is TransactionState.PREPARE_COMMIT
        world.topics.partitions["many"] = 4
        world.markers.codes.clear()
        world.clock.advance(MARKER_RETRY_MS)
        assert world.state() is TransactionState.COMPLETE_COMMIT
        assert world.markers.written[-1][4] == (("many", 3),)

    def test_a_transaction_as_large_as_a_record_may_be_can_be_ended(self, world: TxnWorld) -> None:
        """By a timeout, too, whose record is larger than that of a classic client's transaction."""
        log = world.log_of()
        for max_batch_bytes in range(620, 640):
            given = world.init(timeout_ms=5_000)
            log.max_batch_bytes = max_batch_bytes
            for index in range(200):
                world.topics.partitions["t"] = 200
                if world.add(given.producer_id, given.producer_epoch, ("t", index)) != {("t", index): 0}:
                    break
            assert 50 < index < 199
            world.clock.advance(20_000)
            assert world.state() is TransactionState.COMPLETE_ABORT

    def test_a_partition_that_takes_no_marker_at_all(self, world: TxnWorld) -> None:
        pid, epoch = world.open()
        world.markers.codes[("t", 0)] = ErrorCode.UNSUPPORTED_FOR_MESSAGE_FORMAT
        world.end(pid, epoch)
        assert world.state() is TransactionState.COMPLETE_COMMIT

    @pytest.mark.parametrize("code", [ErrorCode.INVALID_PRODUCER_EPOCH, ErrorCode.TRANSACTION_COORDINATOR_FENCED])
    def test_a_partition_where_a_later_one_has_been(self, world: TxnWorld, code: ErrorCode) -> None:
        """Nothing more is done about it until the next load, as in Kafka."""
        pid, epoch = world.open()
        world.markers.codes[("t", 0)] = code
        world.end(pid, epoch)
        world.clock.advance(10 * MARKER_RETRY_MS)
        assert world.state() is TransactionState.PREPARE_COMMIT
        assert len(world.markers.written) == 1
        world.markers.codes.clear()
        world.restart()
        world.settle()
        assert world.state() is TransactionState.COMPLETE_COMMIT

    def test_a_bug_in_writing_markers_takes_no_answer_away(self, world: TxnWorld) -> None:
        pid, epoch = world.open()
        world.markers.fails = RuntimeError("a bug")
        assert world.end(pid, epoch).error_code == 0
        world.clock.advance(MARKER_RETRY_MS)
        assert world.state() is TransactionState.COMPLETE_COMMIT

    def test_topics_deleted_meanwhile(self, world: TxnWorld) -> None:
        pid, epoch = world.open()
        del world.topics.partitions["t"]
        assert world.end(pid, epoch).error_code == 0
        assert world.markers.written == []
        assert world.state() is TransactionState.COMPLETE_COMMIT

    def test_topics_deleted_while_the_marker_waits(self, world: TxnWorld) -> None:
        pid, epoch = world.open()
        world.markers.codes[("t", 0)] = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        world.end(pid, epoch)
        del world.topics.partitions["t"]
        world.clock.advance(MARKER_RETRY_MS)
        assert world.state() is TransactionState.COMPLETE_COMMIT

    def test_a_group_whose_topic_is_not_there_yet(self, world: TxnWorld) -> None:
        del world.topics.partitions["__consumer_offsets"]
        given = world.init()
        assert world.add_offsets(given.producer_id, 0) == 0
        assert world.describe().topics[0].topic == "__consumer_offsets"
        assert world.end(given.producer_id, 0).error_code == 0
        assert world.markers.written == []

    def test_other_ids_of_the_shard_go_on(self, world: TxnWorld) -> None:
        pid, epoch = world.open()
        world.markers.hold = True
        world.end(pid, epoch)
        other = world.open(beside("x"))
        world.markers.hold = False
        assert world.end(*other, name=beside("x")).error_code == 0
        assert world.state(beside("x")) is TransactionState.COMPLETE_COMMIT
        assert world.state() is TransactionState.PREPARE_COMMIT

    def test_empty_ids(self, world: TxnWorld) -> None:
        assert world.ask(EndTxnRequest(transactional_id=""), 5).error_code == ErrorCode.INVALID_REQUEST
        assert world.add(0, 0, name="") == {("t", 0): ErrorCode.INVALID_REQUEST}
        assert world.add_offsets(0, 0, name="") == ErrorCode.INVALID_REQUEST
        assert world.verify(0, 0, ("t", 0), name="") == {("t", 0): ErrorCode.INVALID_REQUEST}
        assert world.describe("").error_code == ErrorCode.INVALID_REQUEST


class TestProducerIds:
    def test_without_a_transactional_id(self, world: TxnWorld) -> None:
        assert [(world.init(None).producer_id, world.init(None, -5, 7, 3).producer_epoch) for _ in range(2)] == [
            (0, 0),
            (2, 0),
        ]
        assert world.init(None, producer_id=5).error_code == ErrorCode.INVALID_REQUEST

    @pytest.mark.parametrize("timeout_ms", [0, -1, 900_001])
    def test_timeouts_out_of_bounds(self, world: TxnWorld, timeout_ms: int) -> None:
        assert world.init(timeout_ms=timeout_ms).error_code == ErrorCode.INVALID_TRANSACTION_TIMEOUT

    @pytest.mark.parametrize(("producer_id", "epoch"), [(5, -1), (-1, 5)])
    def test_half_of_an_id_and_epoch(self, world: TxnWorld, producer_id: int, epoch: int) -> None:
        answer = world.init(producer_id=producer_id, epoch=epoch)
        assert (answer.error_code, answer.producer_id, answer.producer_epoch) == (42, -1, -1)

    def test_an_id_that_takes_its_time(self, world: TxnWorld) -> None:
        """Two ask at once: the second finds what the first has made."""
        world.producer_ids.hold = True
        request = InitProducerIdRequest(transactional_id="x", transaction_timeout_ms=60_000)
        first, second = world.send(request, 5), world.send(request, 5)
        assert not first.done
        world.producer_ids.release()
        answers = [value(each) for each in (first, second)]
        assert [(each.producer_id, each.producer_epoch) for each in answers] == [(0, 0), (0, 1)]

    @pytest.mark.parametrize(
        ("two_phase", "keep", "allowed", "code"),
        [(True, False, False, 53), (True, False, True, 0), (False, True, True, 35)],
    )
    def test_two_phase_commit(self, two_phase: bool, keep: bool, allowed: bool, code: int) -> None:
        world = TxnWorld(TransactionConfig(transaction_two_phase_commit_enable=allowed))
        request = InitProducerIdRequest(
            transactional_id="x", transaction_timeout_ms=5, enable2_pc=two_phase, keep_prepared_txn=keep
        )
        assert world.ask(request, 6).error_code == code
        if not code:
            world.add(0, 0)
            world.clock.advance(10_000_000)
            assert world.state() is TransactionState.ONGOING, "it has no timeout"

    def test_level_0_has_no_place_for_generation_2(self) -> None:
        world = TxnWorld(level=0)
        pid, epoch = world.open()
        assert world.verify(pid, epoch, ("t", 1), add=True) == {("t", 1): ErrorCode.UNSUPPORTED_VERSION}
        assert world.end(pid, epoch, version=5).error_code == ErrorCode.UNSUPPORTED_VERSION
        assert world.end(pid, epoch).error_code == 0

    @pytest.mark.parametrize("level", [0, 1])
    def test_a_lowered_level(self, level: int) -> None:
        world = TxnWorld()
        pid, epoch = world.open(version=5)
        assert world.end(pid, epoch, version=5).error_code == 0
        open_pid, open_epoch = world.open(beside("x"), version=5)
        world.level = level
        assert world.add(pid, epoch + 1) == {("t", 0): 0}
        assert world.end(pid, epoch + 1).error_code == 0
        assert world.end(open_pid, open_epoch, name=beside("x")).error_code == 0
        world.restart()
        assert world.state() is world.state(beside("x")) is TransactionState.COMPLETE_COMMIT
        world.level = 2
        assert world.verify(pid, epoch + 1, ("t", 0), add=True) == {("t", 0): 0}
        assert world.end(pid, epoch + 1, version=5).producer_epoch == epoch + 2


class TestVerification:
    def test_what_is_not_committed_yet_is_not_told(self, world: TxnWorld) -> None:
        given = world.init()
        log = world.log_of()
        log.hold = True
        added = world.coordinator.verify("x", given.producer_id, 0, [("t", 0)], add=True)
        asked = world.coordinator.verify("x", given.producer_id, 0, [("t", 0)], add=False)
        assert not added.done
        assert not asked.done
        log.commit()
        assert value(added) == value(asked) == {("t", 0): 0}

    def test_an_addition_that_is_lost(self, world: TxnWorld) -> None:
        given = world.init()
        log = world.log_of()
        log.hold = True
        added = world.coordinator.verify("x", given.producer_id, 0, [("t", 0)], add=True)
        log.fail_commits(ApiError(ErrorCode.KAFKA_STORAGE_ERROR))
        assert value(added) == {("t", 0): ErrorCode.NOT_COORDINATOR}

    def test_several_transactions_at_once(self, world: TxnWorld) -> None:
        first, second = world.init("x"), world.init("y")
        one, two = (
            AddPartitionsToTxnTransaction(
                transactional_id=name,
                producer_id=given.producer_id,
                verify_only=only,
                topics=by_topic([("t", 0), ("t", 7 if only else 1)]),
            )
            for name, given, only in (("x", first, False), ("y", second, True))
        )
        assert world.add_batch(one, two) == {
            "x": {("t", 0): 0, ("t", 1): 0},
            "y": {("t", 0): ErrorCode.OPERATION_NOT_ATTEMPTED, ("t", 7): ErrorCode.UNKNOWN_TOPIC_OR_PARTITION},
        }


class TestLoading:
    @pytest.mark.parametrize("commit", [True, False])
    def test_what_was_prepared_is_finished(self, world: TxnWorld, commit: bool) -> None:
        pid, epoch = world.open()
        world.markers.hold = True
        world.end(pid, epoch, commit)
        world.markers.hold = False
        world.log_of().leader_epoch = 7
        world.restart()
        assert world.state().name.startswith("PREPARE")
        world.settle()
        assert world.markers.written[-1] == (pid, epoch, commit, 7, (("t", 0),), 0)
        assert world.state() is (TransactionState.COMPLETE_COMMIT if commit else TransactionState.COMPLETE_ABORT)
        world.markers.release()
        assert len(world.states()) == 4, "the answer to the coordinator before is not listened to"

    def test_an_open_transaction_goes_on(self, world: TxnWorld) -> None:
        pid, epoch = world.open()
        world.restart()
        assert world.add(pid, epoch, ("t", 1)) == {("t", 1): 0}
        assert world.end(pid, epoch).error_code == 0
        assert sorted(world.markers.written[0][4]) == [("t", 0), ("t", 1)]

    def test_only_the_last_record_of_an_id_counts(self, world: TxnWorld) -> None:
        for _ in range(5):
            world.init()
        before = world.transaction()
        world.restart()
        assert world.transaction() == before

    def test_while_loading(self, world: TxnWorld) -> None:
        pid, epoch = world.open()
        log = world.log_of()
        log.batches += [log.batches[-1]] * (3 * 1024 * 1024 // len(log.batches[-1]))
        world.restart()
        assert world.coordinator._shards[partition_for("x", PARTITIONS)].status is ShardStatus.LOADING
        loading = ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
        assert world.init().error_code == loading
        assert world.add(pid, epoch) == {("t", 0): loading}
        assert world.add_offsets(pid, epoch) == loading
        assert world.end(pid, epoch).error_code == loading
        assert world.verify(pid, epoch, ("t", 0)) == {("t", 0): loading}
        assert world.describe().error_code == loading
        assert world.list().error_code == loading
        other = next(each for each in map(str, range(99)) if partition_for(each, 4) != partition_for("x", 4))
        assert world.init(other).error_code == 0
        world.clock.advance(100)
        assert world.end(pid, epoch).error_code == 0

    def test_records_that_cannot_be_read_are_passed_over(
        self, world: TxnWorld, caplog: pytest.LogCaptureFixture
    ) -> None:
        pid, epoch = world.open()
        log = world.log_of()
        for key, data in (
            (b"\0\0\0\x05ab", b"\0\1"),  # a name that is longer than the key
            (b"\0\0\0\1y", b"\0\0\0"),  # a value that ends too early
            (b"\0\0\0\1z", b"\0\7" + bytes(40)),  # a version nobody knows
            (b"\0\7\0\1x", b"\0\1"),  # a key nobody knows
            (b"", b""),
            (None, b"x"),
        ):
            builder = RecordBatchBuilder()
            builder.append(key, data, timestamp=0)
            log.append(bytes(builder.build()))
        world.restart()
        assert len([each for each in caplog.records if "passed over" in each.message]) == 6
        assert world.end(pid, epoch).error_code == 0

    def test_without_the_topic(self) -> None:
        world = TxnWorld()
        world.topic.partitions = None
        assert world.init().error_code == ErrorCode.NOT_COORDINATOR
        assert not world.coordinator.available()
        assert world.topic.creations == 1

    def test_a_partition_led_elsewhere(self, world: TxnWorld) -> None:
        pid, epoch = world.open()
        world.topic.elsewhere.add(partition_for("x", PARTITIONS))
        world.coordinator.partition_changed(partition_for("x", PARTITIONS))
        assert world.end(pid, epoch).error_code == ErrorCode.NOT_COORDINATOR
        assert world.list().transaction_states == []

    def test_the_topic_is_deleted(self, world: TxnWorld) -> None:
        world.open()
        world.topic.elsewhere.update(range(PARTITIONS))
        world.topic.partitions = None
        world.coordinator.topic_deleted()
        assert world.describe().error_code == ErrorCode.NOT_COORDINATOR

    def test_closing(self, world: TxnWorld) -> None:
        pid, epoch = world.open()
        log = world.log_of()
        log.hold = True
        answer = world.end_later(pid, epoch)
        world.coordinator.close()
        assert value(answer).error_code == ErrorCode.NOT_COORDINATOR
        assert world.init().error_code == ErrorCode.NOT_COORDINATOR
        assert world.clock.timers.next_due_ms() is None


class TestAdministration:
    def test_describe(self, world: TxnWorld) -> None:
        pid, epoch = world.open()
        found = world.describe()
        assert (found.transaction_state, found.producer_id, found.producer_epoch) == ("Ongoing", pid, epoch)
        assert (found.transaction_timeout_ms, found.transaction_start_time_ms) == (60_000, world.clock.now_ms())
        assert [(topic.topic, topic.partitions) for topic in found.topics] == [("t", [0])]
        assert world.describe("unknown").error_code == ErrorCode.TRANSACTIONAL_ID_NOT_FOUND

    def test_list(self, world: TxnWorld) -> None:
        world.init("x-1")
        world.clock.advance(100)
        pid, _ = world.open("x-2")
        done = world.open("y-1")
        world.end(*done, name="y-1")

        def ids(**filters: object) -> list[str]:
            return sorted(each.transactional_id for each in world.list(**filters).transaction_states)

        assert ids() == ["x-1", "x-2", "y-1"]
        assert ids(state_filters=["Ongoing", "CompleteCommit"]) == ["x-2", "y-1"]
        assert ids(state_filters=["Dead"]) == []
        assert ids(producer_id_filters=[pid, 99]) == ["x-2"]
        assert ids(transactional_id_pattern="x-.") == ["x-1", "x-2"]
        assert ids(transactional_id_pattern="x") == []
        world.clock.advance(50)
        assert ids(duration_filter=49) == ["x-1", "x-2", "y-1"], "what never began is as old as time"
        assert ids(duration_filter=50) == ["x-1"]
        assert ids(state_filters=["Ongoing"], duration_filter=50) == []
        answer = world.list(state_filters=["ongoing", "Ongoing", "Nowhere"])
        assert answer.unknown_state_filters == ["ongoing", "Nowhere"]
        assert [each.transactional_id for each in answer.transaction_states] == ["x-2"]
        refused = world.list(transactional_id_pattern="(")
        assert (refused.error_code, refused.transaction_states) == (ErrorCode.INVALID_REGULAR_EXPRESSION, [])
