"""What makes the metadata of several nodes that of one: for a directory that one broker is to open."""

from __future__ import annotations

from broker.controller.decisions.configs import MIN_ISR
from broker.controller.decisions.decision import Decision
from broker.controller.image import ClusterImage
from broker.controller.ports import RESOURCE_BROKER, RESOURCE_TOPIC
from broker.controller.records import ConfigRecord, PartitionChangeRecord, Record, UnregisterBrokerRecord


def to_one_node(image: ClusterImage, node_id: int, directory_id: bytes) -> Decision[None]:
    """Every partition has one replica, on `node_id` in `directory_id`, which leads it; the other brokers go.

    min.insync.replicas above 1, which no produce would meet any more, become 1; the settings of brokers that go, go.
    """
    records: list[Record] = []
    for topic in image.topics():
        for index, partition in enumerate(topic.partitions):
            if partition.replicas == (node_id,) and partition.leader == node_id:
                continue
            change = PartitionChangeRecord(
                partition_id=index,
                topic_id=topic.topic_id,
                isr=[node_id],
                leader=node_id,
                replicas=[node_id],
                removing_replicas=[],
                adding_replicas=[],
                directories=[directory_id],
            )
            if image.elr_enabled:
                change.eligible_leader_replicas = []
                change.last_known_elr = []
            if partition.leader_recovery_state:
                change.leader_recovery_state = 0
            records.append(change)
    gone = {broker_id: broker for broker_id, broker in image.brokers.items() if broker_id != node_id}
    names = {str(broker_id) for broker_id in gone}
    for resource in image.config_resources():
        for name, value in image.configs(resource.type, resource.name).items():
            wanted: str | None = value
            if resource.type == RESOURCE_BROKER and resource.name in names:
                wanted = None
            elif resource.type in (RESOURCE_TOPIC, RESOURCE_BROKER) and name == MIN_ISR and value.strip() != "1":
                wanted = "1"
            if wanted != value:
                records.append(
                    ConfigRecord(resource_type=resource.type, resource_name=resource.name, name=name, value=wanted)
                )
    records += [UnregisterBrokerRecord(broker_id=each, broker_epoch=broker.epoch) for each, broker in gone.items()]
    return Decision(None, records)
