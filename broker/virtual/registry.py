"""The clusters of a process: made, forked, put back, deleted. Synchronous, on the loop's thread.

clusters = VirtualClusters(server, cluster, config)
orders = clusters.create(ClusterSpec(nodes=3))
copy = clusters.fork("t-3f2a", snapshot="seeded")
"""

from __future__ import annotations

import logging
import tempfile
from random import Random, SystemRandom
from typing import TYPE_CHECKING, Final

from attrs import evolve

from broker.clock import Clock
from broker.cluster import Cluster
from broker.config.broker_config import BASE_SETTINGS, BrokerConfig
from broker.config.values import InvalidConfigError
from broker.controller.names import CLUSTER_METADATA_TOPIC as METADATA
from broker.deferred import start
from broker.driven_clock import DrivenClock
from broker.nodes.spec import NodeSpec, node_specs
from broker.start_error import StartError
from broker.virtual.cluster import VirtualCluster
from broker.virtual.errors import (
    ClusterExistsError,
    DefaultClusterError,
    InvalidSpecError,
    SnapshotExistsError,
    TooManyError,
    UnknownClusterError,
    UnknownSnapshotError,
)
from broker.virtual.snapshot import ClockState, Snapshot, close_cleanly, mark_clean
from broker.virtual.spec import ClusterSpec, check, check_name, free_name, settings_of
from broker.virtual.storage import Directory, MemoryStorage
from kwire.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from broker.server import Server

logger = logging.getLogger("kwire.virtual")

DEFAULT: Final = "default"
MOST_CLUSTERS: Final = "kwire.virtual.clusters.max"
MOST_SNAPSHOTS: Final = 1000
_LARGEST_COPIED_BYTES: Final = 4 << 20


class VirtualClusters:
    """See the module. cluster: the process's own, or None. config: what the process was started with."""

    def __init__(
        self, server: Server, cluster: Cluster | None, config: BrokerConfig, *, spill_directory: str | None = None
    ) -> None:
        self.server = server
        self.spill_directory = spill_directory or tempfile.gettempdir()
        self.most_clusters = config.get_int(MOST_CLUSTERS)
        self._inherited = {
            name: text
            for name, text in config.static.items()
            if BASE_SETTINGS.get(name) != text and name != "broker.id"
        }
        self._random = SystemRandom()
        self._clusters: dict[str, VirtualCluster] = {}
        self._on_created: list[Callable[[VirtualCluster], None]] = []
        if cluster is not None:
            self._clusters[DEFAULT] = VirtualCluster(DEFAULT, cluster)

    # -- what there is

    def get(self, name: str) -> VirtualCluster:
        """Raises UnknownClusterError."""
        found = self._clusters.get(name)
        if found is None:
            raise UnknownClusterError(name, list(self._clusters))
        return found

    def all(self) -> list[VirtualCluster]:
        """In the order they were made, the process's own first."""
        return list(self._clusters.values())

    def __len__(self) -> int:
        return len(self._clusters)

    def on_created(self, fn: Callable[[VirtualCluster], None]) -> None:
        """Call `fn` with each cluster that is made or forked, before anybody has spoken to it."""
        self._on_created.append(fn)

    # -- clusters

    def create(self, spec: ClusterSpec | None = None) -> VirtualCluster:
        """A new cluster that serves; `ready` is done when what it declares is there. Raises VirtualError."""
        spec = spec if spec is not None else ClusterSpec()
        check(spec)
        self._check_names(spec)
        name = self._name(spec)
        clock = DrivenClock(spec.now_ms)
        nodes = node_specs(spec.nodes, list(spec.racks))
        for index, port in enumerate(spec.ports):
            nodes[index] = evolve(nodes[index], port=port)
        virtual = self._open(name, spec, nodes, clock, None)
        if spec.contents:
            from broker.contents.apply import apply

            virtual.ready = start(apply(virtual.cluster, spec.contents))
        return virtual

    def delete(self, name: str) -> None:
        """Close its connections and listeners, stop its timers, free all of it. Raises VirtualError."""
        virtual = self._own(name, "deleted")
        self.server.remove(virtual.cluster)
        self._forget(virtual)

    def fork(
        self, name: str, *, snapshot: str | None = None, as_name: str | None = None, seed: int | None = None
    ) -> VirtualCluster:
        """A new cluster with the data of another, or of one of its snapshots. Raises VirtualError.

        The same: records, offsets, groups, transactions, configs, topic ids and the cluster id. New: listeners, what
        is random, and who is connected. Its clock goes on from where the other's was.
        """
        of = self._own(name, "forked")
        taken = self._taken(of) if snapshot is None else self.snapshot(name, snapshot)
        return self.open_snapshot(taken, as_name=as_name, seed=seed)

    def open_snapshot(self, taken: Snapshot, *, as_name: str | None = None, seed: int | None = None) -> VirtualCluster:
        """The same for a snapshot that was read from a directory."""
        self.check_free(as_name)
        spec = evolve(taken.spec, name=as_name, contents=None, ports=())
        cluster_name = self._name(spec)
        self._settle(taken)
        taken.forks += 1
        if seed is None and taken.spec.seed is not None:
            seed = Random(f"{taken.spec.seed}:{taken.name}:{taken.forks}").getrandbits(63)
        nodes = [NodeSpec(node.node_id, node.rack) for node in taken.nodes]
        return self._open(
            cluster_name, evolve(spec, seed=seed), nodes, _clock(taken.clock), taken.root.twin(), taken.cluster
        )

    def restore(self, name: str, snapshot: str) -> VirtualCluster:
        """Put a cluster back to one of its snapshots. Raises VirtualError.

        Its listeners and ports stay; connections are closed, as by a restart. Its clock does not go back.
        """
        virtual = self._own(name, "restored")
        taken = self.snapshot(name, snapshot)
        self._settle(taken)
        before, nodes = self._taken(virtual), _with_ports(virtual.cluster)
        self._settle(before)
        state = _clock_state(virtual.clock)
        assert virtual.spec is not None
        assert virtual.storage is not None
        old = virtual.storage
        seen = virtual.cluster.controller.image
        self.server.remove(virtual.cluster)
        try:
            cluster, storage = self._serve(taken.spec, nodes, _clock(state), taken.root.twin())
        except StartError as error:
            cluster, storage = self._as_before(virtual, nodes, state, before)
            virtual.storage = storage
            virtual.replaced(cluster)
            old.discard()
            raise StartError(f"{error} The cluster is as it was, at {virtual.bootstrap_servers}.") from None
        virtual.storage = storage
        virtual.replaced(cluster)
        old.discard()
        cluster.controller.raise_leader_epochs(seen)
        return virtual

    def _as_before(
        self, virtual: VirtualCluster, nodes: Sequence[NodeSpec], state: ClockState, before: Snapshot
    ) -> tuple[Cluster, MemoryStorage]:
        """After a restore that failed: what was there, at other ports where somebody has taken one meanwhile.

        Where not even that can be served, the cluster is gone, and told to be. Raises StartError.
        """
        assert virtual.spec is not None
        try:
            return self._serve(virtual.spec, nodes, _clock(state), before.root.twin())
        except StartError:
            anywhere = [evolve(node, port=0) for node in nodes]
        try:
            return self._serve(virtual.spec, anywhere, _clock(state), before.root.twin())
        except StartError as error:
            self._forget(virtual)
            raise StartError(f"cluster {virtual.name!r} is gone, it could not be served again: {error}") from None

    # -- snapshots

    def take_snapshot(self, name: str, as_name: str | None = None) -> Snapshot:
        """Keep what the cluster is now. Raises VirtualError."""
        virtual = self._own(name, "kept in a snapshot")
        if as_name is None:
            as_name = free_name(self._random, "s", virtual.snapshots)
        check_name(as_name, "a snapshot")
        if as_name in virtual.snapshots:
            raise SnapshotExistsError(name, as_name)
        if sum(len(each.snapshots) for each in self._clusters.values()) >= MOST_SNAPSHOTS:
            raise TooManyError(f"there are {MOST_SNAPSHOTS} snapshots already, which is the limit; delete some first")
        taken = virtual.snapshots[as_name] = self._taken(virtual, as_name)
        return taken

    def snapshot(self, name: str, snapshot: str) -> Snapshot:
        """Raises VirtualError."""
        virtual = self._own(name, "kept in a snapshot")
        found = virtual.snapshots.get(snapshot)
        if found is None:
            raise UnknownSnapshotError(name, snapshot, list(virtual.snapshots))
        return found

    def delete_snapshot(self, name: str, snapshot: str) -> None:
        """Clusters forked from it stay. Raises VirtualError."""
        self.snapshot(name, snapshot)
        del self.get(name).snapshots[snapshot]

    def taken(self, name: str, snapshot: str | None) -> Snapshot:
        """A snapshot, or, without a name, what the cluster is now; recovered and clean. For exports."""
        virtual = self.get(name)
        if snapshot is not None:
            found = self.snapshot(name, snapshot)
        elif virtual.is_default:
            found = self._copied(virtual)
        else:
            found = self._taken(virtual)
        self._settle(found)
        return found

    def check_free(self, name: str | None) -> None:
        """Whether a cluster can be made by this name, or with one of its own. Raises VirtualError."""
        if name is not None:
            check_name(name, "a cluster")
        self._name(ClusterSpec(name=name))

    def config_of(self, taken: Snapshot) -> BrokerConfig:
        """The settings its cluster runs with."""
        return self._config(taken.spec)

    def empty_storage(self) -> MemoryStorage:
        """To read a snapshot into."""
        return MemoryStorage(lambda: 0, self.spill_directory)

    # -- inside

    def _forget(self, virtual: VirtualCluster) -> None:
        """It is served no more."""
        del self._clusters[virtual.name]
        assert virtual.storage is not None
        virtual.storage.discard()
        virtual.deleted()

    def _own(self, name: str, what: str) -> VirtualCluster:
        virtual = self.get(name)
        if virtual.is_default:
            raise DefaultClusterError(what)
        return virtual

    def _name(self, spec: ClusterSpec) -> str:
        if len(self._clusters) >= self.most_clusters:
            raise TooManyError(
                f"there are {len(self._clusters)} clusters already, and {MOST_CLUSTERS}={self.most_clusters}: delete"
                " some, or start kwire serve with a higher limit"
            )
        if spec.name is None:
            return free_name(self._random, "t", self._clusters)
        if spec.name in self._clusters:
            raise ClusterExistsError(spec.name)
        return spec.name

    def _open(
        self,
        name: str,
        spec: ClusterSpec,
        nodes: Sequence[NodeSpec],
        clock: Clock,
        root: Directory | None,
        forked_from: str | None = None,
    ) -> VirtualCluster:
        cluster, storage = self._serve(spec, nodes, clock, root)
        virtual = VirtualCluster(name, cluster, evolve(spec, name=name), storage, forked_from=forked_from)
        self._clusters[name] = virtual
        for fn in self._on_created:
            fn(virtual)
        return virtual

    def _serve(
        self, spec: ClusterSpec, nodes: Sequence[NodeSpec], clock: Clock, root: Directory | None
    ) -> tuple[Cluster, MemoryStorage]:
        storage = MemoryStorage(clock.now_ms, self.spill_directory, root)
        config = self._config(spec)
        random = Random(spec.seed) if spec.seed is not None else None
        try:
            cluster = self.server.add(
                config,
                clock=clock,
                random=random,
                storage=storage,
                nodes=nodes,
                lasting=False,
                goes_on=root is not None,
            )
        except BaseException:
            storage.discard()
            raise
        return cluster, storage

    def _check_names(self, spec: ClusterSpec) -> None:
        """What is asked for one cluster is meant to act: a name that is no setting's is a mistake."""
        if not spec.configs:
            return
        from broker.config.sources import is_unknown, nearest_setting

        config = self._config(spec)
        for name in spec.configs:
            if is_unknown(config, name):
                nearest = nearest_setting(name)
                raise InvalidSpecError(
                    f"{name} is no setting of a broker" + (f"; did you mean {nearest}?" if nearest else "")
                )

    def _config(self, spec: ClusterSpec) -> BrokerConfig:
        try:
            return BrokerConfig(settings_of(spec, self._inherited))
        except InvalidConfigError as error:
            raise InvalidSpecError(str(error)) from None

    def _taken(self, virtual: VirtualCluster, name: str = "") -> Snapshot:
        assert virtual.spec is not None
        assert virtual.storage is not None
        cluster = virtual.cluster
        image = cluster.controller.image
        clean = _finish(cluster, virtual.storage)
        root = virtual.storage.clone_tree()
        if clean:
            mark_clean(cluster, MemoryStorage(cluster.clock.now_ms, self.spill_directory, root))
        return Snapshot(
            name=name,
            cluster=virtual.name,
            spec=virtual.spec,
            nodes=[NodeSpec(node.node_id, node.rack) for node in cluster.nodes.values()],
            clock=_clock_state(virtual.clock),
            taken_ms=virtual.clock.now_ms(),
            cluster_id=image.cluster_id,
            topics=sum(1 for _ in image.topics()),
            root=root,
            clean=clean,
        )

    def _copied(self, virtual: VirtualCluster) -> Snapshot:
        """The process's own cluster, whose data is on the disk."""
        from broker.virtual.live_copy import copy_live

        cluster = virtual.cluster
        storage = self.empty_storage()
        copy_live(cluster, storage)
        nodes = [NodeSpec(node.node_id, node.rack) for node in cluster.nodes.values()]
        return Snapshot(
            name="",
            cluster=virtual.name,
            spec=ClusterSpec(nodes=len(nodes)),
            nodes=nodes,
            clock=_clock_state(virtual.clock),
            taken_ms=virtual.clock.now_ms(),
            cluster_id=cluster.controller.image.cluster_id,
            topics=sum(1 for _ in cluster.controller.image.topics()),
            root=storage.clone_tree(),
        )

    def _settle(self, taken: Snapshot) -> None:
        """Recover it as after a kill, once, and leave it clean."""
        if taken.clean:
            return
        storage = taken.storage(self.spill_directory)
        cluster = Cluster(
            self._config(taken.spec),
            DrivenClock(taken.taken_ms, frozen=True),
            Random(0),
            self.server.reactor.run_in_thread,
            storage,
            None,
            taken.nodes,
        )
        try:
            cluster.open()
            close_cleanly(cluster)
            taken.root = storage.clone_tree()
            taken.clean = True
        finally:
            storage.discard()  # its logs hold each other, and descriptors


def _finish(cluster: Cluster, storage: MemoryStorage) -> bool:
    """Write what a clean stop writes, and go on. False where that cannot be: then a fork recovers, as after a kill.

    A large active segment is closed: closed ones are shared for good, and an active one is copied by the first append.
    """
    manager, now_ms = cluster.manager, cluster.clock.now_ms()
    logs = manager.open_logs()
    fail, storage.fail = storage.fail, None  # faults are for what clients ask for
    try:
        for log in logs:
            if log.segments.active.size > _LARGEST_COPIED_BYTES and not log.offline and log.topic != METADATA:
                log.roll(now_ms)
            targets = log.finish(now_ms)
            if targets is not None:
                targets.run(storage)
                log.flushed(targets, now_ms)
        for work in (
            *manager.checkpoint_recovery_points(),
            *manager.checkpoint_log_starts(),
            *manager.checkpoint_high_watermarks(),
        ):
            work.run(storage)
    except (ApiError, OSError) as error:
        logger.warning("a snapshot is taken as it is: %s", error)
        return False
    finally:
        storage.fail = fail
    return not manager.unrecovered() and not any(log.offline or log.cleaning is not None for log in logs)


def _clock_state(clock: Clock) -> ClockState:
    if isinstance(clock, DrivenClock) and clock.driven:
        return ClockState(clock.now_ms(), clock.frozen, clock.rate)
    return ClockState()


def _clock(state: ClockState) -> DrivenClock:
    return DrivenClock(state.now_ms, frozen=state.frozen, rate=state.rate)


def _with_ports(cluster: Cluster) -> list[NodeSpec]:
    """The nodes, to be bound where they are."""
    found = []
    for node in cluster.nodes.values():
        endpoint = node.addresses[0]
        found.append(NodeSpec(node.node_id, node.rack, endpoint.bound_host, endpoint.bound_port))
    return found
