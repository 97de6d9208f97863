"""One cluster: its storage, controller and nodes, put together, started and stopped.

Here is what is one per cluster; what is one per node is in broker.nodes.node. Several clusters live in one process,
each with its own clock and directories; nothing is shared but the reactor.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Final, TypeVar

from broker.acceptance import (
    DirectoryRefusedError,
    check_image,
    check_layout,
    check_level,
    check_quorum,
    check_settings,
)
from broker.addresses import AddressBook, Endpoint
from broker.cleaner.cleaner import Cleaner
from broker.cleaner.wiring import make_cleaner
from broker.clock import Clock
from broker.config.broker_config import BrokerConfig
from broker.config.rules import Rules
from broker.controller.bootstrap import feature_records
from broker.controller.controller import Controller
from broker.controller.decisions.features import METADATA_VERSION
from broker.controller.image import ImageChange, ImageError, TopicImage
from broker.controller.names import CLUSTER_METADATA_TOPIC
from broker.controller.ports import RESOURCE_TOPIC
from broker.controller.settings import ControllerSettings
from broker.coordinator.coordinator import GroupCoordinator
from broker.coordinator.transactions import TransactionCoordinator
from broker.deferred import Deferred, start
from broker.dispatch import Dispatcher, Hooks
from broker.maintenance import Maintenance
from broker.member_ids import MemberIds
from broker.metadata_log import (
    METADATA_TOPIC_ID,
    DamagedMetadataError,
    MetadataLogFile,
    read_bootstrap,
    write_bootstrap,
)
from broker.nodes.node import RUNNING, Node
from broker.nodes.registration import registration
from broker.nodes.replicas import Replicas
from broker.nodes.router import Router
from broker.nodes.spec import NodeSpec
from broker.partitions import Partitions
from broker.services import Services
from broker.settings import (
    controller_settings,
    log_config,
    metadata_log_config,
    snapshot_settings,
)
from broker.snapshot_generator import SnapshotGenerator
from broker.start_error import StartError
from broker.thread_work import ThreadWork
from kwire import uuids
from kwire.errors import ApiError, KwireError
from log.config import LogConfig
from log.log_manager import DirectoryInUseError, LogManager
from log.meta_properties import MetaPropertiesError
from log.partition_log import PartitionLog
from log.storage import RealStorage, Storage

logger = logging.getLogger("kwire.cluster")

if TYPE_CHECKING:
    from broker.interception import Interception

T = TypeVar("T")
RunInThread = Callable[[Callable[[], None]], Deferred[None]]

# The end of the year 9999: a driven clock may be beyond what a date can tell.
_LAST_DATE_MS: Final = 253_402_300_799_000


class Cluster:
    """See the module. `open`, then `register` with the listeners' endpoints, then `start`; `stop`, then `close`."""

    def __init__(
        self,
        config: BrokerConfig,
        clock: Clock,
        random: Random,
        run_in_thread: RunInThread,
        storage: Storage | None = None,
        hooks: Hooks | None = None,
        nodes: Sequence[NodeSpec] = (),
    ) -> None:
        """nodes: the first one's id and rack go before the settings'; none: one node, as the settings say."""
        self.specs = tuple(nodes) or (NodeSpec(config.node_id, config.get_text("broker.rack")),)
        first = self.specs[0]
        if (first.node_id, first.rack) != (config.node_id, config.get_text("broker.rack")):
            config = config.for_node(first.node_id, first.rack)
        self.config = config
        self.hooks = hooks
        self.clock = clock
        self.node_id = config.node_id
        self.addresses = AddressBook()
        self.random = random
        self.threads = ThreadWork(run_in_thread)
        self.run_in_thread: RunInThread = self.threads
        self._storage: Storage = storage if storage is not None else RealStorage()
        self._incarnation_id = self.new_uuid()
        self.member_ids = MemberIds(random.getrandbits(128))
        self.nodes: dict[int, Node] = {}
        self.router: Router | None = None
        self.replicas: Replicas | None = None
        self.manager = LogManager(
            self._storage,
            [os.path.abspath(directory) for directory in config.log_dirs],
            self._log_config,
            unique=self.unique,
            random_uuid=self.new_uuid,
            jitter=random.randrange,
            producer_expiration_ms=lambda: config.get_int("producer.id.expiration.ms"),
        )
        self.controller: Controller
        self._metadata: MetadataLogFile
        self._snapshots: SnapshotGenerator
        self._maintenance: Maintenance
        self.cleaner: Cleaner
        self._interception: Interception | None = None
        self.lasting = True
        """Whether the data is more than this process's. Set before `open`."""
        self.goes_on = False
        """The directory is a copy of one whose brokers ran on: they are not fenced first. Set before `register`."""
        self._previous_epoch = -1
        self._broker_epoch = -1
        self._ready = False

    @property
    def metadata(self) -> MetadataLogFile:
        """The controller's log."""
        return self._metadata

    @property
    def storage(self) -> Storage:
        """Where its logs are kept."""
        return self._storage

    @property
    def interception(self) -> Interception:
        """What may stand around this cluster's requests; made when first asked for."""
        if self._interception is None:
            from broker.interception import Interception

            self._interception = Interception(self.clock)
            for node in self.nodes.values():
                self._interception.attach(node.dispatcher, node.partitions.forget_shapes)
        return self._interception

    # -- short forms: of the first node

    @property
    def node(self) -> Node:
        """The first one: the only one of most clusters."""
        return self.nodes[self.node_id]

    @property
    def active_controller(self) -> int:
        """Which node clients are told is the active controller: the first that runs. -1: none does."""
        return next((each.node_id for each in self.nodes.values() if each.state == RUNNING), -1)

    @property
    def dispatcher(self) -> Dispatcher:
        return self.node.dispatcher

    @property
    def partitions(self) -> Partitions:
        return self.node.partitions

    @property
    def groups(self) -> GroupCoordinator:
        return self.node.groups

    @property
    def transactions(self) -> TransactionCoordinator:
        return self.node.transactions

    @property
    def services(self) -> Services:
        return self.node.services

    def unique(self) -> str:
        return f"{self.random.getrandbits(128):032x}"

    def new_uuid(self) -> bytes:
        while True:
            candidate = self.random.randbytes(16)
            # Version 4, as Java's randomUUID makes them.
            drawn = bytearray(candidate)
            drawn[6] = drawn[6] & 0x0F | 0x40
            drawn[8] = drawn[8] & 0x3F | 0x80
            if not uuids.is_reserved(bytes(drawn)):
                return bytes(drawn)

    # -- starting

    def open(self) -> None:
        """Lock and load the directories, replay the metadata log, recover what was not closed cleanly.

        Raises StartError with what stands in the way.
        """
        manager, config = self.manager, self.config
        try:
            check_settings(config.get_list("process.roles"), config.get_list("controller.quorum.voters"), self.node_id)
        except DirectoryRefusedError as error:
            raise StartError(str(error)) from None
        try:
            manager.lock()
        except DirectoryInUseError as error:
            raise StartError(f"{error} Stop it, or choose another directory with --data-dir.") from None
        except OSError as error:
            raise StartError(f"cannot use the data directory: {error}") from None
        try:
            self._open_locked()
        except (MetaPropertiesError, DirectoryRefusedError, DamagedMetadataError, ImageError) as error:
            manager.unlock()
            raise StartError(str(error)) from None
        except (ApiError, OSError) as error:
            manager.unlock()
            raise StartError(f"cannot read the data directory: {error}") from None
        except KwireError as error:
            manager.unlock()
            raise StartError(f"the metadata log cannot be understood: {error}") from None
        except BaseException:
            manager.unlock()
            raise

    def _open_locked(self) -> None:
        manager, config, clock = self.manager, self.config, self.clock
        check_layout(self._storage, [directory.path for directory in manager.online_directories])
        cluster_id = manager.identify(
            cluster_id=config.get_text("kwire.cluster.id"),
            node_id=self.node_id,
            new_cluster_id=lambda: uuids.to_string(self.new_uuid()),
            date=datetime.fromtimestamp(min(clock.now_ms(), _LAST_DATE_MS) / 1000, UTC).strftime(
                "%a %b %d %H:%M:%S UTC %Y"
            ),
        )
        previous = manager.previous_broker_epoch()
        self._previous_epoch = -1 if previous is None else previous
        manager.load()
        settings = controller_settings(config, cluster_id, self.node_id, len(self.specs))
        try:
            directory = self._load_metadata(settings)
        except (DirectoryRefusedError, DamagedMetadataError):
            manager.leave_as_found(broker_epoch=self._previous_epoch)
            raise
        write_bootstrap(self._storage, directory, feature_records(settings), clock.now_ms())
        self.controller.become_leader(read_bootstrap(self._storage, directory))
        self._build()
        self._reconcile()
        self._recover()

    def _load_metadata(self, settings: ControllerSettings) -> str:
        """Read snapshot and log, refuse what is not one whole combined node; returns the directory they are in."""
        manager, clock = self.manager, self.clock
        log = manager.get_or_create(CLUSTER_METADATA_TOPIC, 0, topic_id=METADATA_TOPIC_ID, now_ms=clock.now_ms())
        self._metadata = MetadataLogFile(log, self._storage, self.node_id, self.run_in_thread)
        self.controller = Controller(
            settings,
            self._metadata,
            Rules(self.config),
            now_ms=clock.now_ms,
            new_uuid=self.new_uuid,
            below=self.random.randrange,
        )
        levels = settings.supported_features[METADATA_VERSION]
        try:
            self.controller.load()
        except KwireError:
            check_level(self.controller.image, levels)  # a newer Kafka's records are no riddle
            raise
        check_level(self.controller.image, levels)
        ids = {
            each.path: each.properties.directory_id
            for each in manager.online_directories
            if each.properties is not None
        }
        directory = os.path.dirname(log.directory)
        check_quorum(self._metadata, self.node_id, ids.get(directory))
        check_image(
            self.controller.image,
            self.node_id,
            {each for each in ids.values() if each is not None},
            all_there=len(ids) == len(manager.directories),
            node_ids=[spec.node_id for spec in self.specs],
        )
        return directory

    def _build(self) -> None:
        config, clock, controller = self.config, self.clock, self.controller
        if len(self.specs) > 1:
            self.router = Router(self.nodes, controller.image)
            self.replicas = Replicas(self)
            controller.quorum = lambda: (self.active_controller, tuple(self.nodes))
        for spec in self.specs:
            first = spec is self.specs[0]
            self.nodes[spec.node_id] = Node(
                self,
                config if first else config.for_node(spec.node_id, spec.rack),
                spec.rack,
                self._incarnation_id if first else self.new_uuid(),
            )
        partitions = self.partitions if self.router is None else self.router
        self._maintenance = Maintenance(
            config, clock, self.manager, partitions, self.run_in_thread, lasting=self.lasting
        )
        self.cleaner = make_cleaner(
            config, clock, self.manager, partitions, self._log_config, self.run_in_thread, self._maintenance.later
        )
        for node in self.nodes.values():
            node.services.log_dirs.cleaner = self.cleaner
        self._snapshots = SnapshotGenerator(
            self._metadata, controller, clock, self._storage, self.run_in_thread, snapshot_settings(config)
        )
        controller.on_change(self._changed)
        config.on_change(self._defaults_changed)

    def _reconcile(self) -> None:
        """Bring the directories in line with the image: what was deleted goes, what nobody knows is set aside."""
        image = self.controller.image
        unknown = [
            (topic, index)
            for topic, index in self.manager.partitions()
            if topic != CLUSTER_METADATA_TOPIC and image.partition(topic, index) is None
        ]
        for path in self.manager.set_aside(unknown):
            logger.warning("%s belongs to no topic of this cluster; it is kept and not looked at", path)

    def _recover(self) -> None:
        """After an unclean stop: check every log from its recovery point on, as Kafka does before it serves."""
        waiting = self.manager.unrecovered()
        for number, (topic, index) in enumerate(waiting, 1):
            described = self.controller.image.topic_by_name(topic)
            if described is None:
                continue
            try:
                self.manager.get(topic, index, now_ms=self.clock.now_ms(), topic_id=described.topic_id)
            except ApiError as error:
                logger.error("cannot recover %s-%d: %s", topic, index, error)
            if number % 1000 == 0 or number == len(waiting):
                logger.info("recovered %d of %d logs after an unclean stop", number, len(waiting))

    def register(self, endpoints: Sequence[Endpoint] | Mapping[int, Sequence[Endpoint]]) -> None:
        """Tell the controller where the nodes are, and make all it wrote so far durable.

        endpoints: by node id, or those of the only node.
        """
        by_node = endpoints if isinstance(endpoints, Mapping) else {self.node_id: endpoints}
        before = self.controller.image.brokers.get(self.node_id)
        clean = before is not None and before.epoch == self._previous_epoch
        for node in self.nodes.values():
            known = self.controller.image.brokers.get(node.node_id)
            self.register_node(node, by_node.get(node.node_id, ()), known.epoch if clean and known is not None else -1)
        self.goes_on = False
        self._metadata.flush()

    def register_node(self, node: Node, endpoints: Sequence[Endpoint], previous_epoch: int) -> None:
        """The node joins the cluster. previous_epoch: its broker epoch when it last stopped cleanly, or -1."""
        for endpoint in endpoints:
            self.addresses.add(node.node_id, endpoint)
        joining = registration(node, self.manager, endpoints, previous_epoch)
        if self.goes_on and self.controller.image.is_active(node.node_id):
            epoch = self.controller.move_broker(joining)
        else:
            epoch = self.controller.register_broker(joining)
        if node is self.node:
            self._broker_epoch = epoch

    def start(self) -> None:
        """Begin what runs by itself: coordinators load, timers are set."""
        self._ready = True
        self._maintenance.start()
        self.cleaner.start()
        self._snapshots.start()
        for node in self.nodes.values():
            node.start_coordinators()
        if self.replicas is not None:
            for node in self.nodes.values():
                self.replicas.fetches_again(node)

    # -- stopping

    def stop(self) -> None:
        """Answer what waits, stop what runs by itself. Quick; nothing is synced yet."""
        self._maintenance.stop()
        self.cleaner.stop()
        self._snapshots.stop()
        if self.replicas is not None:
            self.replicas.close()
        for node in self.nodes.values():
            node.stop_coordinators()

    def close(self, progress: Callable[[int, int], None] = lambda _done, _total: None) -> bool:
        """Write the last metadata records, sync everything, leave the clean markers. True when all went well."""
        if self._ready:
            try:
                for node_id in reversed(self.nodes):
                    self.controller.shut_down_broker(node_id)
            except ApiError as error:
                logger.error("cannot note the stop in the metadata log: %s", error)
        failures = self.manager.close(self.clock.now_ms(), broker_epoch=self._broker_epoch, progress=progress)
        for failure in failures:
            logger.error("not closed cleanly: %s", failure)
        return not failures

    # -- what the parts ask for

    def _log_config(self, topic: str) -> LogConfig:
        if topic == CLUSTER_METADATA_TOPIC:
            return metadata_log_config(self.config)
        return log_config(self.config.topic_config(self.controller.image.configs(RESOURCE_TOPIC, topic)))

    def open_log(self, topic: TopicImage, index: int) -> PartitionLog:
        opened = self.manager.opened(topic.name, index)
        if opened is not None and opened.offline:
            return self.manager.reopen(topic.name, index, now_ms=self.clock.now_ms())
        log = self.manager.get_or_create(
            topic.name,
            index,
            topic_id=topic.topic_id,
            now_ms=self.clock.now_ms(),
            directory_id=topic.partitions[index].directory_of(self.node_id),
        )
        if len(self.manager.directories) > 1:
            self.clock.call_later(0, partial(self._note_directory, topic.name, index))
        return log

    def _note_directory(self, topic: str, index: int) -> None:
        """Tell the controller in which directory a log was made, where the choice was ours. (KIP-858)"""
        lies = self.manager.directory_of(topic, index)
        described = self.controller.image.partition(topic, index)
        if lies is None or lies.properties is None or lies.properties.directory_id is None or described is None:
            return
        directory_id = lies.properties.directory_id
        if self.node_id in described.replicas and described.directory_of(self.node_id) != directory_id:
            start(self.controller.assign_directory(topic, index, directory_id)).add_callback(_log_failure)

    def _changed(self, change: ImageChange) -> None:
        """The image changed: partitions, logs and coordinators follow."""
        if self.replicas is not None:
            self.replicas.before(change)
        for node in self.nodes.values():
            node.image_changed(change)
        for topic in change.deleted_topics:
            self.cleaner.abort((topic.name, index) for index in range(len(topic.partitions)))
            try:
                self._maintenance.later(
                    self.manager.delete((topic.name, index) for index in range(len(topic.partitions)))
                )
            except ApiError as error:
                logger.error("cannot delete the logs of %s: %s", topic.name, error)
        for resource in change.configs:
            if resource.type == RESOURCE_TOPIC and self.controller.image.topic_by_name(resource.name) is not None:
                self.manager.config_changed(resource.name)
                self.cleaner.config_changed([resource.name])
        if self.replicas is not None:
            self.replicas.after(change)

    def _defaults_changed(self, _config: BrokerConfig) -> None:
        """A broker-wide default changed: topics without a value of their own follow."""
        topics = {log.topic for log in self.manager.open_logs()} - {CLUSTER_METADATA_TOPIC}
        for topic in topics:
            self.manager.config_changed(topic)
        self.cleaner.config_changed(topics)


def _log_failure(done: Deferred[None]) -> None:
    try:
        done.result()
    except ApiError as error:
        logger.error("the metadata log does not know where a replica lies: %s", error)
