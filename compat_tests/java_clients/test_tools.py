"""Kafka's command line tools, run as a person runs them."""

import json
import re
from functools import partial
from pathlib import Path

import pytest

from compat_tests.java_clients.clients import Java, eventually
from compat_tests.targets import Broker, OwnBroker

pytestmark = pytest.mark.client("Kafka's tools")


@pytest.mark.capability("kafka-topics")
def test_topics(java: Java) -> None:
    name = java.fresh_name("tool")
    tool = partial(java.tool, "TopicCommand", "--bootstrap-server", java.bootstrap)
    created = tool("--create", "--topic", name, "--partitions", "3", "--config", "retention.ms=1000")
    assert f"Created topic {name}." in created.out
    assert name in tool("--list").out.split()
    described = tool("--describe", "--topic", name).out
    assert re.search(rf"Topic: {name}\tTopicId: \S{{22}}\tPartitionCount: 3\tReplicationFactor: 1\t", described)
    assert "retention.ms=1000" in described
    assert re.search(rf"Topic: {name}\tPartition: 2\tLeader: 1\tReplicas: 1\tIsr: 1", described)
    tool("--alter", "--topic", name, "--partitions", "5")
    assert "PartitionCount: 5" in tool("--describe", "--topic", name).out
    assert tool("--describe", "--under-replicated-partitions").out.strip() == ""
    assert tool("--describe", "--unavailable-partitions").out.strip() == ""
    again = tool("--create", "--topic", name, check=False)
    assert again.status == 1
    assert f"Topic '{name}' already exists." in again.out + again.err
    tool("--create", "--topic", name, "--if-not-exists")
    tool("--delete", "--topic", name)
    assert name not in tool("--list").out.split()


@pytest.mark.capability("kafka-configs")
def test_configs(java: Java) -> None:
    name = java.create_topic("tool")

    def tool(*arguments: str) -> str:
        return java.tool("kafka.admin.ConfigCommand", "--bootstrap-server", java.bootstrap, *arguments).out

    of_topic = ("--entity-type", "topics", "--entity-name", name)
    assert "Completed updating config" in tool(*of_topic, "--alter", "--add-config", "retention.ms=4242")
    eventually(lambda: "retention.ms=4242 sensitive=false" in tool(*of_topic, "--describe"), True)
    assert "segment.bytes=1073741824" in tool(*of_topic, "--describe", "--all")
    tool(*of_topic, "--alter", "--delete-config", "retention.ms")
    eventually(lambda: "retention.ms" in tool(*of_topic, "--describe"), False)
    assert "num.partitions=4" in tool("--entity-type", "brokers", "--entity-name", "1", "--describe", "--all")
    tool("--entity-type", "brokers", "--entity-default", "--describe")


@pytest.mark.capability("console producer and consumer")
def test_console(java: Java) -> None:
    name, group = java.create_topic("tool"), java.fresh_name("group")
    server = ("--bootstrap-server", java.bootstrap)
    produce = ("ConsoleProducer", *server, "--topic", name)
    java.tool(*produce, stdin="one\ntwo\nthree\n")
    properties = ("--reader-property", "parse.key=true", "--reader-property", "key.separator=:")
    java.tool(*produce, *properties, stdin="k:four\n")
    java.tool(*produce, "--compression-codec", "zstd", "--request-required-acks", "0", stdin="five\n")
    consume = ("consumer.ConsoleConsumer", *server, "--topic", name, "--group", group)
    first = java.tool(f"org.apache.kafka.tools.{consume[0]}", *consume[1:], "--from-beginning", "--max-messages", "3")
    assert first.out.split() == ["one", "two", "three"]
    formatting = ("--formatter-property", "print.key=true", "--formatter-property", "print.offset=true")
    rest = java.tool(f"org.apache.kafka.tools.{consume[0]}", *consume[1:], *formatting, "--max-messages", "2")
    assert rest.out.splitlines() == ["Offset:3\tk\tfour", "Offset:4\tnull\tfive"]


@pytest.mark.capability("kafka-consumer-groups and kafka-groups")
def test_groups(java: Java) -> None:
    topic, group = java.create_topic("tool", partitions=2), java.fresh_name("group")
    java.producer().send_values(topic, *"abcdef", partition=0)
    consumer = java.consumer(group, client_id="tooled", heartbeat_interval_ms="300")
    consumer.subscribe(topic)
    assert len(consumer.values(6)) == 6
    consumer.do("commit", offsets=[(topic, 0, 4)])

    def tool(*arguments: str, check: bool = True) -> str:
        main = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
        result = java.tool(main, "--bootstrap-server", java.bootstrap, *arguments, check=check)
        return result.out + result.err

    assert group in tool("--list").split()
    described = tool("--describe", "--group", group)
    row = next(line.split() for line in described.splitlines() if f" {topic} " in line and " 0 " in line)
    assert row[:6] == [group, topic, "0", "4", "6", "2"]
    assert row[7:] == ["/127.0.0.1", "tooled"]
    assert re.search(
        rf"{group}\s+127.0.0.1:\d+\s+\(1\)\s+range\s+Stable\s+1", tool("--describe", "--group", group, "--state")
    )
    members = tool("--describe", "--group", group, "--members", "--verbose")
    assert re.search(rf"{group}\s+tooled-\S+\s+/127.0.0.1\s+tooled\s+2", members)
    assert "Classic" in java.tool("GroupsCommand", "--bootstrap-server", java.bootstrap, "--list").out
    reset = ("--reset-offsets", "--group", group, "--topic", topic, "--to-earliest")
    assert "current state is Stable" in tool(*reset, "--execute", check=False)
    consumer.close()
    assert re.search(rf"{group}\s+{topic}\s+0\s+0", tool(*reset, "--execute"))
    offsets = java.admin("group_offsets", group=group)
    assert offsets[f"{topic}:0"]["offset"] == 0
    tool("--delete-offsets", "--group", group, "--topic", topic)
    assert "successful" in tool("--delete", "--group", group)
    assert group not in tool("--list").split()


@pytest.mark.capability("verifiable producer and consumer")
def test_verifiable(java: Java) -> None:
    topic, group = java.create_topic("tool", partitions=2), java.fresh_name("group")
    server = ("--bootstrap-server", java.bootstrap, "--topic", topic)
    produced = java.tool_process("VerifiableProducer", *server, "--max-messages", "200", "--throughput", "100000")
    events = [json.loads(line) for line in produced.out.splitlines() if line.startswith("{")]
    assert sum(event["name"] == "producer_send_success" for event in events) == 200
    assert not [event for event in events if event["name"] == "producer_send_error"]
    consumed = java.tool(
        "VerifiableConsumer", *server, "--group-id", group, "--max-messages", "200", "--reset-policy", "earliest"
    )
    events = [json.loads(line) for line in consumed.out.splitlines() if line.startswith("{")]
    assert sum(event["count"] for event in events if event["name"] == "records_consumed") == 200
    assert all(event["success"] for event in events if event["name"] == "offsets_committed")


@pytest.mark.capability("performance tools")
def test_performance_tools(java: Java) -> None:
    topic = java.create_topic("tool")
    produced = java.tool(
        "ProducerPerformance",
        *("--bootstrap-server", java.bootstrap, "--topic", topic, "--num-records", "5000", "--record-size", "100"),
        *("--throughput", "-1"),
    )
    assert "5000 records sent" in produced.out
    consumed = java.tool(
        "ConsumerPerformance",
        *("--bootstrap-server", java.bootstrap, "--topic", topic, "--num-records", "5000"),
        *("--group", java.fresh_name("group")),
    )
    figures = consumed.out.splitlines()[-1].split(", ")
    assert int(figures[4]) >= 5000
    latency = java.tool(
        "EndToEndLatency",
        *("--bootstrap-server", java.bootstrap, "--topic", topic, "--num-records", "100"),
        *("--producer-acks", "all", "--record-size", "50"),
    )
    assert "Avg latency" in latency.out


@pytest.mark.capability("kafka-get-offsets")
def test_get_offsets(java: Java) -> None:
    topic = java.create_topic("tool", partitions=2)
    timestamps = (1000, 2000, 5000)
    java.producer().send(*({"topic": topic, "partition": 1, "value": "v", "timestamp": t} for t in timestamps))
    for time, expected in (("latest", 3), ("earliest", 0), ("max-timestamp", 2)):
        tool = java.tool(
            "GetOffsetShell", "--bootstrap-server", java.bootstrap, "--topic-partitions", f"{topic}:1", "--time", time
        )
        assert tool.out.split() == [f"{topic}:1:{expected}"]


@pytest.mark.capability("kafka-delete-records")
def test_delete_records(java: Java, tmp_path: Path) -> None:
    topic = java.create_topic("tool")
    java.producer().send_values(topic, "a", "b", "c")
    path = tmp_path / "offsets.json"
    path.write_text(json.dumps({"partitions": [{"topic": topic, "partition": 0, "offset": 2}], "version": 1}))
    server = ("--bootstrap-server", java.bootstrap)
    tool = java.tool("DeleteRecordsCommand", *server, "--offset-json-file", str(path))
    assert f"partition: {topic}-0\tlow_watermark: 2" in tool.out


@pytest.mark.capability("kafka-log-dirs")
def test_log_dirs(java: Java) -> None:
    topic = java.create_topic("tool")
    java.producer().send_values(topic, "a" * 500)
    server = ("--bootstrap-server", java.bootstrap)
    tool = java.tool("LogDirsCommand", *server, "--describe", "--topic-list", topic)
    described = json.loads(next(line for line in tool.out.splitlines() if line.startswith("{")))
    (broker,) = described["brokers"]
    assert broker["broker"] == 1
    sizes = {p["partition"]: p["size"] for each in broker["logDirs"] for p in each["partitions"]}
    assert sizes[f"{topic}-0"] >= 500


@pytest.mark.capability("kafka-cluster, features, quorum, api versions")
def test_cluster_tools(java: Java) -> None:
    server = ("--bootstrap-server", java.bootstrap)
    cluster_id = java.tool("ClusterTool", "cluster-id", *server).out
    assert java.admin("describe_cluster")["cluster_id"] in cluster_id
    assert re.search(r"127.0.0.1\s+\d+", java.tool("ClusterTool", "list-endpoints", *server).out)
    features = java.tool("FeatureCommand", *server, "describe").out
    assert re.search(r"Feature: metadata.version\s+SupportedMinVersion: \S+\s+SupportedMaxVersion: 4.3-IV0", features)
    status = java.tool("MetadataQuorumCommand", *server, "describe", "--status").out
    assert re.search(r"LeaderId:\s+1\n", status)
    replication = java.tool("MetadataQuorumCommand", *server, "describe", "--replication").out
    assert re.search(r"\n1\s+\S+\s+\d+\s+0\s+.*Leader", replication)
    versions = java.tool("BrokerApiVersionsCommand", *server).out
    assert re.search(r"127.0.0.1:\d+ \(id: 1 rack: null isFenced: false\) -> \(", versions)
    for line in (
        "Produce(0): 0 to 13 [usable: 13]",
        "Fetch(1): 4 to 18 [usable: 18]",
        "Metadata(3): 0 to 13 [usable: 13]",
    ):
        assert line in versions


@pytest.mark.capability("kafka-leader-election, reassign-partitions")
def test_leaders_and_reassignment(java: Java, tmp_path: Path) -> None:
    topic = java.create_topic("tool")
    server = ("--bootstrap-server", java.bootstrap)
    election = ("--election-type", "preferred", "--topic", topic, "--partition", "0")
    done = java.tool("LeaderElectionCommand", *server, *election)
    assert "Valid replica already elected for partitions" in done.out
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"version": 1, "partitions": [{"topic": topic, "partition": 0, "replicas": [1]}]}))
    reassign = "org.apache.kafka.tools.reassign.ReassignPartitionsCommand"
    done = java.tool(reassign, *server, "--reassignment-json-file", str(plan), "--execute")
    assert "Successfully started partition reassignment" in done.out
    done = java.tool(reassign, *server, "--reassignment-json-file", str(plan), "--verify")
    assert f"Reassignment of partition {topic}-0 is completed." in done.out
    assert "No partition reassignments found." in java.tool(reassign, *server, "--list").out


@pytest.mark.capability("kafka-dump-log")
def test_dump_log_reads_what_was_written(java: Java, broker: Broker) -> None:
    if not isinstance(broker, OwnBroker):
        pytest.skip("needs the data directory")
    topic, group = java.create_topic("tool", segment_bytes="1048576"), java.fresh_name("group")
    counts = {"none": 8000, "gzip": 2000, "snappy": 2000, "lz4": 2000, "zstd": 2000}
    for codec, count in counts.items():
        producer = java.producer(compression_type=codec, linger_ms="10", enable_idempotence="true")
        assert producer.send_many(topic, "v", count, size=200).result(30)["acknowledged"] == count
    consumer = java.consumer(group)
    consumer.subscribe(topic)
    consumer.values(1)
    consumer.do("commit")
    folder = broker.data_directory / f"{topic}-0"
    segments = sorted(folder.glob("*.log"))
    assert len(segments) > 1
    # The last segment's indexes are preallocated on Kafka, which the tool takes for corrupt.
    indexes = [path.with_suffix(kind) for path in segments[:-1] for kind in (".index", ".timeindex")]
    indexes += sorted(folder.glob("*.snapshot"))
    out = java.tool("DumpLogSegments", "--deep-iteration", "--files", ",".join(map(str, segments))).out
    offsets = re.findall(r"^\| offset: (\d+) .*$", out, re.MULTILINE)
    assert offsets == [str(offset) for offset in range(sum(counts.values()))]
    assert "isvalid: false" not in out
    sanity = java.tool("DumpLogSegments", "--index-sanity-check", "--files", ",".join(map(str, indexes))).out
    verify = java.tool("DumpLogSegments", "--verify-index-only", "--files", ",".join(map(str, indexes))).out
    for complaint in ("Mismatches", "mismatch", "not found", "Found timestamp mismatch", "corrupt", "Exception"):
        assert complaint not in out + sanity + verify, sanity + verify
    metadata = str(broker.data_directory / "__cluster_metadata-0" / "00000000000000000000.log")
    records = java.tool("DumpLogSegments", "--cluster-metadata-decoder", "--files", metadata).out
    assert f'"type":"TOPIC_RECORD","version":0,"data":{{"name":"{topic}"' in records
    committed = [path for path in broker.data_directory.glob("__consumer_offsets-*/*.log") if path.stat().st_size]
    decoded = java.tool("DumpLogSegments", "--offsets-decoder", "--files", ",".join(map(str, committed))).out
    assert f'"group":"{group}","topic":"{topic}","partition":0' in decoded


@pytest.mark.capability("over TLS")
def test_tools_over_tls(java_tls: Java, tmp_path: Path) -> None:
    topic, group = java_tls.create_topic("tool"), java_tls.fresh_name("group")
    config = tmp_path / "client.properties"
    config.write_text("".join(f"{key}={value}\n" for key, value in java_tls.security.items()))
    server = ("--bootstrap-server", java_tls.bootstrap, "--command-config", str(config))
    assert topic in java_tls.tool("TopicCommand", *server, "--list").out.split()
    java_tls.tool("ConsoleProducer", *server, "--topic", topic, stdin="over\nTLS\n")
    consume = ("--topic", topic, "--group", group, "--from-beginning", "--max-messages", "2")
    consumed = java_tls.tool("org.apache.kafka.tools.consumer.ConsoleConsumer", *server, *consume)
    assert consumed.out.split() == ["over", "TLS"]
    offsets = java_tls.tool("GetOffsetShell", *server, "--topic", topic)
    assert offsets.out.split() == [f"{topic}:0:2"]


@pytest.mark.capability("what is off")
def test_tools_for_what_is_off(java: Java) -> None:
    acls = java.tool("AclCommand", "--bootstrap-server", java.bootstrap, "--list", check=False)
    assert "No Authorizer is configured" in acls.out + acls.err
    tokens = java.tool(
        "DelegationTokenCommand",
        "--bootstrap-server",
        java.bootstrap,
        "--describe",
        "--command-config",
        "/dev/null",
        check=False,
    )
    assert tokens.status != 0
