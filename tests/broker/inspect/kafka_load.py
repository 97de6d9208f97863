"""What clients do to a broker so that its data directory holds a bit of everything."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence


def load(address: str, protocols: Sequence[str]) -> None:
    """Topics of all codecs, idempotent and transactional batches, a compacted topic that is compacted, a group of each
    of these protocols, deleted records, an open transaction. Blocks for some seconds."""
    from confluent_kafka import Consumer, Producer, TopicPartition
    from confluent_kafka.admin import AdminClient, NewTopic

    servers = {"bootstrap.servers": address}
    admin = AdminClient(servers)
    compacted = {
        "cleanup.policy": "compact",
        "segment.ms": "1000",
        "min.cleanable.dirty.ratio": "0.01",
        "delete.retention.ms": "100",
    }
    topics = [
        NewTopic("orders", 3, 1),
        NewTopic("codecs", 1, 1, config={"segment.bytes": "1048576"}),
        NewTopic("compacted", 1, 1, config=compacted),
        NewTopic("transactions", 2, 1, config={"segment.bytes": "1048576"}),
        NewTopic("deleted", 1, 1),
    ]
    for created in admin.create_topics(topics).values():
        created.result()
    rubbish = random.Random(1).randbytes
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        producer = Producer({**servers, "compression.type": codec, "linger.ms": 5})
        for number in range(1500):
            producer.produce("codecs", key=f"k{number % 97}", value=rubbish(400), headers={"h": b"v"})
            producer.produce("orders", key=f"k{number % 97}", value=b"abc" * 10)
            producer.poll(0)
        producer.flush()
    transactional = Producer({**servers, "transactional.id": "one"})
    transactional.init_transactions()
    for turn in range(8):
        transactional.begin_transaction()
        for number in range(2000 if turn % 3 == 0 else 5):
            transactional.produce("transactions", key=str(number), value=rubbish(200))
            transactional.poll(0)
        transactional.flush()
        if turn % 3:
            transactional.abort_transaction()
        else:
            transactional.commit_transaction()
    idempotent = Producer({**servers, "enable.idempotence": True})
    for turn in range(4):
        for number in range(500):
            idempotent.produce("compacted", key=f"k{number % 50}", value=rubbish(100))
        idempotent.flush()
        transactional.begin_transaction()
        for number in range(20):
            transactional.produce("compacted", key=f"t{number}", value=rubbish(50))
        transactional.flush()
        if turn % 2:
            transactional.abort_transaction()
        else:
            transactional.commit_transaction()
        time.sleep(1.2)  # the broker rolls by its own clock
    for protocol in protocols:
        consumer = Consumer(
            {**servers, "group.id": protocol, "group.protocol": protocol, "auto.offset.reset": "earliest"}
        )
        consumer.subscribe(["orders"])
        seen = 0
        while seen < 300:
            found = consumer.poll(1)
            if found is not None:
                assert found.error() is None, found.error()
                seen += 1
        consumer.commit(asynchronous=False)
        consumer.close()
    for deleted in admin.delete_records([TopicPartition("codecs", 0, 700)]).values():
        deleted.result()
    for removed in admin.delete_topics(["deleted"]).values():
        removed.result()
    time.sleep(2)  # for the cleaner and retention
    transactional.begin_transaction()
    transactional.produce("transactions", key="open", value="open")
    transactional.flush()
