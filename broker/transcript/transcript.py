"""The transcript of one cluster: an observer of its requests, a bounded ring of entries, who follows it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Final

from attrs import frozen

from broker.transcript.entry import Entry
from broker.transcript.filters import Filter

if TYPE_CHECKING:
    from broker.cluster import Cluster
    from broker.controller.image import ImageChange
    from broker.interception import Exchange

_DELETED_TOPICS: Final = 1_000


@frozen(eq=False)
class Follower:
    """tell: called with each entry, once its answer is given. end: when there will be no more."""

    tell: Callable[[Entry], None]
    end: Callable[[], None]


@frozen
class TranscriptSettings:
    """entries, bytes: what the ring holds at most; the oldest go. body_bytes: a larger request or answer is not kept,
    only that it was there. samples: of the first records of each partition, key and value are kept.
    """

    enabled: bool = True
    entries: int = 1_000
    bytes: int = 1024 * 1024
    body_bytes: int = 64 * 1024
    samples: int = 0


class Transcript:
    """See the module. Nothing of it stands around requests while it is not enabled.

    Sequence numbers count answers, in the order they were given; they are never used twice, nor by what was cleared.
    """

    def __init__(self, cluster: Cluster, settings: TranscriptSettings) -> None:
        self._cluster = cluster
        self.settings = TranscriptSettings(enabled=False)
        self.entries: deque[Entry] = deque()
        self.bytes = 0
        self.next_sequence = 0
        self.dropped = 0
        self._open: dict[Entry, None] = {}
        self._followers: list[Follower] = []
        # Requests name topics by their ids, and are looked at when the topic may be gone.
        self._deleted_topics: dict[bytes, str] = {}
        cluster.controller.on_change(self._image_changed)
        self.change(settings)

    def change(self, settings: TranscriptSettings) -> None:
        """Other settings from now on. What is kept stays as far as it may."""
        was, self.settings = self.settings, settings
        if settings.enabled and not was.enabled:
            self._cluster.interception.observe(self)
        elif was.enabled and not settings.enabled:
            self._cluster.interception.stop_observing(self)
            self._open.clear()
        self._shrink()

    def moved(self, cluster: Cluster) -> None:
        """Another Cluster stands in the place of the one so far (a restore)."""
        self._cluster = cluster
        self._open.clear()
        cluster.controller.on_change(self._image_changed)
        if self.settings.enabled:
            cluster.interception.observe(self)

    def topic_name(self, topic_id: bytes) -> str | None:
        """Of a topic that is there, or was."""
        topic = self._cluster.controller.image.topic_by_id(topic_id)
        return self._deleted_topics.get(topic_id) if topic is None else topic.name

    def _image_changed(self, change: ImageChange) -> None:
        for topic in change.deleted_topics:
            self._deleted_topics[topic.topic_id] = topic.name
        while len(self._deleted_topics) > _DELETED_TOPICS:
            del self._deleted_topics[next(iter(self._deleted_topics))]

    @property
    def first_sequence(self) -> int:
        """Of the oldest entry that is still there; the next one's without any."""
        return self.entries[0].sequence if self.entries else self.next_sequence

    @property
    def open_ones(self) -> list[Entry]:
        """Requests without an answer so far."""
        return list(self._open)

    def find(self, wanted: Filter) -> Iterator[Entry]:
        """The matching entries, the newest first."""
        return (entry for entry in reversed(self.entries) if wanted.matches(entry, self.topic_name))

    def last(self, wanted: Filter, limit: int) -> list[Entry]:
        """The newest `limit` of them, in their order."""
        return list(islice(self.find(wanted), limit))[::-1]

    def clear(self) -> None:
        """Forget what is kept."""
        self.entries.clear()
        self.bytes = 0

    def close(self) -> None:
        """The cluster is gone."""
        followers, self._followers = self._followers, []
        for follower in followers:
            follower.end()
        self.clear()

    def follow(self, follower: Follower) -> Callable[[], None]:
        """Tell it of each entry from now on; the call that is returned ends that."""
        self._followers.append(follower)

        def leave() -> None:
            if follower in self._followers:
                self._followers.remove(follower)

        return leave

    # -- the observer

    def began(self, exchange: Exchange) -> None:
        entry = exchange.kept = Entry(exchange, self.settings.samples)
        self._open[entry] = None

    def ended(self, exchange: Exchange) -> None:
        entry: Entry | None = exchange.kept
        if entry not in self._open:  # it began before we looked, or on the cluster that was here before a restore
            return
        del self._open[entry]
        settings = self.settings
        entry.end(exchange, settings.samples, settings.body_bytes)
        entry.sequence = self.next_sequence
        self.next_sequence += 1
        self.entries.append(entry)
        self.bytes += entry.size
        if self.bytes > settings.bytes or len(self.entries) > settings.entries:
            self._shrink()
        for follower in tuple(self._followers):
            follower.tell(entry)

    def _shrink(self) -> None:
        entries = self.entries
        while entries and (self.bytes > self.settings.bytes or len(entries) > self.settings.entries):
            self.bytes -= entries.popleft().size
            self.dropped += 1
