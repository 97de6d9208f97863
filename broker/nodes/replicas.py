"""The replicas of a cluster of several nodes: how far each has come, what that makes of ISRs and high watermarks.

There is one log per partition. A replica follows it to its end unless its node does not fetch (stopped, isolated,
frozen) or nobody leads: then the end it had is noted here. A replica that is behind and is elected cuts the log to its
end, as Kafka's followers do to theirs. Clusters of one node have none of this.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, TypeAlias

from broker.controller.decisions.isr import IsrChange
from broker.controller.image import NO_LEADER, RECOVERING
from broker.controller.ports import RESOURCE_BROKER, RESOURCE_TOPIC
from broker.nodes.node import RUNNING
from kwire.errors import ApiError

if TYPE_CHECKING:
    from broker.clock import Timer
    from broker.cluster import Cluster
    from broker.controller.image import ImageChange, PartitionImage, TopicImage
    from broker.nodes.node import Node
    from broker.partitions import Partition

logger = logging.getLogger("kwire.nodes")

Key: TypeAlias = tuple[bytes, int]
"""Topic id and partition index."""

_LEADS: Final = -1
"""In place of the end of a frozen node's replica that leads: what is appended is appended there."""


class Replicas:
    """See the module. `before` and `after` are called for each change of the image, around the nodes' own part."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._image = cluster.controller.image
        self._ends: dict[Key, dict[int, int]] = {}
        """Replicas that are behind, or may come to be: the end of each."""
        self._frozen_since_ms: dict[int, float] = {}
        self._timers: dict[str, Timer] = {}

    def close(self) -> None:
        """The cluster stops."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    # -- what is asked

    def is_fetching(self, node_id: int) -> bool:
        """Whether what is appended comes to this node at once."""
        node = self._cluster.nodes.get(node_id)
        return node is not None and node.state == RUNNING and not node.frozen

    def end_of(self, topic: str, index: int, node_id: int) -> int:
        """The log end offset of one replica."""
        found = self._image.topic_by_name(topic)
        end = None if found is None else self._ends.get((found.topic_id, index), {}).get(node_id)
        return self._log_end(topic, index) if end is None or end == _LEADS else end

    def leading(self, topic: str, index: int) -> Partition | None:
        """The partition at its leader; None without one."""
        assert self._cluster.router is not None
        return self._cluster.router.get(topic, index)

    def _log_end(self, topic: str, index: int) -> int:
        manager = self._cluster.manager
        opened = manager.opened(topic, index)
        if opened is not None:
            return opened.log_end_offset
        found = self._image.topic_by_name(topic)
        if found is None or (topic, index) not in manager:
            return 0
        return self._cluster.open_log(found, index).log_end_offset

    def _held_by(self, node_id: int) -> Iterable[tuple[TopicImage, int, PartitionImage]]:
        for topic in self._image.topics():
            for index, partition in enumerate(topic.partitions):
                if node_id in partition.replicas:
                    yield topic, index, partition

    # -- nodes that stop to fetch, and begin again

    def stops_fetching(self, node: Node) -> None:
        """It is stopped or isolated, leads nothing from now on: the ends of its replicas are those of now."""
        for topic, index, _ in self._held_by(node.node_id):
            ends = self._ends.setdefault((topic.topic_id, index), {})
            if ends.get(node.node_id, _LEADS) == _LEADS:
                ends[node.node_id] = self._log_end(topic.name, index)

    def froze(self, node: Node) -> None:
        """It follows nobody from now on; its replicas fall out of ISRs once replica.lag.time.max.ms have passed."""
        for topic, index, partition in self._held_by(node.node_id):
            ends = self._ends.setdefault((topic.topic_id, index), {})
            leads = partition.leader == node.node_id
            ends.setdefault(node.node_id, _LEADS if leads else self._log_end(topic.name, index))
        clock = self._cluster.clock
        self._frozen_since_ms[node.node_id] = clock.monotonic_ms()
        for topic, index, _ in self._held_by(node.node_id):
            self._hold(topic, index)
        longest_ms = self._cluster.config.get_int("replica.lag.time.max.ms")
        self._timers[f"lag {node.node_id}"] = clock.call_later(longest_ms, self._shrink_isrs)
        if "lag" not in self._timers:
            self._check_lag_later()

    def fetches_again(self, node: Node) -> None:
        """It is no longer frozen, or away. If neither, it catches up where somebody leads, and is in sync again."""
        node_id = node.node_id
        if not node.frozen:
            self._frozen_since_ms.pop(node_id, None)
            timer = self._timers.pop(f"lag {node_id}", None)
            if timer is not None:
                timer.cancel()
        if not self.is_fetching(node_id):
            return
        touched = []
        for topic, index, partition in self._held_by(node_id):
            if partition.leader != NO_LEADER:
                self._caught_up(topic, index, node_id)
                touched.append((topic, index))
        self._report(touched)
        for topic, index in touched:
            self._hold(topic, index)
        self.rebalance_later()

    def _caught_up(self, topic: TopicImage, index: int, node_id: int) -> None:
        ends = self._ends.get((topic.topic_id, index))
        if ends is not None:
            ends.pop(node_id, None)
            if not ends:
                del self._ends[(topic.topic_id, index)]

    # -- changes of the image

    def before(self, change: ImageChange) -> None:
        """New leaders that were behind cut the log before anybody serves from it."""
        for topic in change.deleted_topics:
            for index in range(len(topic.partitions)):
                self._ends.pop((topic.topic_id, index), None)
        for topic, indexes in change.partitions.values():
            for index in sorted(indexes):
                try:
                    self._follow(topic, index)
                except ApiError as error:
                    logger.error("%s-%d: its log cannot follow its leader: %s", topic.name, index, error)

    def _follow(self, topic: TopicImage, index: int) -> None:
        partition = topic.partitions[index]
        key = (topic.topic_id, index)
        ends = self._ends.setdefault(key, {})
        leader = partition.leader
        for replica in partition.replicas:
            if replica == leader:
                continue
            if ends.get(replica) == _LEADS:
                ends[replica] = self._log_end(topic.name, index)
            elif replica not in ends and not self.is_fetching(replica):
                ends[replica] = 0  # a new one
        if leader != NO_LEADER:
            led_end = ends.pop(leader, _LEADS)
            if led_end != _LEADS:
                self._cut(topic, index, led_end)
            end = self._log_end(topic.name, index)
            for replica in list(ends):
                if replica not in partition.replicas or self.is_fetching(replica):
                    del ends[replica]
                else:
                    ends[replica] = min(ends[replica], end)
            if not self.is_fetching(leader):
                ends[leader] = _LEADS
            self._begin_epoch(topic, index, partition)
        if not ends:
            del self._ends[key]

    def _cut(self, topic: TopicImage, index: int, end: int) -> None:
        if end >= self._log_end(topic.name, index):
            return
        log = self._cluster.open_log(topic, index)
        lost = log.log_end_offset - end
        log.truncate_to(end, self._cluster.clock.now_ms())
        logger.warning("%s-%d lost its last %d offsets: the new leader had only %d", topic.name, index, lost, end)

    def _begin_epoch(self, topic: TopicImage, index: int, partition: PartitionImage) -> None:
        """A new leader notes where its epoch begins, so that clients can tell where an older one ended (KIP-101)."""
        log = self._cluster.manager.opened(topic.name, index)
        if log is not None and not log.offline and log.leader_epoch < partition.leader_epoch and log.log_end_offset:
            log.assign_epoch(partition.leader_epoch)

    def after(self, change: ImageChange) -> None:
        """ISRs and high watermarks follow. May write to the metadata log, and so be called again meanwhile."""
        touched = [(topic, index) for topic, indexes in change.partitions.values() for index in sorted(indexes)]
        self._report(touched)
        for topic, index in touched:
            self._hold(topic, index)
        renamed = {each.name for each in change.configs if each.type == RESOURCE_TOPIC}
        whole = any(each.type == RESOURCE_BROKER for each in change.configs)
        if renamed or whole:
            topics = [each for each in self._image.topics() if whole or each.name in renamed]
            self._cluster.controller.elect_where_allowed(topics)
            for topic in topics:
                for index in range(len(topic.partitions)):
                    self._hold(topic, index)
        if touched and not all(topic.partitions[index].has_preferred_leader for topic, index in touched):
            self.rebalance_later()

    def _report(self, touched: Iterable[tuple[TopicImage, int]]) -> None:
        """Leaders take replicas that have caught up into the ISR."""
        changes = []
        for topic, index in touched:
            partition = topic.partitions[index]
            if partition.leader == NO_LEADER:
                continue
            ends = self._ends.get((topic.topic_id, index), {})
            joining = tuple(
                replica
                for replica in partition.replicas
                if replica not in partition.isr
                and replica not in ends
                and self.is_fetching(replica)
                and self._image.is_active(replica)
            )
            if joining or partition.leader_recovery_state == RECOVERING:
                changes.append(IsrChange(topic, index, partition.isr + joining))
        if changes:
            self._cluster.controller.change_isrs(changes)

    # -- the high watermark

    def begin(self, partition: Partition) -> None:
        """A node has begun to lead a partition."""
        topic = self._image.topic_by_name(partition.topic)
        if topic is not None:
            self._apply(topic, partition)

    def _hold(self, topic: TopicImage, index: int) -> None:
        node = self._cluster.nodes.get(topic.partitions[index].leader)
        partition = None if node is None else node.partitions.made(topic.name, index)
        if partition is not None:
            self._apply(topic, partition)

    def _apply(self, topic: TopicImage, partition: Partition) -> None:
        described = topic.partitions[partition.index]
        ends = self._ends.get((topic.topic_id, partition.index), {})
        slow = [ends[each] for each in described.isr if each in ends and each != described.leader]
        under = len(described.isr) < self._image.min_isr(topic.name, len(described.replicas))
        held = under or bool(slow)
        if held or partition.held:
            partition.hold(held=held, under_min_isr=under, replicated_to=min(slow, default=0))

    # -- on the clock

    def _check_lag_later(self) -> None:
        """As often as Kafka does: each half of replica.lag.time.max.ms, while a node is frozen."""
        interval_ms = self._cluster.config.get_int("replica.lag.time.max.ms") / 2
        self._timers["lag"] = self._cluster.clock.call_again(interval_ms, self._check_lag)

    def _check_lag(self) -> None:
        del self._timers["lag"]
        if self._frozen_since_ms:
            self._check_lag_later()
            self._shrink_isrs()

    def _shrink_isrs(self) -> None:
        """Replicas that are behind, and have not fetched for as long as is allowed, leave the ISR."""
        now_ms = self._cluster.clock.monotonic_ms()
        longest_ms = self._cluster.config.get_int("replica.lag.time.max.ms")
        late = {each for each, since_ms in self._frozen_since_ms.items() if now_ms - since_ms >= longest_ms}
        changes = []
        for (topic_id, index), ends in list(self._ends.items()) if late else ():
            topic = self._image.topic_by_id(topic_id)
            if topic is None:
                continue
            partition = topic.partitions[index]
            end = self._log_end(topic.name, index)
            gone = {each for each in partition.isr if each in late and each in ends and ends[each] < end}
            gone.discard(partition.leader)
            if gone:
                changes.append(IsrChange(topic, index, tuple(each for each in partition.isr if each not in gone)))
        if changes:
            try:
                self._cluster.controller.change_isrs(changes)
            except ApiError as error:
                logger.error("ISRs cannot be shrunk: %s", error)

    def rebalance_later(self) -> None:
        """Preferred leaders lead again after a while, where auto.leader.rebalance.enable says so."""
        config = self._cluster.config
        if "rebalance" not in self._timers and config.get_bool("auto.leader.rebalance.enable"):
            interval_ms = config.get_int("leader.imbalance.check.interval.seconds") * 1000
            self._timers["rebalance"] = self._cluster.clock.call_later(interval_ms, self._rebalance)

    def _rebalance(self) -> None:
        del self._timers["rebalance"]
        try:
            self._cluster.controller.elect_preferred()
        except ApiError as error:
            logger.error("preferred leaders cannot be elected: %s", error)
