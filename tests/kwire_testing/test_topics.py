"""The Python door of topics."""

from __future__ import annotations

import pytest

from kwire.testing import Cluster, ControlRequestError


def test_topics(cluster: Cluster) -> None:
    topics = cluster.topics
    made = topics.create("orders", 2, configs={"cleanup.policy": "compact", "retention.ms": 1000})
    assert [each.leader for each in made.partitions] == [1, 1]
    assert made.configs == {"cleanup.policy": "compact", "retention.ms": "1000"}
    assert (list(topics), len(topics), "orders" in topics, "other" in topics) == (["orders"], 1, True, False)
    cluster.produce("orders", "a", "b", key="k", partition=1)
    state = topics["orders"]
    assert (state.record_count, state.partitions[1].high_watermark, state.internal) == (2, 2, False)
    with pytest.raises(KeyError, match="there is no topic 'other'"):
        topics["other"]
    with pytest.raises(ControlRequestError) as refused:
        topics.create("orders")
    assert (refused.value.status, refused.value.code) == (409, "topic_already_exists")
    topics.delete("orders")
    topics.delete("orders", missing_ok=True)
    with pytest.raises(ControlRequestError):
        topics.delete("orders")
    assert topics.names() == []
