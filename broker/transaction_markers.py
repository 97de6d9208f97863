"""Ending transactions in the partitions of this node  (Kafka: KafkaApis.handleWriteTxnMarkersRequest).

A marker is a control batch of one record. In `__consumer_offsets` the group coordinator writes it, as it also brings
the transaction's offsets into force.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import partial
from typing import Final, TypeAlias

from broker.clock import Clock
from broker.coordinator.coordinator import OFFSETS_TOPIC, GroupCoordinator
from broker.deferred import Deferred
from broker.partitions import Partition, Partitions
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.records import ControlType, end_transaction_marker
from log.append_validation import AppendOrigin

logger = logging.getLogger(__name__)

PartitionKey: TypeAlias = tuple[str, int]
"""Topic name and partition index."""

# A group coordinator that is not ready is told as a partition that is not led: the transaction coordinator asks again.
_NOT_READY: Final = frozenset(
    (ErrorCode.COORDINATOR_NOT_AVAILABLE, ErrorCode.COORDINATOR_LOAD_IN_PROGRESS, ErrorCode.NOT_COORDINATOR)
)


class TransactionMarkers:
    """Writes markers; errors are told partition by partition."""

    def __init__(self, partitions: Partitions, groups: GroupCoordinator, clock: Clock) -> None:
        self._partitions = partitions
        self._groups = groups
        self._clock = clock

    def write(
        self,
        producer_id: int,
        producer_epoch: int,
        committed: bool,
        coordinator_epoch: int,
        partitions: Iterable[PartitionKey],
        transaction_version: int,
    ) -> Deferred[dict[PartitionKey, ErrorCode]]:
        """Append the marker to each partition; finished when all of them are committed or refused.

        UNKNOWN_TOPIC_OR_PARTITION: not here (or its log cannot be read: to be tried again); NOT_LEADER_OR_FOLLOWER: a
        replica that follows, or its groups are being loaded; INVALID_PRODUCER_EPOCH, TRANSACTION_COORDINATOR_FENCED: a
        later one has been here; KAFKA_STORAGE_ERROR.
        """
        done: Deferred[dict[PartitionKey, ErrorCode]] = Deferred()
        codes: dict[PartitionKey, ErrorCode] = {}
        wanted = list(dict.fromkeys(partitions))
        left = len(wanted)

        def told(key: PartitionKey, written: Deferred[None]) -> None:
            nonlocal left
            codes[key] = _code(key, written)
            left -= 1
            if not left:
                done.resolve({each: codes[each] for each in wanted})

        if not wanted:
            done.resolve({})
        now_ms = self._clock.now_ms()
        for key in wanted:
            topic, index = key
            found = self._find(topic, index)
            if found is None:
                written: Deferred[None] = Deferred()
                written.fail(ApiError(self._why_not(topic, index)))
            elif topic == OFFSETS_TOPIC:
                written = self._groups.complete_transaction(
                    index, producer_id, producer_epoch, coordinator_epoch, committed, transaction_version
                )
            else:
                marker = end_transaction_marker(
                    ControlType.COMMIT if committed else ControlType.ABORT,
                    producer_id=producer_id,
                    producer_epoch=producer_epoch,
                    coordinator_epoch=coordinator_epoch,
                    timestamp=now_ms,
                )
                written = _append(found, marker, transaction_version)
            written.add_callback(partial(told, key))
        return done

    def _why_not(self, topic: str, index: int) -> ErrorCode:
        followers = self._partitions.followers
        if followers is not None and followers.get(topic, b"", index) is not None:
            return ErrorCode.NOT_LEADER_OR_FOLLOWER
        return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION

    def has(self, key: PartitionKey) -> bool:
        """Whether a marker could be written there."""
        return self._find(*key) is not None

    def _find(self, topic: str, index: int) -> Partition | None:
        """A partition that is led here and whose log is in order."""
        try:
            found = self._partitions.get(topic, index)
            return None if found is None or found.log.offline else found
        except ApiError:
            return None


def _append(found: Partition, marker: bytearray, transaction_version: int) -> Deferred[None]:
    try:
        info = found.append(marker, AppendOrigin.COORDINATOR, None, transaction_version)
        return found.committed(info.last_offset + 1)
    except ApiError as error:
        refused: Deferred[None] = Deferred()
        refused.fail(error)
        return refused


def _code(key: PartitionKey, written: Deferred[None]) -> ErrorCode:
    try:
        written.result()
    except ApiError as error:
        return ErrorCode.NOT_LEADER_OR_FOLLOWER if error.code in _NOT_READY and key[0] == OFFSETS_TOPIC else error.code
    except Exception:
        logger.exception("cannot write a transaction marker to %s-%d", *key)
        return ErrorCode.UNKNOWN_SERVER_ERROR
    return ErrorCode.NONE
