"""A process's server: one reactor, the clusters on it, their listeners, start and stop."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from random import Random, SystemRandom
from typing import TYPE_CHECKING, Final

import trio

from broker.clock import Clock
from broker.cluster import Cluster
from broker.config.broker_config import BrokerConfig
from broker.config.listeners import Address
from broker.deferred import Deferred
from broker.dispatch import Hooks
from broker.driven_clock import DrivenClock
from broker.listener import ConnectionHost
from broker.memory import BytePool
from broker.nodes.listeners import NodeListeners, listeners_for
from broker.nodes.spec import NodeSpec, configured_nodes
from broker.reactor import Reactor, loop_time_ms
from log.storage import Storage

if TYPE_CHECKING:
    from broker.http.door import HttpDoor, HttpSettings

logger = logging.getLogger("kwire.server")

# queued.max.request.bytes = -1 means no limit in Kafka; memory is never unlimited (docs/DIFFERENCES.md).
_DEFAULT_POOL_BYTES: Final = 512 * 1024 * 1024
_PROGRESS_EVERY_MS: Final = 2_000.0


class Server:
    """The clusters of one process. Add them, then `run` the reactor."""

    def __init__(self, reactor: Reactor, limits: BrokerConfig) -> None:
        """limits: the settings that hold for the process as a whole (connections, request memory)."""
        self.reactor = reactor
        pool_bytes = limits.get_int("queued.max.request.bytes")
        self.host = ConnectionHost(
            reactor,
            byte_pool=BytePool(pool_bytes if pool_bytes > 0 else _DEFAULT_POOL_BYTES),
            max_request_bytes=limits.get_int("socket.request.max.bytes"),
            max_connections=limits.get_int("max.connections"),
            connections_max_idle_ms=limits.get_int("connections.max.idle.ms"),
        )
        limits.on_change(self._limits_changed)
        self._clusters: dict[Cluster, bool] = {}
        """With whether its data lasts beyond the process."""
        self._stopped = False

    def _limits_changed(self, limits: BrokerConfig) -> None:
        """max.connections may change while it runs; who is connected stays."""
        self.host.max_connections = limits.get_int("max.connections")

    def add(
        self,
        config: BrokerConfig,
        *,
        clock: Clock | None = None,
        random: Random | None = None,
        storage: Storage | None = None,
        hooks: Hooks | None = None,
        nodes: Sequence[NodeSpec] = (),
        lasting: bool = True,
        goes_on: bool = False,
    ) -> Cluster:
        """Open a cluster and begin to serve it. Raises StartError; nothing is left behind then.

        nodes: none: one, as the settings say. lasting: its data is more than this process's: a stop syncs it.
        goes_on: see `Cluster.goes_on`.
        """
        clock = clock if clock is not None else DrivenClock()
        cluster = Cluster(
            config,
            clock,
            random if random is not None else Random(SystemRandom().getrandbits(256)),
            self.reactor.run_in_thread,
            storage,
            hooks,
            nodes,
        )
        cluster.lasting, cluster.goes_on = lasting, goes_on
        cluster.open()
        try:
            for spec in cluster.specs:
                node = cluster.nodes[spec.node_id]
                node.listeners = NodeListeners(
                    self.host,
                    node.dispatcher,
                    node.config,
                    node.node_id,
                    listeners_for(node.config, spec, first=node is cluster.node),
                )
                node.listeners.open()
            cluster.register(
                {
                    node.node_id: node.listeners.endpoints()
                    for node in cluster.nodes.values()
                    if node.listeners is not None
                }
            )
        except BaseException:
            _close_listeners(cluster, cut=True)
            cluster.close()
            raise
        self.reactor.add_clock(clock)
        cluster.start()
        for node in cluster.nodes.values():
            if node.listeners is not None:
                node.listeners.start()
        self._clusters[cluster] = lasting
        return cluster

    def remove(self, cluster: Cluster) -> bool:
        """Stop serving one cluster and let go of all of it: listeners, connections, clock, logs (synced and closed).

        One that does not last is left as it is. True when all went well.
        """
        lasting = self._clusters.pop(cluster)
        cluster.stop()
        self.reactor.flush_now()
        _close_listeners(cluster, cut=True)
        fine = self._close_logs(cluster, lasting)
        self._let_go(cluster)
        return fine

    def _close_logs(
        self, cluster: Cluster, lasting: bool, progress: Callable[[int, int], None] = lambda _done, _total: None
    ) -> bool:
        if lasting:
            return cluster.close(progress)
        cluster.manager.unlock()
        return True

    def addresses(self, cluster: Cluster) -> list[Address]:
        """Where a cluster's listeners are, those of the first node first."""
        return [
            Address(endpoint.listener, endpoint.bound_host, endpoint.bound_port)
            for node in cluster.nodes.values()
            for endpoint in node.addresses
        ]

    def stop_serving(self) -> None:
        """Answer what waits, close listeners and connections. May be called again."""
        if self._stopped:
            return
        self._stopped = True
        for cluster in self._clusters:
            _close_listeners(cluster, cut=False)
            cluster.stop()
        self.reactor.flush_now()
        self.host.close()

    def close(self) -> bool:
        """Sync and close every cluster; True when all went well. To be called when the reactor has stopped."""
        fine = True
        for cluster, lasting in self._clusters.items():
            fine = self._close_logs(cluster, lasting, _Progress()) and fine
            self._let_go(cluster)
        self._clusters.clear()
        return fine

    def abandon(self) -> None:
        """Let go of everything as a killed process would: nothing synced, no marker."""
        for cluster in self._clusters:
            cluster.manager.unlock()
            self._let_go(cluster)
        self._clusters.clear()

    def _let_go(self, cluster: Cluster) -> None:
        clock = cluster.clock
        if clock.timers.on_earlier is not None:
            self.reactor.remove_clock(clock)
        if isinstance(clock, DrivenClock):
            clock.close()


def _close_listeners(cluster: Cluster, *, cut: bool) -> None:
    for node in cluster.nodes.values():
        if node.listeners is not None:
            node.listeners.close(cut=cut)


class _Progress:
    """Tells of a long stop every two seconds."""

    def __init__(self) -> None:
        self._next_ms = loop_time_ms() + _PROGRESS_EVERY_MS

    def __call__(self, done: int, total: int) -> None:
        now_ms = loop_time_ms()
        if now_ms >= self._next_ms:
            self._next_ms = now_ms + _PROGRESS_EVERY_MS
            logger.info("stopping: %d of %d logs are on the disk", done, total)


async def serve(
    config: BrokerConfig,
    *,
    on_ready: Callable[[Sequence[Address], str | None], None],
    stop: trio.Event,
    http: HttpSettings | None = None,
    prepare: Callable[[Cluster], Deferred[None]] | None = None,
) -> None:
    """Run one broker until `stop` is set.

    http: where the control plane listens; None: nowhere. `on_ready` gets the listeners' addresses and the control
    plane's URL once requests are answered and what `prepare` began is done; its failure stops the broker and is raised.
    """
    reactor = Reactor()
    server = Server(reactor, config)
    door: HttpDoor | None = None
    try:
        cluster = server.add(config, nodes=configured_nodes(config))
    except BaseException:
        server.host.close()
        reactor.close()
        raise
    if http is not None:
        from broker.control.opening import open_door

        try:
            door = open_door(http, server, cluster, config)
        except BaseException:
            server.stop_serving()
            server.close()
            reactor.close()
            raise

    failures: list[Exception] = []

    def ready() -> None:
        on_ready(server.addresses(cluster), None if door is None else door.url)

    def prepared(done: Deferred[None]) -> None:
        try:
            done.result()
        except Exception as error:
            failures.append(error)
            stop.set()
        else:
            ready()

    async def wait_for_stop() -> None:
        await stop.wait()
        if door is not None:
            door.stop()
            await door.drain()
        server.stop_serving()
        reactor.stop()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_for_stop)
        if door is not None:
            nursery.start_soon(door.run)
        reactor.call_soon(ready if prepare is None else lambda: prepare(cluster).add_callback(prepared))
        await reactor.run()
        nursery.cancel_scope.cancel()
    if server.close():
        logger.info("stopped, all logs are on the disk")
    reactor.close()
    if failures:
        raise failures[0]
