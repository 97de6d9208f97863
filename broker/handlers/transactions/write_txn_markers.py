"""WriteTxnMarkers: end transactions in partitions of this broker, for whichever producer  (KIP-98, KIP-890, KIP-664)

v2 adds the version of the transaction: from 2 on the marker's epoch is above that of the records it ends.
"""

from __future__ import annotations

from broker.context import RequestContext
from broker.deferred import Deferred, resolved
from broker.transaction_markers import PartitionKey, TransactionMarkers
from kwire.error_codes import ErrorCode
from kwire.messages.write_txn_markers import (
    WritableTxnMarker,
    WritableTxnMarkerPartitionResult,
    WritableTxnMarkerResult,
    WritableTxnMarkerTopicResult,
    WriteTxnMarkersRequest,
    WriteTxnMarkersResponse,
)


def _partitions(marker: WritableTxnMarker) -> list[PartitionKey]:
    return [(topic.name, index) for topic in marker.topics for index in topic.partition_indexes]


def _of_nobody(marker: WritableTxnMarker) -> bool:
    """Kafka makes no control batch of it."""
    return -1 in (marker.producer_id, marker.producer_epoch, marker.transaction_version)


def _all_fail(marker: WritableTxnMarker) -> dict[PartitionKey, ErrorCode]:
    return dict.fromkeys(_partitions(marker), ErrorCode.UNKNOWN_SERVER_ERROR)


async def write_txn_markers(
    request: WriteTxnMarkersRequest, _ctx: RequestContext, markers: TransactionMarkers
) -> WriteTxnMarkersResponse:
    """One result a producer, though it be named by several markers; of the same partition the last result counts.

    A marker of no producer, or of no transaction version, fails the whole request; those before it are written.
    """
    writes: list[tuple[int, Deferred[dict[PartitionKey, ErrorCode]]]] = []
    for marker in request.markers:
        partitions = _partitions(marker)
        if _of_nobody(marker) and any(markers.has(key) for key in partitions):
            writes = [(each.producer_id, resolved(_all_fail(each))) for each in request.markers]
            break
        written = markers.write(
            marker.producer_id,
            marker.producer_epoch,
            marker.transaction_result,
            marker.coordinator_epoch,
            partitions,
            marker.transaction_version,
        )
        writes.append((marker.producer_id, written))
    results: dict[int, dict[str, dict[int, ErrorCode]]] = {}
    for producer_id, written in writes:
        for (topic, index), code in (await written).items():
            results.setdefault(producer_id, {}).setdefault(topic, {})[index] = code
    return WriteTxnMarkersResponse(
        markers=[
            WritableTxnMarkerResult(
                producer_id=producer_id,
                topics=[
                    WritableTxnMarkerTopicResult(
                        name=topic,
                        partitions=[
                            WritableTxnMarkerPartitionResult(partition_index=index, error_code=code)
                            for index, code in partitions.items()
                        ],
                    )
                    for topic, partitions in topics.items()
                ],
            )
            for producer_id, topics in results.items()
        ]
    )
