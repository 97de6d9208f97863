"""The controller of one cluster: decides, appends, replays, and answers once the log keeps it.

Every operation decides, appends and replays without awaiting, so operations never interleave; what they await is only
that their records are durable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from broker.controller import bootstrap
from broker.controller.decisions import brokers, configs, epochs, features, isr, leaders, one_node, partitions, topics
from broker.controller.decisions.brokers import Registration
from broker.controller.decisions.configs import AlterOp
from broker.controller.decisions.decision import MAX_RECORDS_PER_OPERATION, Decision
from broker.controller.decisions.features import METADATA_VERSION, FeatureUpdate
from broker.controller.decisions.isr import IsrChange
from broker.controller.decisions.partitions import OngoingReassignment, PartitionResult, Reassignment
from broker.controller.decisions.topics import CreatedTopic, MorePartitions, NewTopic, TopicDefaults, TopicTools
from broker.controller.image import ClusterImage, ImageChange, TopicImage
from broker.controller.placement import Below
from broker.controller.ports import ConfigResource, ConfigRules, MetadataLog, UuidSource
from broker.controller.record_levels import LATEST_LEVEL, at_level
from broker.controller.records import AbortTransactionRecord, Record
from broker.controller.replay import Replayer
from broker.controller.settings import ControllerSettings
from broker.deferred import Deferred, resolved
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError

T = TypeVar("T")

__all__ = ["AlterOp", "ConfigResource", "Controller", "FeatureUpdate", "MorePartitions", "NewTopic", "Reassignment"]


class Controller:
    """See the module.

    Read `image` at any time. `on_change(fn)`: fn is called with an `ImageChange` after each batch that changed
    something, before the operation that wrote it is answered.
    """

    def __init__(
        self,
        settings: ControllerSettings,
        log: MetadataLog,
        rules: ConfigRules,
        *,
        now_ms: Callable[[], int],
        new_uuid: UuidSource,
        below: Below,
    ) -> None:
        self.settings = settings
        self.image = ClusterImage(
            settings.cluster_id,
            {
                "min.insync.replicas": str(settings.min_insync_replicas),
                "unclean.leader.election.enable": str(settings.unclean_leader_election).lower(),
            },
        )
        self._log = log
        self._rules = rules
        self._now_ms = now_ms
        self._new_uuid = new_uuid
        self._replayer = Replayer(self.image)
        self._listeners: list[Callable[[ImageChange], None]] = []
        self._tools = TopicTools(
            TopicDefaults(
                settings.num_partitions, settings.replication_factor, settings.node_id, settings.lenient_factor
            ),
            rules,
            new_uuid,
            below,
        )
        self._failure: ApiError | None = None
        # (the leader, all voters) of the metadata quorum, as clients are told.
        self.quorum: Callable[[], tuple[int, Sequence[int]]] = lambda: (settings.node_id, (settings.node_id,))

    # Starting and stopping

    def load(self) -> int:
        """Replay the log as it is; returns the number of records applied. Once, before anything else.

        Raises ImageError, DecodeError when the log cannot be understood.
        """
        self._replayer.feed(record for _, record in self._log.read_all())
        return self.image.revision

    def become_leader(self, first_records: Sequence[Record] = ()) -> int:
        """Raise the epoch, finish what a former leader left, write the first records of a fresh log.

        first_records: what the directory was formatted with; without, the settings' features. Returns the leader epoch.
        """
        epoch = self._log.begin_epoch(self._now_ms())
        if self._replayer.in_transaction:
            self._write([AbortTransactionRecord()])
        if not self.image.features:
            self._write(bootstrap.bootstrap_records(self.settings, first_records))
        self._write([bootstrap.register_controller(self.settings, self._new_uuid())])
        return epoch

    def register_broker(self, registration: Registration) -> int:
        """Register, fenced, then unfence; returns the broker epoch. The records are durable once `committed()` is.

        A broker that is still registered and unfenced did not stop cleanly; Kafka waits for its session to end, we
        know that it is gone.
        """
        if registration.broker_id in self.image.brokers:
            self._carry_out(brokers.fence(self.image, registration.broker_id))
        decision = brokers.register(self.image, registration, self._log.end_offset)
        epoch = self._carry_out(decision)
        self._carry_out(brokers.no_directories_cordoned(self.image, registration.broker_id))
        self._carry_out(brokers.unfence(self.image, registration.broker_id))
        return epoch

    def move_broker(self, registration: Registration) -> int:
        """An active broker goes on at other endpoints, with all it leads; returns the broker epoch."""
        return self._carry_out(brokers.move(self.image, registration, self._log.end_offset))

    def shut_down_broker(self, broker_id: int) -> None:
        """What a clean stop writes: leaders move away, then the broker is fenced."""
        self._carry_out(brokers.begin_controlled_shutdown(self.image, broker_id))
        self._carry_out(brokers.fence(self.image, broker_id))

    def fence_broker(self, broker_id: int) -> None:
        """The broker has failed."""
        self._carry_out(brokers.fence(self.image, broker_id))

    def unfence_broker(self, broker_id: int) -> None:
        """The broker is back, with its log intact."""
        self._carry_out(brokers.unfence(self.image, broker_id))

    def become_one_node(self, node_id: int, directory_id: bytes) -> None:
        """Make the metadata that of a cluster of this node alone, before its directory is given away."""
        self._write_in_portions(one_node.to_one_node(self.image, node_id, directory_id).records)

    def raise_leader_epochs(self, seen: ClusterImage) -> None:
        """No leader epoch is below what clients may know from another image of this cluster."""
        self._write_in_portions(epochs.raise_leader_epochs(self.image, seen).records)

    def _write_in_portions(self, records: Sequence[Record]) -> None:
        for first in range(0, len(records), MAX_RECORDS_PER_OPERATION):
            self._write(records[first : first + MAX_RECORDS_PER_OPERATION])

    def on_change(self, fn: Callable[[ImageChange], None]) -> None:
        """Call `fn` after each change of the image from now on."""
        self._listeners.append(fn)

    def committed(self) -> Deferred[None]:
        """Finished once everything written so far is durable."""
        return self._log.committed(self._log.end_offset)

    @property
    def in_transaction(self) -> bool:
        """Whether a metadata transaction is open, so that the image is behind the log."""
        return self._replayer.in_transaction

    @property
    def leader_epoch(self) -> int:
        return self._log.epoch

    @property
    def log_end_offset(self) -> int:
        return self._log.end_offset

    @property
    def high_watermark(self) -> int:
        return self._log.high_watermark

    @property
    def failure(self) -> ApiError | None:
        """Why nothing can be changed any more, until the next start; None while all is well."""
        return self._failure

    def now_ms(self) -> int:
        """The cluster's wall clock."""
        return self._now_ms()

    # Topics

    async def create_topics(self, new_topics: Sequence[NewTopic], *, validate_only: bool = False) -> list[CreatedTopic]:
        """One answer per topic, in order; names must differ. Raises ApiError for the request as a whole."""
        return await self._perform(topics.create_topics(self.image, new_topics, self._tools), validate_only)

    async def delete_topics(self, topic_ids: Sequence[bytes]) -> dict[bytes, ApiError | None]:
        """By topic id."""
        return await self._perform(topics.delete_topics(self.image, topic_ids))

    async def create_partitions(
        self, wanted: Sequence[MorePartitions], *, validate_only: bool = False
    ) -> list[ApiError | None]:
        """One answer per topic, in order; names must differ."""
        decision = topics.create_partitions(self.image, wanted, self._tools.below)
        return await self._perform(decision, validate_only)

    def create_missing_topic(self, name: str) -> Deferred[list[CreatedTopic]]:
        """One of `create_missing_topics`."""
        return self.create_missing_topics([name])

    def create_missing_topics(self, names: Sequence[str]) -> Deferred[list[CreatedTopic]]:
        """Create topics because somebody asked for them: with the broker's defaults, or as internal topics should be.

        They are in the image when this returns, but for those whose answer is an error. Raises ApiError when they are
        too many for one request, or cannot be written.
        """
        decision = topics.create_topics(self.image, [self._as_configured(name) for name in names], self._tools)
        return self._answer_later(decision)

    def _as_configured(self, name: str) -> NewTopic:
        internal = self.settings.internal_topics.get(name)
        if internal is None:
            return NewTopic(name)
        configs: list[tuple[str, str | None]] = list(internal.configs.items())
        factor = min(internal.replication_factor, max(len(self.image.brokers), 1))
        return NewTopic(name, internal.num_partitions, factor, configs=configs)

    # Configs

    async def incremental_alter_configs(
        self,
        changes: Mapping[ConfigResource, Sequence[tuple[str, AlterOp, str | None]]],
        *,
        validate_only: bool = False,
    ) -> dict[ConfigResource, ApiError | None]:
        """(key, operation, value) per resource; keys of one resource must differ. None: done."""
        decision = configs.incremental_alter_configs(self.image, changes, self._rules)
        return await self._perform(decision, validate_only)

    async def alter_configs(
        self, wanted: Mapping[ConfigResource, Mapping[str, str]], *, validate_only: bool = False
    ) -> dict[ConfigResource, ApiError | None]:
        """Each resource gets exactly these configs. None: done."""
        return await self._perform(configs.alter_configs(self.image, wanted, self._rules), validate_only)

    # Partitions

    async def elect_leaders(
        self, election_type: int, wanted: Sequence[tuple[str, Sequence[int]]] | None
    ) -> list[tuple[str, list[PartitionResult]]]:
        """election_type: 0 preferred, 1 unclean. wanted: (topic, indexes), None: all partitions."""
        return await self._perform(partitions.elect_leaders(self.image, election_type, wanted))

    async def move_leader(self, topic_name: str, index: int, to: int | None) -> int:
        """Let node `to` lead a partition, None: the next that may; the leader epoch rises. Gives who leads.

        Raises ApiError.
        """
        return await self._perform(leaders.move_leader(self.image, topic_name, index, to))

    async def alter_reassignments(
        self, wanted: Sequence[Reassignment], *, allow_factor_change: bool = True
    ) -> list[PartitionResult]:
        """One answer per entry, in order."""
        decision = partitions.alter_reassignments(self.image, wanted, allow_factor_change=allow_factor_change)
        return await self._perform(decision)

    def change_isrs(self, changes: Sequence[IsrChange]) -> None:
        """What leaders report of the replicas that follow them."""
        self._carry_out(isr.change_isrs(self.image, changes))

    def elect_leader(self, topic: TopicImage, index: int, node_id: int, *, unclean: bool) -> Deferred[None]:
        """Make one replica the leader. Raises ApiError when it cannot lead, or not without losing records."""
        return self._answer_later(isr.elect_leader(self.image, topic, index, node_id, unclean=unclean))

    def elect_where_allowed(self, wanted: Sequence[TopicImage]) -> None:
        """Unclean elections in those of these topics that allow them."""
        self._carry_out(isr.elect_where_allowed(self.image, wanted))

    def elect_preferred(self) -> None:
        """Leaders go back to the first replicas, where those are in sync (auto.leader.rebalance.enable)."""
        self._carry_out(partitions.elect_leaders(self.image, partitions.PREFERRED, None))

    def list_reassignments(self, wanted: Sequence[tuple[str, Sequence[int]]] | None) -> list[OngoingReassignment]:
        """Those going on among the partitions named; None: all."""
        return partitions.list_reassignments(self.image, wanted)

    async def assign_directory(
        self, topic_name: str, index: int, directory_id: bytes, node_id: int | None = None
    ) -> None:
        """A node's replica (None: the first node's) lies in another of its directories now. Raises ApiError."""
        broker_id = self.settings.node_id if node_id is None else node_id
        decision = partitions.assign_directory(self.image, topic_name, index, broker_id, directory_id)
        await self._perform(decision)

    # Cluster

    async def update_features(self, updates: Sequence[FeatureUpdate], *, validate_only: bool = False) -> None:
        """All or none. Raises ApiError(INVALID_UPDATE_VERSION)."""
        settings = self.settings
        decision = features.update_features(self.image, updates, settings.supported_features, settings.node_id)
        await self._perform(decision, validate_only)

    async def unregister_broker(self, broker_id: int) -> None:
        """Raises ApiError(BROKER_ID_NOT_REGISTERED)."""
        await self._perform(brokers.unregister(self.image, broker_id))

    async def allocate_producer_ids(self, broker_id: int) -> range:
        """A block of producer ids that nobody else gets."""
        return await self._perform(brokers.allocate_producer_ids(self.image, broker_id))

    # One FIFO

    async def _perform(self, decision: Decision[T], validate_only: bool = False) -> T:
        if validate_only:
            return decision.answer
        return await self._answer_later(decision)

    def _answer_later(self, decision: Decision[T]) -> Deferred[T]:
        if not decision.records:
            return resolved(decision.answer)
        end = self._write(decision.records)
        committed = self._log.committed(end)
        if committed.done:
            committed.result()
            return resolved(decision.answer)
        answer: Deferred[T] = Deferred()

        def release(done: Deferred[None]) -> None:
            try:
                done.result()
            except Exception as error:
                answer.fail(self._failed(error))
            else:
                answer.resolve(decision.answer)

        committed.add_callback(release)
        return answer

    def _carry_out(self, decision: Decision[T]) -> T:
        if decision.records:
            self._write(decision.records)
        return decision.answer

    def _write(self, records: Sequence[Record]) -> int:
        """Append as one batch, replay, tell those who follow. Returns the offset after it."""
        if self._failure is not None:
            raise self._failure
        level = self.image.features.get(METADATA_VERSION, LATEST_LEVEL)
        if level < LATEST_LEVEL:
            records = at_level(records, level)
            if not records:
                return self._log.end_offset
        try:
            end = self._log.append(records, self._now_ms())
        except OSError as error:
            # Nothing was appended, so nothing has changed: the next operation may do better.
            message = f"The metadata log cannot be written: {error}"
            raise ApiError(ErrorCode.KAFKA_STORAGE_ERROR, message) from error
        listeners = self._listeners
        if not listeners:
            self._replayer.feed(records)
            return end
        change = self.image.collect()
        try:
            self._replayer.feed(records)
        finally:
            self.image.collected()
        for listener in listeners:
            listener(change)
        return end

    def _failed(self, error: Exception) -> ApiError:
        """After a failed sync the image may know more than the disk: nothing more is changed until the next start."""
        if self._failure is None:
            self._failure = ApiError(ErrorCode.KAFKA_STORAGE_ERROR, f"The metadata log cannot be synced: {error}")
        return self._failure
