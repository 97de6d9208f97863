"""The Admin client: topics, partitions, configs, offsets, records, the cluster, what is off."""

import pytest

from compat_tests.java_clients.clients import Java, eventually
from compat_tests.java_clients.jvm import JavaError
from compat_tests.targets import Broker

pytestmark = pytest.mark.client("Java clients")


@pytest.mark.capability("admin: topics")
def test_create_describe_delete(java: Java) -> None:
    name = java.fresh_name("topic")
    topic = {"name": name, "partitions": 3, "replication": 1, "configs": {"retention.ms": "12345"}}
    assert java.admin("create_topics", topics=[topic])[name] == {
        "partitions": 3,
        "replication": 1,
        "has_id": True,
        "retention.ms": "12345",
    }
    partition = {"leader": 1, "replicas": [1], "isr": [1]}
    assert java.admin("describe_topics", topics=[name])[name] == {
        "internal": False,
        "has_id": True,
        "partitions": [{"partition": number, **partition} for number in range(3)],
    }
    assert name in java.admin("list_topics")
    again = java.admin("create_topics", topics=[topic])[name]
    assert (again["class"], again["message"]) == ("TopicExistsException", f"Topic '{name}' already exists.")
    assert java.admin("delete_topics", topics=[name]) == {name: None}
    assert name not in java.admin("list_topics")
    gone = java.admin("delete_topics", topics=[name])[name]
    assert gone["class"] == "UnknownTopicOrPartitionException"
    described = java.admin("describe_topics", topics=[name])[name]
    assert described["error"]["class"] == "UnknownTopicOrPartitionException"


@pytest.mark.capability("admin: topics")
@pytest.mark.parametrize(
    ("topic", "error", "message"),
    [
        (
            {"name": "bad name"},
            "InvalidTopicException",
            "contains one or more characters other than ASCII alphanumerics",
        ),
        ({"name": "x" * 250}, "InvalidTopicException", "is longer than the max allowed length 249"),
        ({"name": "zero", "partitions": 0}, "InvalidPartitionsException", "partitions"),
        ({"name": "many", "replication": 3}, "InvalidReplicationFactorException", "eplicat"),
        ({"name": "config", "configs": {"retention.ms": "soon"}}, "InvalidConfigurationException", "retention.ms"),
        ({"name": "config", "configs": {"no.such": "1"}}, "InvalidConfigurationException", "no.such"),
        ({"name": "assigned", "assignment": {"0": [7]}}, "InvalidReplicaAssignmentException", "7"),
    ],
    ids=["name", "long name", "partitions", "replication", "config value", "config key", "assignment"],
)
def test_refused_topics(java: Java, topic: dict[str, object], error: str, message: str) -> None:
    answer = java.admin("create_topics", topics=[topic])[topic["name"]]
    assert answer["class"] == error
    assert message in answer["message"]


@pytest.mark.capability("admin: topics")
def test_defaults_assignment_and_validation(java: Java) -> None:
    default, assigned, dry = (java.fresh_name(stem) for stem in ("default", "assigned", "dry"))
    assert java.admin("create_topics", topics=[{"name": default}])[default]["partitions"] == 4
    assignment = {"name": assigned, "assignment": {"0": [1], "1": [1]}}
    assert java.admin("create_topics", topics=[assignment])[assigned]["partitions"] == 2
    assert java.admin("create_topics", topics=[{"name": dry}], validate_only=True) == {dry: None}
    assert dry not in java.admin("list_topics")


@pytest.mark.capability("admin: topics")
def test_deleted_topic_can_be_created_again_empty(java: Java) -> None:
    topic = java.create_topic()
    java.producer().send_values(topic, "old")
    java.admin("delete_topics", topics=[topic])
    assert java.admin("create_topics", topics=[{"name": topic, "partitions": 1}])[topic]["partitions"] == 1
    assert java.admin("list_offsets", specs=[(topic, 0, "latest")])[f"{topic}:0"]["offset"] == 0
    java.producer().send_values(topic, "new")
    consumer = java.consumer()
    consumer.assign((topic, 0))
    assert consumer.values(1) == ["new"]


@pytest.mark.capability("admin: partitions")
def test_more_partitions(java: Java) -> None:
    topic = java.create_topic(partitions=2)
    assert java.admin("create_partitions", counts={topic: 5}) == {topic: None}
    assert len(java.admin("describe_topics", topics=[topic])[topic]["partitions"]) == 5
    fewer = java.admin("create_partitions", counts={topic: 3})[topic]
    assert fewer["class"] == "InvalidPartitionsException"
    missing = java.fresh_name("missing")
    unknown = java.admin("create_partitions", counts={missing: 3})[missing]
    assert unknown["class"] == "UnknownTopicOrPartitionException"


@pytest.mark.capability("admin: configs")
def test_topic_configs(java: Java) -> None:
    topic = java.create_topic(retention_ms="1000")
    resource = f"TOPIC:{topic}"
    described = java.admin("describe_configs", resource=resource)
    assert described["retention.ms"] == {
        "value": "1000",
        "source": "DYNAMIC_TOPIC_CONFIG",
        "type": "LONG",
        "read_only": False,
        "sensitive": False,
        "documented": True,
        "synonyms": [["retention.ms", "1000", "DYNAMIC_TOPIC_CONFIG"]],
    }
    assert described["cleanup.policy"]["source"] == "DEFAULT_CONFIG"
    changes = [["SET", "segment.bytes", "2000000"], ["DELETE", "retention.ms"], ["APPEND", "cleanup.policy", "compact"]]
    java.admin("alter_configs", resource=resource, changes=changes)
    described = java.admin("describe_configs", resource=resource)
    assert described["segment.bytes"]["value"] == "2000000"
    assert described["retention.ms"]["value"] == "604800000"
    assert described["cleanup.policy"]["value"] == "delete,compact"
    java.admin("alter_configs", resource=resource, changes=[["SUBTRACT", "cleanup.policy", "delete"]])
    assert java.admin("describe_configs", resource=resource)["cleanup.policy"]["value"] == "compact"
    java.admin("alter_configs", resource=resource, changes=[["SET", "retention.ms", "5"]], validate_only=True)
    assert java.admin("describe_configs", resource=resource)["retention.ms"]["value"] == "604800000"


@pytest.mark.capability("admin: configs")
def test_refused_configs(java: Java) -> None:
    topic = java.create_topic()
    for change in (["SET", "retention.ms", "soon"], ["SET", "no.such", "1"], ["SET", "cleanup.policy", "shred"]):
        with pytest.raises(JavaError) as caught:
            java.admin("alter_configs", resource=f"TOPIC:{topic}", changes=[change])
        assert caught.value.kind == "InvalidConfigurationException"
    with pytest.raises(JavaError) as caught:
        java.admin("describe_configs", resource=f"TOPIC:{java.fresh_name('missing')}")
    assert caught.value.kind == "UnknownTopicOrPartitionException"


@pytest.mark.capability("admin: configs")
def test_broker_configs(java: Java) -> None:
    described = java.admin("describe_configs", resource="BROKER:1")
    assert described["num.partitions"]["value"] == "4"
    assert described["num.partitions"]["source"] == "STATIC_BROKER_CONFIG"
    assert described["node.id"]["read_only"] is True
    assert described["log.retention.ms"]["type"] == "LONG"
    assert described["ssl.keystore.password"]["sensitive"] is True

    def cleaner_threads() -> tuple[str, str]:
        config = java.admin("describe_configs", resource="BROKER:1")["log.cleaner.threads"]
        return config["value"], config["source"]

    java.admin("alter_configs", resource="BROKER:1", changes=[["SET", "log.cleaner.threads", "2"]])
    try:
        eventually(cleaner_threads, ("2", "DYNAMIC_BROKER_CONFIG"))
    finally:
        java.admin("alter_configs", resource="BROKER:1", changes=[["DELETE", "log.cleaner.threads"]])
    eventually(cleaner_threads, ("1", "DEFAULT_CONFIG"))
    with pytest.raises(JavaError) as caught:
        java.admin("alter_configs", resource="BROKER:1", changes=[["SET", "log.cleaner.threads", "many"]])
    assert caught.value.kind == "InvalidRequestException"


@pytest.mark.capability("admin: configs")
def test_group_configs_and_resources(java: Java) -> None:
    group = java.fresh_name("group")
    java.admin("alter_configs", resource=f"GROUP:{group}", changes=[["SET", "consumer.session.timeout.ms", "50000"]])

    def session_timeout() -> str:
        value: str = java.admin("describe_configs", resource=f"GROUP:{group}")["consumer.session.timeout.ms"]["value"]
        return value

    eventually(session_timeout, "50000")
    resources = java.admin("list_config_resources")
    assert f"GROUP:{group}" in resources
    assert "BROKER:1" in resources


@pytest.mark.capability("admin: list offsets")
def test_offsets_of_every_kind(java: Java) -> None:
    topic = java.create_topic()
    producer = java.producer(linger_ms="0")
    for timestamp in (1000, 5000, 3000):
        producer.send({"topic": topic, "value": "v", "timestamp": timestamp})

    def ask(spec: str | int) -> tuple[int, int]:
        found = java.admin("list_offsets", specs=[(topic, 0, spec)])[f"{topic}:0"]
        return found["offset"], found["timestamp"]

    assert ask("earliest") == (0, -1)
    assert ask("latest") == (3, -1)
    assert ask("max_timestamp") == (1, 5000)
    assert ask("earliest_local") == (0, -1)
    assert ask("latest_tiered") == (-1, -1)
    assert ask(2000) == (1, 5000)
    assert ask(6000) == (-1, -1)
    unknown = java.fresh_name("missing")
    answer = java.admin("list_offsets", specs=[(unknown, 0, "latest")])[f"{unknown}:0"]
    assert answer["error"]["class"] == "UnknownTopicOrPartitionException"


@pytest.mark.capability("admin: records")
def test_delete_records(java: Java) -> None:
    topic = java.create_topic()
    java.producer().send_values(topic, *"abcdef")
    assert java.admin("delete_records", before=[(topic, 0, 4)]) == {f"{topic}:0": 4}
    assert java.admin("list_offsets", specs=[(topic, 0, "earliest")])[f"{topic}:0"]["offset"] == 4
    assert java.admin("delete_records", before=[(topic, 0, -1)]) == {f"{topic}:0": 6}
    with pytest.raises(JavaError) as caught:
        java.admin("delete_records", before=[(topic, 0, 99)])
    assert caught.value.kind == "OffsetOutOfRangeException"


@pytest.mark.capability("admin: cluster")
def test_cluster(java: Java, broker: Broker) -> None:
    cluster = java.admin("describe_cluster")
    assert len(cluster["cluster_id"]) == 22
    assert cluster["controller"] == 1
    assert cluster["nodes"] == [[1, *broker.address]]
    quorum = java.admin("describe_quorum")
    assert (quorum["leader"], quorum["voters"], quorum["observers"]) == (1, [1], 0)
    assert quorum["high_watermark"] > 0


@pytest.mark.capability("admin: cluster")
def test_features(java: Java) -> None:
    features = java.admin("describe_features")
    assert features["supported"]["metadata.version"][1] == features["finalized"]["metadata.version"][1] == 30
    assert set(features["finalized"]) <= set(features["supported"])


@pytest.mark.capability("admin: log directories")
def test_log_directories(java: Java) -> None:
    topic = java.create_topic()
    java.producer().send_values(topic, "x" * 1000)
    (directory,) = java.admin("describe_log_dirs", topic=topic)
    assert directory["error"] is None
    assert directory["total_known"]
    assert directory["sizes"][f"{topic}:0"] >= 1000


@pytest.mark.capability("admin: leaders and reassignments")
def test_leaders_and_reassignment(java: Java) -> None:
    topic = java.create_topic()
    elected = java.admin("elect_leaders", type="PREFERRED", partitions=[(topic, 0)])
    assert elected[f"{topic}:0"]["class"] == "ElectionNotNeededException"
    assert java.admin("list_reassignments") == []
    same = java.admin("reassign", partitions=[(topic, 0, [1])])
    assert list(same.values()) == [None]
    none = java.admin("reassign", partitions=[(topic, 0, [])])
    assert next(iter(none.values()))["class"] == "NoReassignmentInProgressException"
    wrong = java.admin("reassign", partitions=[(topic, 0, [7])])
    assert next(iter(wrong.values()))["class"] == "InvalidReplicaAssignmentException"


@pytest.mark.capability("admin: what is off")
def test_what_is_off_says_so(java: Java) -> None:
    with pytest.raises(JavaError) as caught:
        java.admin("describe_acls")
    assert caught.value.kind == "SecurityDisabledException"
    with pytest.raises(JavaError) as caught:
        java.admin("describe_delegation_tokens")
    assert caught.value.kind in ("DelegationTokenDisabledException", "UnsupportedByAuthenticationException")
    assert java.admin("describe_quotas") == 0
    assert java.admin("describe_scram") == 0
