"""What is one per node: the partitions it leads, its coordinators, its services and listeners.

All nodes of a cluster share its image, its logs and its clock (broker.cluster). A cluster of one node is one `Node`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from broker.config.admin import ConfigAdmin
from broker.config.sources import RACK_AWARE_SELECTOR
from broker.coordinator.coordinator import GroupCoordinator
from broker.coordinator.transactions import TransactionCoordinator
from broker.coordinator_log import OFFSETS_TOPIC, TRANSACTION_TOPIC, ImageInternalTopic, ImageTopics
from broker.deferred import Deferred, start
from broker.dispatch import Dispatcher
from broker.fetch.sessions import FetchSessions
from broker.log_dirs import LogDirs
from broker.nodes.followers import Followers
from broker.nodes.hints import LeaderHints
from broker.partitions import Partitions
from broker.producer_ids import ProducerIds
from broker.routes import routes, table
from broker.services import Services
from broker.settings import group_config, transaction_config
from broker.telemetry import Telemetry
from broker.transaction_markers import TransactionMarkers
from broker.transaction_verification import TransactionVerifier
from broker.versions import TRANSACTION_VERSION, Versions

if TYPE_CHECKING:
    from broker.addresses import Endpoint
    from broker.cluster import Cluster
    from broker.config.broker_config import BrokerConfig
    from broker.controller.image import ImageChange
    from broker.nodes.listeners import NodeListeners
    from broker.personality.personality import Personality

NodeState = Literal["running", "stopped", "isolated"]
RUNNING: Final = "running"
STOPPED: Final = "stopped"
ISOLATED: Final = "isolated"


class Node:
    """One node. Made by its cluster once the controller has loaded; `start` begins to serve.

    state: "isolated" is a node that clients reach but the controller does not. frozen: its replicas follow nobody.
    listeners: None where nothing listens (tests that call the dispatcher).
    """

    def __init__(self, cluster: Cluster, config: BrokerConfig, rack: str | None, incarnation_id: bytes) -> None:
        self.cluster = cluster
        self.config = config
        self.node_id = config.node_id
        self.rack = rack
        self.incarnation_id = incarnation_id
        self.state: NodeState = RUNNING
        self.frozen = False
        self.stopped_cleanly = False
        self.listeners: NodeListeners | None = None
        controller, clock, manager = cluster.controller, cluster.clock, cluster.manager
        self.partitions = Partitions(
            self.node_id,
            controller.image,
            clock,
            cluster.open_log,
            cluster.run_in_thread,
            config.get_int("fetch.max.bytes"),
        )
        self.groups = GroupCoordinator(
            ImageInternalTopic(OFFSETS_TOPIC, controller, self.partitions, manager),
            ImageTopics(controller),
            clock,
            group_config(config),
            cluster.member_ids.next,
        )
        hints = self.partitions.hints = LeaderHints(controller.image, cluster.addresses)
        replicas = cluster.replicas
        if replicas is not None:
            self.partitions.replication = replicas
            self.partitions.followers = Followers(
                self,
                controller.image,
                replicas,
                rack_aware=config.get_text("replica.selector.class") == RACK_AWARE_SELECTOR,
            )
        producer_ids = ProducerIds(self._allocate_producer_ids)
        self.markers = TransactionMarkers(self.partitions, self.groups, clock)
        self.transactions = TransactionCoordinator(
            ImageInternalTopic(TRANSACTION_TOPIC, controller, self.partitions, manager),
            ImageTopics(controller),
            self.markers if cluster.router is None else cluster.router,
            producer_ids,
            clock,
            transaction_config(config),
            lambda: controller.image.features.get(TRANSACTION_VERSION, 0),
        )
        personality = _personality(config)
        versions = Versions(controller) if personality is None else personality.versions(controller)
        self.services = Services(
            clock=clock,
            controller=controller,
            partitions=self.partitions,
            log_dirs=LogDirs(
                self.node_id,
                controller,
                manager,
                self.partitions if cluster.router is None else cluster.router,
                clock,
                cluster.run_in_thread,
                cluster.unique,
            ),
            fetch_sessions=FetchSessions(
                config.get_int("max.incremental.fetch.session.cache.slots"),
                clock.monotonic_ms,
                lambda: cluster.random.randrange(1, 2**31),
            ),
            producer_ids=producer_ids,
            groups=self.groups,
            transactions=self.transactions,
            configs=ConfigAdmin(config, controller),
            telemetry=Telemetry(config, controller, clock, cluster.new_uuid),
            addresses=cluster.addresses,
            versions=versions,
            unstable_versions=config.get_bool("unstable.api.versions.enable"),
            verifier=TransactionVerifier(
                self.transactions if cluster.router is None else cluster.router, clock, config
            ),
            markers=self.markers,
            hints=hints,
        )
        lines = routes(self.services)
        if personality is not None:
            lines = personality.narrowed(lines, self.services)
        versions.set_routes(lines)
        self.dispatcher = Dispatcher(table(lines), cluster.hooks)

    def __repr__(self) -> str:
        return f"Node({self.node_id}, {self.state})"

    @property
    def addresses(self) -> list[Endpoint]:
        """Where its listeners are, or were while it ran."""
        return self.cluster.addresses.endpoints(self.node_id)

    def start_coordinators(self) -> None:
        """Coordinators load what they lead, timers are set."""
        self.groups.start()
        self.transactions.start()

    def stop_coordinators(self) -> None:
        """Refuse and answer all that waits."""
        self.transactions.close()
        self.groups.close()
        self.partitions.answer_parked()

    def image_changed(self, change: ImageChange) -> None:
        """Partitions and coordinators follow the image."""
        followers = self.partitions.followers
        for topic in change.deleted_topics:
            self.partitions.topic_deleted(topic)
            if followers is not None:
                followers.deleted(topic)
        for topic, indexes in change.partitions.values():
            for index in indexes:
                if followers is not None:
                    followers.changed(topic, index)
                if not self.partitions.leader_changed(topic, index):
                    continue
                if topic.name == OFFSETS_TOPIC:
                    self.groups.partition_changed(index)
                elif topic.name == TRANSACTION_TOPIC:
                    self.transactions.partition_changed(index)
        if change.deleted_topics:
            if any(topic.name == TRANSACTION_TOPIC for topic in change.deleted_topics):
                self.transactions.topic_deleted()
            self.groups.topics_deleted((topic.name, topic.topic_id) for topic in change.deleted_topics)

    def _allocate_producer_ids(self) -> Deferred[tuple[int, int]]:
        async def allocate() -> tuple[int, int]:
            block = await self.cluster.controller.allocate_producer_ids(self.node_id)
            return block.start, len(block)

        return start(allocate())


def _personality(config: BrokerConfig) -> Personality | None:
    """The older Kafka this one shall be like; nothing of it is loaded for the current one."""
    release = config.get_text("kwire.as.version")
    if release is None:
        return None
    from broker.personality.personality import Personality

    return Personality.of(release, config)
