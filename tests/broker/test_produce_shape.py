"""Requests taken by their shape get what the ordinary way gives, byte for byte, whatever is changed in them."""

from __future__ import annotations

import struct
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from broker.clock import ManualClock
from broker.config.broker_config import BrokerConfig
from broker.context import ConnectionContext
from broker.controller.model import PartitionImage, TopicImage
from broker.deferred import Deferred, resolved
from broker.dispatch import NOT_ALIKE, Dispatcher, MalformedRequestError, Refusal
from broker.partitions import Partitions
from broker.routes import route, table
from broker.transaction_verification import PartitionKey, TransactionVerifier
from kwire import codec, headers
from kwire.api_keys import ApiKey
from kwire.error_codes import ErrorCode
from kwire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from kwire.records import ControlType, RecordBatchBuilder, end_transaction_marker
from log.append_validation import AppendOrigin
from log.config import LogConfig
from log.partition_log import PartitionLog
from tests.broker.cluster_helpers import batch
from tests.crash.fault_storage import FaultStorage

TOPIC_ID = b"\x01" * 16
CONFIG = LogConfig(segment_index_bytes=1200)


class _Image:
    """One topic of two partitions, led here."""

    def __init__(self) -> None:
        partition = PartitionImage((1,), (1,), 1, 0, 0, (b"\x00" * 16,))
        self.topic = TopicImage("topic", TOPIC_ID, [partition, partition])

    def topic_by_name(self, name: str) -> TopicImage | None:
        return self.topic if name == "topic" else None

    def topic_by_id(self, topic_id: bytes) -> TopicImage | None:
        return self.topic if topic_id == TOPIC_ID else None


class _Broker:
    """A dispatcher with Produce only, over a log in memory; as a connection, it keeps a shape or forgets it."""

    def __init__(self, *, keeps_shapes: bool) -> None:
        storage = FaultStorage()
        storage.mkdir("/d")

        def open_log(topic: TopicImage, index: int) -> PartitionLog:
            return PartitionLog.open(storage, f"/d/{topic.name}-{index}", topic.name, index, CONFIG, now_ms=1)

        def run_in_thread(fn: Any) -> Deferred[None]:
            fn()
            return resolved(None)

        image: Any = _Image()
        clock = ManualClock()
        partitions = Partitions(1, image, clock, open_log, run_in_thread, 1 << 20)
        self.partitions = partitions
        self.asked = 0
        line = route(
            ApiKey.PRODUCE,
            "3-13",
            "records.produce",
            (partitions, TransactionVerifier(self, clock, BrokerConfig({}))),
            shortcut="records.produce_shape.ProduceShortcut",
        )
        self._dispatcher = Dispatcher(table([line]))
        self._keeps_shapes = keeps_shapes
        self.short = 0
        self.shape: Any = None
        self.context = ConnectionContext("PLAINTEXT", "127.0.0.1", "127.0.0.1", 9092, "User:ANONYMOUS", 1)

    def verify(
        self, _transactional_id: str, producer_id: int, _epoch: int, partitions: list[PartitionKey], /, *, add: bool
    ) -> Deferred[dict[PartitionKey, ErrorCode]]:
        """Every producer's transaction is there, but for that of producer 9."""
        self.asked += 1
        code = ErrorCode.NONE if producer_id != 9 else ErrorCode.TRANSACTION_ABORTABLE
        return resolved(dict.fromkeys(partitions, code))

    def end_transaction(self, index: int, producer_id: int) -> None:
        partition = self.partitions.get("topic", index)
        assert partition is not None
        marker = end_transaction_marker(
            ControlType.COMMIT, producer_id=producer_id, producer_epoch=0, coordinator_epoch=0, timestamp=1
        )
        partition.append(marker, AppendOrigin.COORDINATOR)

    def send(self, frame: bytes) -> bytes | str | None:
        """What the client would see: bytes, nothing, or why the connection is closed."""
        connection: Any = self
        view = memoryview(bytearray(frame))
        if not self._keeps_shapes:
            self.shape = None
        try:
            answer: Any = NOT_ALIKE if self.shape is None else self.shape.handle(view)
            if answer is NOT_ALIKE:
                answer = self._dispatcher.dispatch(view, connection)
            else:
                self.short += 1
        except MalformedRequestError:
            return "malformed"
        if isinstance(answer, Deferred):
            answer = answer.result()
        if isinstance(answer, Refusal):
            return "refused"
        assert answer is None or isinstance(answer, bytes)
        return answer


def frame(
    version: int,
    acks: int,
    index: int,
    records: bytes,
    client_id: str = "c",
    correlation_id: int = 7,
    transactional_id: str | None = None,
) -> bytes:
    data = PartitionProduceData(index=index, records=records)
    name = "topic" if version < 13 else ""
    topic = TopicProduceData(name=name, topic_id=TOPIC_ID if version >= 13 else bytes(16), partition_data=[data])
    request = ProduceRequest(transactional_id=transactional_id, acks=acks, timeout_ms=1, topic_data=[topic])
    body = codec.encode(request, version)
    header = headers.RequestHeader(int(ApiKey.PRODUCE), version, correlation_id, client_id)
    return headers.encode_request_header(header) + body


versions = st.integers(3, 13)


@given(
    versions,
    st.sampled_from([-1, 0, 1]),
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(1, 300), st.integers(0, 2**31 - 1), st.sampled_from("cd")),
        min_size=2,
        max_size=12,
    ),
)
def test_like_requests(version: int, acks: int, requests: list[tuple[int, int, int, str]]) -> None:
    """Partitions that exist and that do not, sizes whose length takes one byte or two, two clients."""
    short, long = _Broker(keeps_shapes=True), _Broker(keeps_shapes=False)
    for index, size, correlation_id, client_id in requests:
        sent = frame(version, acks, index, batch(b"v" * size), client_id, correlation_id)
        assert short.send(sent) == long.send(sent)


@given(versions, st.data())
def test_mutated_requests(version: int, data: st.DataObject) -> None:
    short, long = _Broker(keeps_shapes=True), _Broker(keeps_shapes=False)
    sent = frame(version, 1, 0, batch(b"v" * 100))
    assert short.send(sent) == long.send(sent)
    for _ in range(3):
        changed = bytearray(sent)
        for _ in range(data.draw(st.integers(0, 2))):
            changed[data.draw(st.integers(0, len(sent) - 1))] = data.draw(st.integers(0, 255))
        cut = data.draw(st.integers(0, len(sent) + 3))
        mutated = bytes(changed[:cut]) + bytes(max(0, cut - len(sent)))
        if mutated[:4] != struct.pack(">hh", 0, version):
            continue  # another API or version, which this dispatcher does not serve
        assert short.send(mutated) == long.send(mutated), mutated.hex()
    assert short.send(sent) == long.send(sent)
    assert short.short > 0


def transactional(producer_id: int, sequence: int) -> bytes:
    builder = RecordBatchBuilder(producer_id=producer_id, producer_epoch=0, base_sequence=sequence, transactional=True)
    builder.append(None, b"v", timestamp=1)
    return bytes(builder.build())


@given(
    versions,
    st.sampled_from([-1, 0, 1]),
    st.lists(
        st.tuples(
            st.integers(0, 2),
            st.sampled_from([7, 7, 7, 8, 9]),
            st.sampled_from(["plain", "batch", "batch", "batch", "gap", "marker"]),
        ),
        min_size=2,
        max_size=14,
    ),
)
def test_transactional_requests(version: int, acks: int, steps: list[tuple[int, int, str]]) -> None:
    """Batches of transactions that are open, unknown, or were ended in between."""
    short, long = _Broker(keeps_shapes=True), _Broker(keeps_shapes=False)
    sequences: dict[tuple[int, int], int] = {}
    for index, producer_id, what in steps:
        key = (index, producer_id)
        if what == "marker":
            if index < 2:
                for each in (short, long):
                    each.end_transaction(index, producer_id)
            continue
        sequence = sequences.get(key, 0)
        records = batch(b"v") if what == "plain" else transactional(producer_id, sequence + (what == "gap"))
        sent = frame(version, acks, index, records, transactional_id="t")
        answer = short.send(sent)
        assert answer == long.send(sent)
        if what == "batch" and answer != "refused":
            sequences[key] = sequence + (producer_id != 9)
    assert short.asked == long.asked


def test_a_transaction_is_asked_for_once() -> None:
    broker = _Broker(keeps_shapes=True)
    for sequence in range(5):
        broker.send(frame(12, -1, 0, transactional(7, sequence), transactional_id="t"))
    assert (broker.asked, broker.short) == (1, 4)
    broker.end_transaction(0, 7)
    broker.send(frame(12, -1, 0, transactional(7, 5), transactional_id="t"))
    assert (broker.asked, broker.short) == (2, 4)
