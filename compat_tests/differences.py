"""Where kwire answers otherwise than Apache Kafka 4.3.1, on purpose. Each row also stands in docs/DIFFERENCES.md.

Tests ask ``expected(key, broker.kind)``; a target that is neither is taken for a Kafka.
"""

from typing import Any

from attrs import frozen


@frozen
class Difference:
    """``about`` is the row's text in docs/DIFFERENCES.md, word for word; the values are what tests expect."""

    about: str
    kafka: Any
    kwire: Any


DIFFERENCES: dict[str, Difference] = {
    "produce-records-null": Difference(
        "Produce with null records",
        kafka="no answer, ever",
        kwire="INVALID_RECORD (87)",
    ),
}

# APIs that Kafka 4.3.1 advertises and kwire does not have yet.
NOT_YET_ADVERTISED: frozenset[str] = frozenset(
    {
        "AddPartitionsToTxn",
        "AddOffsetsToTxn",
        "EndTxn",
        "WriteTxnMarkers",
        "TxnOffsetCommit",
        "DescribeTransactions",
        "ListTransactions",
        "ConsumerGroupHeartbeat",
        "ConsumerGroupDescribe",
        "ShareGroupHeartbeat",
        "ShareGroupDescribe",
        "ShareFetch",
        "ShareAcknowledge",
        "InitializeShareGroupState",
        "ReadShareGroupState",
        "WriteShareGroupState",
        "DeleteShareGroupState",
        "ReadShareGroupStateSummary",
        "DescribeShareGroupOffsets",
        "AlterShareGroupOffsets",
        "DeleteShareGroupOffsets",
        "StreamsGroupHeartbeat",
        "StreamsGroupDescribe",
    }
)

# Finalized (and supported) feature levels that differ: clients believe features, so what is not built is 0.
FEATURES_NOT_YET: frozenset[str] = frozenset(
    {"transaction.version", "group.version", "share.version", "streams.version"}
)

# Broker settings whose default differs from Kafka's: name -> kwire's default.
BROKER_DEFAULTS: dict[str, str] = {}


def expected(key: str, kind: str) -> Any:
    """What the broker of ``kind`` ("kafka", "kwire", "remote") does."""
    difference = DIFFERENCES[key]
    return difference.kwire if kind == "kwire" else difference.kafka
