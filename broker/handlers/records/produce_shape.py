"""Produce requests that repeat: the shape of the last one is kept, and what is the same is not looked at again.

A producer's requests to one topic differ in correlation id, partition index and records only. Once such a request was
handled in the ordinary way, the bytes before its partition index are compared as a whole, the batch is appended, and
the answer is packed from its known frame. Anything unlike the shape goes the ordinary way; a refusal is told by the
ordinary code. (About a third of the cost of a one-record request; docs/adr/0003.)
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from broker.deferred import Deferred
from broker.dispatch import NOT_ALIKE, Answer, BoundRoute, NotAlike, Refusal
from broker.handlers.records.produce_append import is_one_batch, refused
from kwire import codec
from kwire.errors import ApiError
from kwire.messages.produce import (
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceResponse,
)
from kwire.primitives import unsigned_varint

if TYPE_CHECKING:
    from broker.connection import Connection
    from broker.partitions import Partition, Partitions
    from broker.transaction_verification import TransactionVerifier

_CORRELATION_END: Final = 8
_INDEX: Final = struct.Struct(">i")
_KEY: Final = struct.Struct(">hh")
_FLEXIBLE_TAIL: Final = b"\x00\x00\x00"
_FLEXIBLE_FROM: Final = 9
_LOG_START_FROM: Final = 5
_BY_TOPIC_ID: Final = 13
_ATTRIBUTES_LOW_BYTE: Final = 22
_TRANSACTIONAL_BIT: Final = 0x10
_MIN_BATCH_BYTES: Final = 61
# producer id, producer epoch
_PRODUCER: Final = struct.Struct(">qh")
_PRODUCER_AT: Final = 43
# An index that does not occur elsewhere in an encoded answer: where it is found, the index goes.
_PROBE_INDEX: Final = 0x5A6B7C1D


class ProduceShape:
    """One connection's last kind of Produce request: one topic, one partition."""

    __slots__ = (
        "_acks",
        "_answer",
        "_bound",
        "_by_index",
        "_flexible",
        "_generation",
        "_head",
        "_key",
        "_partitions",
        "_prefix",
        "_prefix_end",
        "_tail",
        "_topic_id",
        "_topic_name",
        "_transactional",
        "_version",
        "_with_log_start",
    )

    def __init__(
        self, bound: BoundRoute, request: ProduceRequest, prefix: bytes, partitions: Partitions, flexible: bool
    ) -> None:
        topic = request.topic_data[0]
        version = bound.api_version
        self._bound = bound
        self._key = _KEY.pack(bound.api_key, version)
        self._partitions = partitions
        self._generation = partitions.generation
        self._by_index: dict[int, Partition] = {}
        self._prefix = prefix
        self._prefix_end = _CORRELATION_END + len(prefix)
        self._flexible = flexible
        self._acks = request.acks
        self._version = version
        self._topic_name = topic.name
        self._topic_id = topic.topic_id
        self._transactional = request.transactional_id is not None
        self._with_log_start = version >= _LOG_START_FROM
        body = codec.encode(
            self._response(PartitionProduceResponse(index=_PROBE_INDEX, base_offset=0, log_start_offset=0)), version
        )
        at = body.index(_INDEX.pack(_PROBE_INDEX))
        self._head = (b"\x00" if bound.flexible_response_header else b"") + body[:at]
        self._tail = body[at + (30 if self._with_log_start else 22) :]
        middle = "ihqqq" if self._with_log_start else "ihqq"
        self._answer = struct.Struct(f">ii{len(self._head)}s{middle}{len(self._tail)}s")

    def _response(self, answer: PartitionProduceResponse) -> ProduceResponse:
        topic = TopicProduceResponse(name=self._topic_name, topic_id=self._topic_id, partition_responses=[answer])
        return ProduceResponse(responses=[topic])

    def handle(self, frame: memoryview) -> Answer | Deferred[Answer] | NotAlike:
        """Append and answer, or say that the request is of another shape (and nothing was done)."""
        end = self._prefix_end
        if frame[_CORRELATION_END:end] != self._prefix or frame[:4] != self._key:
            return NOT_ALIKE
        total = len(frame)
        if total < end + 10:
            return NOT_ALIKE
        (index,) = _INDEX.unpack_from(frame, end)
        partition = self._by_index.get(index)
        if partition is None or self._generation != self._partitions.generation:
            return NOT_ALIKE
        start = end + 4
        if self._flexible:
            byte = frame[start]
            start += 1
            size = byte & 0x7F
            shift = 7
            while byte & 0x80:
                byte = frame[start]
                start += 1
                size |= (byte & 0x7F) << shift
                shift += 7
                if shift > 28 or start >= total:
                    return NOT_ALIKE
            size -= 1
            if start + size + 3 != total or bytes(frame[total - 3 :]) != _FLEXIBLE_TAIL:
                return NOT_ALIKE
        else:
            (size,) = _INDEX.unpack_from(frame, start)
            start += 4
            if start + size != total:
                return NOT_ALIKE
        records = frame[start : start + size]
        if not is_one_batch(records, self._version):
            return NOT_ALIKE
        if records[_ATTRIBUTES_LOW_BYTE] & _TRANSACTIONAL_BIT and not self._is_open(partition, records):
            return NOT_ALIKE
        self._bound.requests += 1
        try:
            info = partition.append(records)
        except ApiError as error:
            return self._refuse(frame, index, partition, error)
        if self._acks == 0:
            return None
        (correlation_id,) = _INDEX.unpack_from(frame, 4)
        packer = self._answer
        if self._with_log_start:
            answer = packer.pack(
                packer.size - 4,
                correlation_id,
                self._head,
                index,
                0,
                info.first_offset,
                info.log_append_time_ms,
                info.log_start_offset,
                self._tail,
            )
        else:
            answer = packer.pack(
                packer.size - 4,
                correlation_id,
                self._head,
                index,
                0,
                info.first_offset,
                info.log_append_time_ms,
                self._tail,
            )
        if info.last_offset < partition.log.high_watermark:
            return answer
        return self._when_committed(partition, info.last_offset, answer, bytes(frame[4:8]), index)

    def _is_open(self, partition: Partition, records: memoryview) -> bool:
        """Whether the batch goes on with a transaction that the partition knows: its coordinator need not be asked."""
        if not self._transactional:
            return False
        opened = partition.opened
        return opened is not None and opened.producers.has_ongoing_transaction(
            *_PRODUCER.unpack_from(records, _PRODUCER_AT)
        )

    def _when_committed(
        self, partition: Partition, last_offset: int, answer: bytes, correlation: bytes, index: int
    ) -> Deferred[Answer]:
        later: Deferred[Answer] = Deferred()

        def done(committed: Deferred[None]) -> None:
            try:
                committed.result()
            except ApiError as error:
                failed = PartitionProduceResponse(index=index, error_code=error.code, base_offset=-1)
                later.resolve(self._encode(correlation, failed))
            else:
                later.resolve(answer)

        partition.committed(last_offset + 1).add_callback(done)
        return later

    def _refuse(self, frame: memoryview, index: int, partition: Partition, error: ApiError) -> Answer:
        if self._acks == 0:
            return Refusal(f"a produce request with acks=0 failed: {error}")
        return self._encode(bytes(frame[4:8]), refused(index, partition, error))

    def _encode(self, correlation: bytes, answer: PartitionProduceResponse) -> bytes:
        body = codec.encode(self._response(answer), self._bound.api_version)
        if self._bound.flexible_response_header:
            body = b"\x00" + body
        return _INDEX.pack(len(body) + 4) + correlation + body

    def is_like(self, bound: BoundRoute, prefix: bytes) -> bool:
        """Whether requests that begin so are of this shape, and its partitions are still the topic's."""
        return bound is self._bound and prefix == self._prefix and self._generation == self._partitions.generation

    def add(self, index: int, partition: Partition) -> None:
        """Requests for this partition are alike too."""
        self._by_index[index] = partition


class ProduceShortcut:
    """The route's shortcut: one shape per connection."""

    __slots__ = ("_partitions",)

    def __init__(self, partitions: Partitions, _verifier: TransactionVerifier) -> None:
        self._partitions = partitions

    def learn(self, frame: memoryview, connection: Connection, bound: BoundRoute, request: ProduceRequest) -> None:
        """Keep the shape of a request, when it has one."""
        learn(frame, connection, bound, request, self._partitions)


def learn(
    frame: memoryview, connection: Connection, bound: BoundRoute, request: ProduceRequest, partitions: Partitions
) -> None:
    """Keep the shape of a request that was handled in the ordinary way, when it has one."""
    if request.acks not in (-1, 0, 1) or len(request.topic_data) != 1:
        return
    topic = request.topic_data[0]
    if len(topic.partition_data) != 1:
        return
    data = topic.partition_data[0]
    records = data.records
    if records is None or len(records) < _MIN_BATCH_BYTES:
        return
    try:
        if bound.api_version >= _BY_TOPIC_ID:
            partition = partitions.get_by_id(topic.topic_id, data.index)
        else:
            partition = partitions.get(topic.name, data.index)
    except ApiError:
        return
    if partition is None or partition.is_internal or partition.held:
        return
    flexible = bound.api_version >= _FLEXIBLE_FROM
    tail = len(_FLEXIBLE_TAIL) if flexible else 0
    length = unsigned_varint(len(records) + 1) if flexible else _INDEX.pack(len(records))
    length_at = len(frame) - tail - len(records) - len(length)
    index_at = length_at - 4
    if index_at <= _CORRELATION_END or _INDEX.unpack_from(frame, index_at)[0] != data.index:
        return
    # A request with bytes behind it is none that ends where its records say.
    if frame[length_at : length_at + len(length)] != length:
        return
    if flexible and bytes(frame[len(frame) - tail :]) != _FLEXIBLE_TAIL:
        return
    prefix = bytes(frame[_CORRELATION_END:index_at])
    shape = connection.shape
    if not (isinstance(shape, ProduceShape) and shape.is_like(bound, prefix)):
        shape = connection.shape = ProduceShape(bound, request, prefix, partitions, flexible)
    shape.add(data.index, partition)
