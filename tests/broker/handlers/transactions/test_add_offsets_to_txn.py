"""AddOffsetsToTxn on a broker that has no __consumer_offsets yet."""

from __future__ import annotations

from pathlib import Path

import trio

from kwire.messages.add_offsets_to_txn import AddOffsetsToTxnRequest
from kwire.messages.describe_transactions import DescribeTransactionsRequest
from kwire.messages.end_txn import EndTxnRequest
from kwire.messages.find_coordinator import FindCoordinatorRequest
from kwire.messages.init_producer_id import InitProducerIdRequest
from kwire.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
)
from tests.broker.cluster_helpers import running_server


def test_before_there_is_a_topic_for_offsets(tmp_path: Path) -> None:
    """A producer asks for the group's coordinator, which makes the topic, after this request."""

    async def run() -> None:
        async with running_server(tmp_path) as running:
            client = await running.connect(running.add())
            await client.create_topic("t")
            with trio.fail_after(10):
                while True:
                    init = InitProducerIdRequest(transactional_id="x", transaction_timeout_ms=60_000)
                    producer = await client.send(init, 5)
                    if producer.error_code == 0:
                        break
                    await client.send(FindCoordinatorRequest(key_type=1, coordinator_keys=["x"]), 4)
            me = {"transactional_id": "x", "producer_id": producer.producer_id, "producer_epoch": 0}
            assert (await client.send(AddOffsetsToTxnRequest(**me, group_id="g"), 4)).error_code == 0
            (state,) = (await client.send(DescribeTransactionsRequest(transactional_ids=["x"]), 0)).transaction_states
            assert [topic.topic for topic in state.topics] == ["__consumer_offsets"]

            position = TxnOffsetCommitRequestPartition(partition_index=0, committed_offset=5)
            topics = [TxnOffsetCommitRequestTopic(name="t", partitions=[position])]
            with trio.fail_after(10):
                while True:
                    await client.send(FindCoordinatorRequest(key_type=0, coordinator_keys=["g"]), 4)
                    commit = TxnOffsetCommitRequest(**me, group_id="g", topics=topics)
                    answer = await client.send(commit, 4)
                    if answer.topics[0].partitions[0].error_code == 0:
                        break
            assert (await client.send(EndTxnRequest(**me, committed=True), 4)).error_code == 0

    trio.run(run)
