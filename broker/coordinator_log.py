"""The coordinators' ports over partitions and the image (broker.coordinator.ports)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from broker.controller.controller import Controller
from broker.controller.decisions.topics import CreatedTopic
from broker.decision import InTransaction
from broker.deferred import Deferred
from broker.metadata_log import read_log
from broker.partitions import Partition, Partitions
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from log.append_validation import AppendOrigin
from log.log_manager import LogManager

OFFSETS_TOPIC: Final = "__consumer_offsets"
TRANSACTION_TOPIC: Final = "__transaction_state"
# Some 5 ms of work: others are served between two chunks.
_LOAD_CHUNK_BYTES: Final = 512 * 1024


class PartitionCoordinatorLog:
    """One partition of an internal topic."""

    __slots__ = ("_partition",)

    def __init__(self, partition: Partition) -> None:
        self._partition = partition

    @property
    def leader_epoch(self) -> int:
        return self._partition.leader_epoch

    @property
    def max_batch_bytes(self) -> int:
        return self._partition.log.config.max_message_bytes

    def append(self, batch: bytes | bytearray, in_transaction: InTransaction | None = None, /) -> int:
        if self._partition.under_min_isr:
            raise ApiError(ErrorCode.NOT_ENOUGH_REPLICAS)
        if in_transaction is None:
            info = self._partition.append(batch, AppendOrigin.COORDINATOR)
        else:
            info = self._partition.append(
                batch, AppendOrigin.COORDINATOR, in_transaction.guard, in_transaction.transaction_version
            )
        return info.last_offset + 1

    def committed(self, offset: int, /) -> Deferred[None]:
        return self._partition.committed(offset)

    def read_all(self) -> Iterator[memoryview]:
        return read_log(self._partition.log, chunk_bytes=_LOAD_CHUNK_BYTES)


class ImageInternalTopic:
    """`__consumer_offsets` or `__transaction_state` as the image has it."""

    def __init__(self, name: str, controller: Controller, partitions: Partitions, manager: LogManager) -> None:
        self._name = name
        self._controller = controller
        self._partitions = partitions
        self._manager = manager

    def partition_count(self) -> int | None:
        topic = self._controller.image.topic_by_name(self._name)
        return None if topic is None else len(topic.partitions)

    def ensure_exists(self) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        if self._controller.image.topic_by_name(self._name) is not None:
            done.resolve(None)
            return done

        def created(answer: Deferred[list[CreatedTopic]]) -> None:
            try:
                error = answer.result()[0].error
                if error is not None:
                    raise error
            except Exception as failure:
                done.fail(failure)
            else:
                done.resolve(None)

        try:
            self._controller.create_missing_topic(self._name).add_callback(created)
        except ApiError as error:
            done.fail(error)
        return done

    def log(self, partition: int, /) -> PartitionCoordinatorLog | None:
        try:
            found = self._partitions.get(self._name, partition)
        except ApiError:
            return None
        return None if found is None else PartitionCoordinatorLog(found)

    def has_data(self, partition: int, /) -> bool:
        return (self._name, partition) in self._manager


class ImageTopics:
    """The topics as the image has them."""

    def __init__(self, controller: Controller) -> None:
        self._image = controller.image

    def topic_exists(self, name: str, /) -> bool:
        return self._image.topic_by_name(name) is not None

    def topic_id(self, name: str, /) -> bytes | None:
        topic = self._image.topic_by_name(name)
        return None if topic is None else topic.topic_id

    def topic_name(self, topic_id: bytes, /) -> str | None:
        topic = self._image.topic_by_id(topic_id)
        return None if topic is None else topic.name

    def partition_count(self, name: str, /) -> int:
        topic = self._image.topic_by_name(name)
        return 0 if topic is None else len(topic.partitions)
