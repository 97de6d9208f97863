"""Messages, bytes and requests since the start, under the JMX exporter's names.

Without the label `topic` they are the broker's own, topics together: as a broker's MBeans have both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from broker.routes import api_name
from kwire.api_keys import ApiKey

if TYPE_CHECKING:
    from broker.metrics.families import Families, Labels
    from broker.metrics.state import ClusterState
    from broker.nodes.node import Node

_TOPICS: Final = "kafka_server_brokertopicmetrics"
_COUNTED: Final = (
    ("messagesin", "Records appended"),
    ("bytesin", "Bytes of record batches appended"),
    ("bytesout", "Bytes of record batches given to consumers"),
)


def traffic(found: Families, state: ClusterState) -> None:
    for node, labels in state.nodes():
        _topics(found, node, labels)
        _requests(found, node, labels)


def _topics(found: Families, node: Node, labels: Labels) -> None:
    together = list(node.partitions.counted_before)
    by_topic: dict[str, list[int]] = {}
    for partition in node.partitions.all_made():
        counts = by_topic.setdefault(partition.topic, [0, 0, 0])
        for place, count in enumerate((partition.messages_in, partition.bytes_in, partition.bytes_out)):
            counts[place] += count
            together[place] += count
    for place, (name, text) in enumerate(_COUNTED):
        found.counter(f"{_TOPICS}_{name}_total", text, labels, together[place])
        for topic, counts in by_topic.items():
            found.counter(f"{_TOPICS}_{name}_total", text, {**labels, "topic": topic}, counts[place])


def _requests(found: Families, node: Node, labels: Labels) -> None:
    counts = node.dispatcher.request_counts()
    for (key, version), count in sorted(counts.items()):
        if count:
            told = {**labels, "request": api_name(ApiKey(key)), "version": str(version)}
            found.counter("kafka_network_requestmetrics_requests_total", "Requests handled", told, count)
    for name, key in (("totalproducerequests", ApiKey.PRODUCE), ("totalfetchrequests", ApiKey.FETCH)):
        total = sum(count for (api_key, _), count in counts.items() if api_key == key)
        found.counter(f"{_TOPICS}_{name}_total", f"{api_name(key)} requests handled", labels, total)
