"""WriteTxnMarkers: end transactions in partitions of this broker, for whichever producer  (KIP-98, KIP-890, KIP-664)

v2 adds the version of the transaction: from 2 on the marker's epoch is above that of the records it ends.
"""

from __future__ import annotations

from broker.context import RequestContext
from broker.transaction_markers import TransactionMarkers
from kwire.error_codes import ErrorCode
from kwire.messages.write_txn_markers import (
    WritableTxnMarkerPartitionResult,
    WritableTxnMarkerResult,
    WritableTxnMarkerTopicResult,
    WriteTxnMarkersRequest,
    WriteTxnMarkersResponse,
)


async def write_txn_markers(
    request: WriteTxnMarkersRequest, _ctx: RequestContext, markers: TransactionMarkers
) -> WriteTxnMarkersResponse:
    """One result a producer, though it be named by several markers; of the same partition the last result counts."""
    writes = [
        (
            marker.producer_id,
            markers.write(
                marker.producer_id,
                marker.producer_epoch,
                marker.transaction_result,
                marker.coordinator_epoch,
                [(topic.name, index) for topic in marker.topics for index in topic.partition_indexes],
                marker.transaction_version,
            ),
        )
        for marker in request.markers
    ]
    results: dict[int, dict[str, dict[int, ErrorCode]]] = {}
    for producer_id, written in writes:
        topics = results.setdefault(producer_id, {})
        for (topic, index), code in (await written).items():
            topics.setdefault(topic, {})[index] = code
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
