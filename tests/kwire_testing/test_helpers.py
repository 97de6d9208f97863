"""Helpers of a cluster's handle: topics, records, waiting; no Kafka client takes part but where a group is needed."""

from __future__ import annotations

import threading

import pytest

from kwire.testing import Broker, Cluster, ControlRequestError, Message, WaitTimeoutError


def test_plain_values_are_written_and_read(cluster: Cluster) -> None:
    cluster.create_topic("orders", 1)
    values = [{"id": 1, "ü": [None, True, 1.5]}, ["a"], "text", b"\x00\xff", None, 7]
    placed = cluster.produce("orders", *values)
    assert [(each.partition, each.offset) for each in placed] == [(0, offset) for offset in range(6)]
    found = cluster.records("orders")
    assert [record.value for record in found] == [
        '{"id":1,"ü":[null,true,1.5]}'.encode(),
        b'["a"]',
        b"text",
        b"\x00\xff",
        None,
        b"7",
    ]
    assert found[0].json == values[0]
    assert (found[2].text, found[4].json, found[4].text) == ("text", None, None)
    assert found[0].timestamp_ms == placed[0].timestamp_ms


def test_keys_headers_and_partitions(cluster: Cluster) -> None:
    cluster.create_topics({"orders": 3})
    cluster.produce("orders", "a", key="k", headers={"trace": "1", "none": None, "raw": b"x"})
    own = Message("b", key={"id": 1}, partition=2, timestamp_ms=1_700_000_000_000)
    cluster.produce("orders", own, key="not mine")
    b = cluster.records("orders", partition=2)[-1]
    assert (b.key, b.key_text, b.timestamp_ms) == (b'{"id":1}', '{"id":1}', 1_700_000_000_000)
    (a,) = (record for record in cluster.records("orders") if record.value == b"a")
    assert a.key == b"k"
    assert a.headers == {"trace": b"1", "none": None, "raw": b"x"}


def test_more_records_than_a_request_takes(cluster: Cluster) -> None:
    cluster.create_topic("orders", 1)
    placed = cluster.produce("orders", *range(12_345))
    assert placed[-1].offset == 12_344
    assert [int(record.value or b"") for record in cluster.records("orders")] == list(range(12_345))


def test_topics_are_created_in_each_way_they_can_be_given(broker: Broker) -> None:
    topics = {"a": 2, "b": None, "c": {"partitions": 3, "configs": {"retention.ms": 1000, "preallocate": False}}}
    with broker.create_cluster(topics=topics, configs={"num.partitions": 5}) as cluster:
        cluster.create_topics(["d", {"name": "e", "partitions": 4}])
        assert cluster.topics.names() == ["a", "b", "c", "d", "e"]
        assert broker.cluster(cluster.name).topics.names() == cluster.topics.names()
        counts = {
            name: len(cluster.http.request("GET", f"{cluster.path}/topics/{name}")["partitions"])
            for name in cluster.topics.names()
        }
        assert counts == {"a": 2, "b": 5, "c": 3, "d": 5, "e": 4}
        configs = cluster.http.request("GET", f"{cluster.path}/topics/c")["configs"]
        assert configs == {"retention.ms": "1000", "preallocate": "false"}


def test_a_topic_that_is_there_already_is_told(cluster: Cluster) -> None:
    cluster.create_topic("orders")
    with pytest.raises(ControlRequestError, match=r"topic_already_exists"):
        cluster.create_topic("orders")


def test_a_topic_is_made_unless_it_must_be_there(cluster: Cluster) -> None:
    with pytest.raises(ControlRequestError, match="unknown_topic"):
        cluster.produce("orders", "a", create=False)
    cluster.produce("orders", "a")
    assert cluster.topics.names() == ["orders"]


def test_consume_until_a_number(cluster: Cluster) -> None:
    cluster.produce("orders", "a", "b")
    later = threading.Thread(target=cluster.produce, args=("orders", "c"))
    later.start()
    assert [record.text for record in cluster.consume_until("orders", 3)] == ["a", "b", "c"]
    later.join()


def test_consume_until_a_record_of_a_topic_that_is_not_there_yet(cluster: Cluster) -> None:
    later = threading.Thread(target=cluster.produce, args=("orders", {"id": 1}, {"id": 2}, {"id": 3}))
    later.start()
    found = cluster.consume_until("orders", lambda record: record.json["id"] == 2)
    assert [record.json["id"] for record in found] == [1, 2]
    later.join()


def test_consume_until_neither_a_number_nor_a_function(cluster: Cluster) -> None:
    with pytest.raises(TypeError, match="not '3'"):
        cluster.consume_until("orders", "3")  # type: ignore[arg-type]


def test_consume_until_in_vain_tells_what_was_read(cluster: Cluster) -> None:
    cluster.produce("orders", "a", "b")
    with pytest.raises(
        WaitTimeoutError, match=r"2 of 3 records in topic 'orders' after 0\.05 s.*\n.*0@0 value='a'\n.*'b'"
    ):
        cluster.consume_until("orders", 3, timeout_s=0.05)
    with pytest.raises(
        WaitTimeoutError, match=r"0 of 1 records in topic 'no' after 0 s; there is no topic 'no'.*orders"
    ):
        cluster.consume_until("no", 1, timeout_s=0)
    with pytest.raises(WaitTimeoutError, match=r"2 records, none of which is what was waited for"):
        cluster.consume_until("orders", lambda record: False, timeout_s=0)


def test_a_cluster_that_is_deleted_ends_waiting(broker: Broker) -> None:
    with broker.create_cluster() as cluster:
        pass
    with pytest.raises(ControlRequestError, match="unknown_cluster"):
        cluster.consume_until("orders", 1)
    cluster.delete(missing_ok=True)
    with pytest.raises(ControlRequestError, match="unknown_cluster"):
        cluster.delete()


def test_no_records_are_there_at_once(cluster: Cluster) -> None:
    cluster.create_topic("orders")
    assert cluster.consume_until("orders", 0, timeout_s=3600) == []


def test_records_of_open_and_aborted_transactions(cluster: Cluster) -> None:
    Producer = pytest.importorskip("confluent_kafka").Producer  # noqa: N806
    cluster.create_topic("orders", 1)
    producer = Producer({"bootstrap.servers": cluster.bootstrap_servers, "transactional.id": "t", "linger.ms": 0})
    producer.init_transactions(20)
    producer.begin_transaction()
    producer.produce("orders", "first")
    producer.flush(20)
    with pytest.raises(
        WaitTimeoutError, match=r"0 of 1 records in .*; 1 more offsets wait for the end of open transact"
    ):
        cluster.consume_until("orders", 1, timeout_s=0)
    assert cluster.records("orders") == []
    (record,) = cluster.consume_until("orders", 1, isolation="read_uncommitted")
    assert record.text == "first"
    producer.abort_transaction(20)
    producer.begin_transaction()
    producer.produce("orders", "second")
    producer.commit_transaction(20)
    assert [each.text for each in cluster.consume_until("orders", 1)] == ["second"]
    assert [each.text for each in cluster.records("orders", isolation="read_uncommitted")] == ["first", "second"]
