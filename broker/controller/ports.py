"""What the controller needs of others: a log to write to, rules for configs, a source of uuids.

The controller itself opens no file, reads no clock and draws no random number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from attrs import define

from broker.controller.records import Record
from broker.deferred import Deferred

RESOURCE_TOPIC = 2
RESOURCE_BROKER = 4
RESOURCE_BROKER_LOGGER = 8
RESOURCE_CLIENT_METRICS = 16
RESOURCE_GROUP = 32


class ConfigResource(NamedTuple):
    """Whose configs: type as on the wire (2 topic, 4 broker, 16 client metrics, 32 group), and name ("" for the
    defaults of all brokers)."""

    type: int
    name: str


@define(slots=True, frozen=True)
class ConfigEntry:
    """One effective config, as CreateTopics v5 answers it. source: 1 topic, 3 dynamic default, 4 static, 5 default."""

    name: str
    value: str | None
    read_only: bool
    source: int
    sensitive: bool


class ConfigRules(Protocol):
    """The knowledge about configs that decisions need."""

    def is_list(self, resource: ConfigResource, name: str) -> bool:
        """Whether APPEND and SUBTRACT make sense for the key."""

    def default_value(self, resource: ConfigResource, name: str) -> str | None:
        """What an APPEND starts from when the key was never set."""

    def validate(self, resource: ConfigResource, configs: Mapping[str, str], existing: Mapping[str, str]) -> None:
        """Check what `resource` would have after the change against what it has now.

        Raises ApiError (INVALID_CONFIG, INVALID_REQUEST, ...) with Kafka's message.
        """

    def topic_entries(
        self, topic: Mapping[str, str], broker: Mapping[str, str], cluster: Mapping[str, str]
    ) -> Sequence[ConfigEntry]:
        """All effective configs of a topic, by name, from its own, the node's and the brokers' default dynamic ones."""


class MetadataLog(Protocol):
    """`__cluster_metadata-0` as the controller sees it: one writer, batches that are kept whole or not at all."""

    @property
    def end_offset(self) -> int:
        """The offset the next record gets."""

    @property
    def epoch(self) -> int:
        """The leader epoch that appended batches carry; 0 before the first election."""

    @property
    def high_watermark(self) -> int:
        """Everything below this offset is durable."""

    def read_all(self) -> Iterator[tuple[int, Record]]:
        """Every data record with its offset, oldest first. Control records are left out."""

    def begin_epoch(self, now_ms: int) -> int:
        """Raise the epoch, write quorum-state, append the LeaderChange control record; returns the new epoch."""

    def append(self, records: Sequence[Record], now_ms: int) -> int:
        """Append one batch and return the offset after it.

        Raises OSError or ApiError(KAFKA_STORAGE_ERROR) when it could not be written; then the log is as it was.
        """

    def committed(self, offset: int) -> Deferred[None]:
        """Finished once all records below `offset` are durable. Fails when they will never be."""


class UuidSource(Protocol):
    """Fresh 16-byte uuids that are not reserved (`kwire.uuids.is_reserved`)."""

    def __call__(self) -> bytes: ...
