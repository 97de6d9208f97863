"""What an application does with kafka-python, of whatever release: produce, consume in a group, commit, go on.

    python kafka_python_round_trip.py BOOTSTRAP RELEASE TOPIC GROUP COMPRESSION      RELEASE: "0.11", or "auto"

Prints a line of JSON: what the first consumer read, what the second, the committed offsets, the end offsets.
"""

import json
import sys

from kafka import KafkaConsumer, KafkaProducer, TopicPartition


def main() -> None:
    bootstrap, release, topic, group, compression = sys.argv[1:6]
    common = {"bootstrap_servers": bootstrap}
    if release != "auto":
        common["api_version"] = tuple(int(part) for part in release.split("."))
    producer = KafkaProducer(
        compression_type=None if compression == "none" else compression, linger_ms=5, retries=5, **common
    )
    for number in range(20):
        producer.send(topic, key=b"k%d" % number, value=b"v%d" % number, timestamp_ms=1_000 + number)
    producer.flush(20)

    def consumer():
        return KafkaConsumer(
            topic,
            group_id=group,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            consumer_timeout_ms=15_000,
            heartbeat_interval_ms=200,
            fetch_max_wait_ms=100,
            **common,
        )

    def read(client, count):
        found = []
        for record in client:
            found.append(
                (record.partition, record.offset, record.key.decode(), record.value.decode(), record.timestamp)
            )
            if len(found) == count:
                break
        return found

    first = consumer()
    read_first = read(first, 20)
    first.commit()
    partitions = sorted(first.partitions_for_topic(topic))
    committed = sum(first.committed(TopicPartition(topic, number)) or 0 for number in partitions)
    ends = sum(first.end_offsets([TopicPartition(topic, number) for number in partitions]).values())
    first.close()

    producer.send(topic, key=b"later", value=b"later", timestamp_ms=5_000)
    producer.flush(20)
    producer.close(5)
    second = consumer()
    read_second = read(second, 1)
    second.close()
    print(json.dumps({"first": sorted(read_first), "second": read_second, "committed": committed, "ends": ends}))


main()
