"""Transactional produce with a coordinator that answers as told: what a producer is told in turn."""

from __future__ import annotations

from typing import Any

import pytest

from broker.clock import ManualClock
from broker.config.broker_config import BrokerConfig
from broker.context import ConnectionContext, RequestContext
from broker.controller.model import PartitionImage, TopicImage
from broker.deferred import Deferred, resolved, start
from broker.dispatch import Refusal
from broker.handlers.records.produce import produce
from broker.partitions import Partition, Partitions
from broker.transaction_markers import TransactionMarkers
from broker.transaction_verification import PartitionKey, TransactionVerifier
from kwire.api_keys import ApiKey
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from kwire.records import RecordBatchBuilder
from log.config import CommitRule, LogConfig
from log.partition_log import PartitionLog
from tests.crash.fault_storage import FaultStorage

OK = ErrorCode.NONE
TOPIC_ID = b"\x01" * 16


class Setup:
    """Partitions of one topic, and the coordinator's next answers: codes, or Deferreds of them."""

    def __init__(self, *, fsync: bool = False, **settings: str) -> None:
        storage = FaultStorage()
        storage.mkdir("/d")
        self.clock = ManualClock()
        self.threads: list[Any] = []
        self.questions: list[tuple[int, int, list[PartitionKey], bool]] = []
        self.answers: list[Any] = []
        config = LogConfig(segment_index_bytes=1200)

        def open_log(topic: TopicImage, index: int) -> PartitionLog:
            rule = CommitRule.FSYNC if fsync else CommitRule.PAGE_CACHE
            return PartitionLog.open(
                storage, f"/d/t-{index}", topic.name, index, config, now_ms=1, commit_rule=rule, topic_id=TOPIC_ID
            )

        def run_in_thread(fn: Any) -> Deferred[None]:
            done: Deferred[None] = Deferred()
            self.threads.append((fn, done))
            return done

        image = PartitionImage((1,), (1,), 1, 0, 0, (b"\x00" * 16,))
        self.topic = TopicImage("t", TOPIC_ID, [image, image])
        self.partitions = Partitions(1, self, self.clock, open_log, run_in_thread, 1 << 20)  # type: ignore[arg-type]
        texts = {name.replace("_", "."): value for name, value in settings.items()}
        self.verifier = TransactionVerifier(self, self.clock, BrokerConfig(texts))

    def topic_by_name(self, name: str) -> TopicImage | None:
        return self.topic if name == "t" else None

    def topic_by_id(self, topic_id: bytes) -> TopicImage | None:
        return self.topic if topic_id == TOPIC_ID else None

    def verify(
        self, _id: str, producer_id: int, epoch: int, partitions: list[PartitionKey], /, *, add: bool
    ) -> Deferred[dict[PartitionKey, ErrorCode]]:
        self.questions.append((producer_id, epoch, partitions, add))
        answer = self.answers.pop(0) if self.answers else OK
        if isinstance(answer, Deferred):
            return answer
        return resolved(answer if isinstance(answer, dict) else dict.fromkeys(partitions, answer))

    def partition(self, index: int = 0) -> Partition:
        found = self.partitions.get("t", index)
        assert found is not None
        return found

    def sync(self) -> None:
        """The fsyncs under way succeed."""
        threads, self.threads = self.threads, []
        for fn, done in threads:
            fn()
            done.resolve(None)

    def send(
        self, *batches: tuple[int, bytes], version: int = 12, transactional_id: str | None = "x", acks: int = -1
    ) -> Deferred[Any]:
        data = [PartitionProduceData(index=index, records=memoryview(bytearray(each))) for index, each in batches]
        request = ProduceRequest(
            transactional_id=transactional_id,
            acks=acks,
            topic_data=[TopicProduceData(name="t", topic_id=TOPIC_ID, partition_data=data)],
        )
        connection = ConnectionContext("PLAINTEXT", "127.0.0.1", "127.0.0.1", 9092, "User:ANONYMOUS", 1)
        context = RequestContext(connection, ApiKey.PRODUCE, version, 0, "c")
        answered: Any = produce(request, context, self.partitions, self.verifier)
        if hasattr(answered, "send"):
            return start(answered)
        return resolved(answered)

    def codes(self, *batches: tuple[int, bytes], **more: Any) -> list[int]:
        return codes(self.send(*batches, **more))


def answers(sent: Deferred[Any]) -> list[Any]:
    assert sent.done, "no answer yet"
    return [each for topic in sent.result().responses for each in topic.partition_responses]


def codes(sent: Deferred[Any]) -> list[int]:
    return [each.error_code for each in answers(sent)]


def batch(
    sequence: int = 0, *, producer_id: int = 7, epoch: int = 0, transactional: bool = True, count: int = 1
) -> bytes:
    builder = RecordBatchBuilder(
        producer_id=producer_id, producer_epoch=epoch, base_sequence=sequence, transactional=transactional
    )
    for _ in range(count):
        builder.append(None, b"v", timestamp=1)
    return bytes(builder.build())


@pytest.fixture
def setup() -> Setup:
    return Setup()


def end(setup: Setup, *, committed: bool = True, producer_id: int = 7, epoch: int = 0, version: int = 1) -> Any:
    markers = TransactionMarkers(setup.partitions, None, setup.clock)  # type: ignore[arg-type]
    return markers.write(producer_id, epoch, committed, 0, [("t", 0), ("t", 1)], version)


def test_asked_with_the_first_batch_in_each_partition(setup: Setup) -> None:
    assert setup.codes((0, batch()), (1, batch())) == [0, 0]
    assert setup.codes((0, batch(1)), (1, batch(1))) == [0, 0]
    assert setup.questions == [(7, 0, [("t", 0), ("t", 1)], True)]
    end(setup)
    assert setup.codes((0, batch(2)), version=11) == [0]
    assert setup.questions[1:] == [(7, 0, [("t", 0)], False)]


@pytest.mark.parametrize(
    ("version", "told", "code", "message"),
    [
        (10, ErrorCode.TRANSACTION_ABORTABLE, 48, "Partition was not added to the transaction"),
        (11, ErrorCode.TRANSACTION_ABORTABLE, 120, None),
        (12, ErrorCode.TRANSACTION_ABORTABLE, 120, None),
        (11, ErrorCode.INVALID_TXN_STATE, 48, "Partition was not added to the transaction"),
        (11, ErrorCode.PRODUCER_FENCED, 47, None),
        (11, ErrorCode.INVALID_PRODUCER_ID_MAPPING, 49, None),
        (11, ErrorCode.CONCURRENT_TRANSACTIONS, 19, "CONCURRENT_TRANSACTIONS"),
        (11, ErrorCode.NOT_COORDINATOR, 19, "NOT_COORDINATOR"),
        (12, ErrorCode.COORDINATOR_LOAD_IN_PROGRESS, 19, "COORDINATOR_LOAD_IN_PROGRESS"),
        (12, ErrorCode.COORDINATOR_NOT_AVAILABLE, 19, "COORDINATOR_NOT_AVAILABLE"),
    ],
)
def test_refusals_of_the_coordinator(setup: Setup, version: int, told: ErrorCode, code: int, message: str) -> None:
    setup.answers = [told]
    (answer,) = answers(setup.send((0, batch()), version=version))
    assert (answer.error_code, answer.base_offset, answer.log_start_offset) == (code, -1, -1)
    if message is None:
        assert answer.error_message is None
    else:
        assert answer.error_message.endswith(message)
    assert setup.partition().log.log_end_offset == 0


def test_made_up_producer_ids_take_no_memory(setup: Setup) -> None:
    setup.answers = [ErrorCode.INVALID_PRODUCER_ID_MAPPING] * 50
    for producer_id in range(50):
        assert setup.codes((0, batch(producer_id=producer_id))) == [49]
    assert setup.partition().log.producers._verifying == {}


def test_some_partitions_refused(setup: Setup) -> None:
    setup.answers = [{("t", 0): OK, ("t", 1): ErrorCode.TRANSACTION_ABORTABLE}]
    assert setup.codes((0, batch()), (1, batch()), (5, batch())) == [0, 120, 3]
    assert setup.partition(1).log.log_end_offset == 0


def test_a_coordinator_that_fails(setup: Setup) -> None:
    failed: Deferred[Any] = Deferred()
    failed.fail(ApiError(ErrorCode.COORDINATOR_NOT_AVAILABLE))
    setup.answers = [failed]
    assert setup.codes((0, batch())) == [19]


def test_the_transaction_before_is_still_being_ended(setup: Setup) -> None:
    """From v12 on the broker asks again for up to 100 ms, then the client does."""
    setup.answers = [ErrorCode.CONCURRENT_TRANSACTIONS, ErrorCode.CONCURRENT_TRANSACTIONS, OK]
    sent = setup.send((0, batch()))
    setup.clock.advance(19)
    assert len(setup.questions) == 1
    setup.clock.advance(1)
    assert len(setup.questions) == 2
    assert not sent.done
    setup.clock.advance(20)
    assert codes(sent) == [0]
    end(setup)
    setup.answers = [ErrorCode.CONCURRENT_TRANSACTIONS] * 10
    sent = setup.send((0, batch(1)))
    setup.clock.advance(99)
    assert not sent.done
    setup.clock.advance(1)
    assert codes(sent) == [51]


def test_requests_bytes_are_kept_while_the_coordinator_is_asked(setup: Setup) -> None:
    asked: Deferred[Any] = Deferred()
    setup.answers = [asked]
    frame = bytearray(batch())
    data = PartitionProduceData(index=0, records=memoryview(frame))
    request = ProduceRequest(
        transactional_id="x", acks=-1, topic_data=[TopicProduceData(name="t", partition_data=[data])]
    )
    connection = ConnectionContext("PLAINTEXT", "127.0.0.1", "127.0.0.1", 9092, "User:ANONYMOUS", 1)
    answered: Any = produce(
        request, RequestContext(connection, ApiKey.PRODUCE, 12, 0, "c"), setup.partitions, setup.verifier
    )
    frame[:] = bytes(len(frame))  # the next request of another connection
    asked.resolve({("t", 0): OK})
    assert codes(start(answered)) == [0]


def test_ended_while_the_coordinator_is_asked(setup: Setup) -> None:
    """A marker between question and answer: the batch would begin a transaction that nobody ends."""
    asked: Deferred[Any] = Deferred()
    setup.answers = [asked]
    sent = setup.send((0, batch()))
    end(setup, committed=False)
    asked.resolve({("t", 0): OK})
    assert codes(sent) == [48]
    assert setup.partition().log.last_stable_offset == 1


def test_fenced_by_the_log_without_asking(setup: Setup) -> None:
    setup.codes((0, batch(epoch=3)))
    setup.questions.clear()
    (answer,) = answers(setup.send((0, batch(epoch=2)), version=11))
    assert (answer.error_code, answer.log_start_offset) == (47, -1)
    assert setup.questions == []


def test_plain_batch_in_an_open_transaction(setup: Setup) -> None:
    setup.codes((0, batch()))
    assert setup.codes((0, batch(1, transactional=False))) == [48]


def test_transactional_and_plain_batches_in_one_request(setup: Setup) -> None:
    setup.answers = [ErrorCode.TRANSACTION_ABORTABLE]
    assert setup.codes((0, batch()), (1, batch(transactional=False))) == [120, 0]


def test_without_transactional_id(setup: Setup) -> None:
    """Refused as a whole, with the plain batch beside it."""
    sent = answers(setup.send((0, batch()), (1, batch(transactional=False)), transactional_id=None))
    assert [(each.error_code, each.base_offset) for each in sent] == [(53, -1), (53, -1)]
    assert setup.partition(1).log.log_end_offset == 0
    assert isinstance(setup.send((0, batch()), transactional_id=None, acks=0).result(), Refusal)


def test_two_producers_in_one_request(setup: Setup) -> None:
    assert setup.codes((0, batch()), (1, batch(producer_id=8))) == [49, 49]


def test_acks_0(setup: Setup) -> None:
    assert setup.send((0, batch()), acks=0).result() is None
    setup.answers = [ErrorCode.TRANSACTION_ABORTABLE]
    assert isinstance(setup.send((1, batch()), acks=0).result(), Refusal)
    asked: Deferred[Any] = Deferred()
    setup.answers = [asked]
    sent = setup.send((1, batch()), acks=0)
    asked.resolve({("t", 1): OK})
    assert sent.result() is None


def test_verification_turned_off() -> None:
    setup = Setup(transaction_partition_verification_enable="false")
    assert setup.codes((0, batch()), version=11) == [0]
    assert setup.questions == []
    end(setup)
    assert setup.codes((0, batch(1)), version=12) == [0]
    assert setup.questions == [(7, 0, [("t", 0)], True)], "a partition still has to join the transaction"


def test_durable_before_it_is_told() -> None:
    setup = Setup(fsync=True)
    sent = setup.send((0, batch()))
    assert not sent.done
    setup.sync()
    assert codes(sent) == [0]
    log = setup.partition().log
    ended = end(setup)
    assert (log.last_stable_offset, ended.done) == (0, False)
    setup.sync()
    assert log.last_stable_offset == 2
    assert ended.result() == {("t", 0): OK, ("t", 1): OK}


class TestMarkers:
    def test_errors_by_partition(self, setup: Setup) -> None:
        setup.codes((0, batch(epoch=3)))
        assert end(setup, epoch=2).result() == {("t", 0): ErrorCode.INVALID_PRODUCER_EPOCH, ("t", 1): OK}
        markers = TransactionMarkers(setup.partitions, None, setup.clock)  # type: ignore[arg-type]
        written = markers.write(7, 3, True, 0, [("nowhere", 0), ("t", 9), ("t", 0)], 1).result()
        unknown = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        assert written == {("nowhere", 0): unknown, ("t", 9): unknown, ("t", 0): OK}
        assert markers.write(7, 3, True, 0, [], 1).result() == {}

    def test_raised_epoch_of_transaction_version_2(self, setup: Setup) -> None:
        setup.codes((0, batch(epoch=3)))
        assert end(setup, epoch=3, version=2).result()[("t", 0)] is ErrorCode.INVALID_PRODUCER_EPOCH
        assert end(setup, epoch=4, version=2).result()[("t", 0)] is OK
        assert end(setup, epoch=4, version=2).result()[("t", 0)] is OK, "again"

    def test_a_coordinator_that_was_replaced(self, setup: Setup) -> None:
        markers = TransactionMarkers(setup.partitions, None, setup.clock)  # type: ignore[arg-type]
        markers.write(7, 0, True, 5, [("t", 0)], 1)
        written = markers.write(7, 0, True, 4, [("t", 0)], 1).result()
        assert written == {("t", 0): ErrorCode.TRANSACTION_COORDINATOR_FENCED}

    def test_a_log_out_of_service(self, setup: Setup) -> None:
        """As if it were not there, so that the coordinator tries again."""
        setup.partition().log.fail(OSError("broken"))
        assert end(setup).result() == {("t", 0): ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, ("t", 1): OK}
