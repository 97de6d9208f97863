"""Topics of a cluster as the broker sees them: leaders, in-sync replicas, offsets, configs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from attrs import frozen

from kwire.testing.errors import ControlRequestError
from kwire.testing.http import segment
from kwire.testing.topic_specs import topic_body

if TYPE_CHECKING:
    from kwire.testing.cluster import Cluster


@frozen
class PartitionState:
    """leader: -1 when there is none. Offsets are 0 before anything was written."""

    partition: int
    leader: int
    leader_epoch: int
    replicas: list[int]
    isr: list[int]
    log_start_offset: int
    high_watermark: int
    last_stable_offset: int
    log_end_offset: int


@frozen
class TopicState:
    """configs: what was set on the topic itself."""

    name: str
    topic_id: str
    internal: bool
    partitions: list[PartitionState]
    configs: dict[str, str]

    @property
    def record_count(self) -> int:
        """Committed offsets in use, over all partitions: records, and markers of transactions."""
        return sum(each.high_watermark - each.log_start_offset for each in self.partitions)


class Topics:
    """`cluster.topics`: iterate it for names, index it for states. What is refused raises ControlRequestError."""

    def __init__(self, cluster: Cluster) -> None:
        self._http = cluster.http
        self._path = f"{cluster.path}/topics"

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __contains__(self, name: object) -> bool:
        return name in self.names(internal=True)

    def __len__(self) -> int:
        return len(self.names())

    def __getitem__(self, name: str) -> TopicState:
        """Raises KeyError."""
        try:
            return self.show(name)
        except ControlRequestError as error:
            if error.code != "unknown_topic":
                raise
            raise KeyError(str(error)) from None

    def names(self, *, internal: bool = False) -> list[str]:
        """Sorted; internal: with the broker's own ones."""
        answer = self._http.request("GET", self._path, query={"internal": internal})
        return [topic["name"] for topic in answer["topics"]]

    def show(self, name: str) -> TopicState:
        """What a topic is now."""
        return _state(self._http.request("GET", f"{self._path}/{segment(name)}"))

    def create(
        self,
        name: str,
        partitions: int | None = None,
        *,
        replication_factor: int | None = None,
        configs: dict[str, Any] | None = None,
    ) -> TopicState:
        """None: the broker's default."""
        given = {"partitions": partitions, "replication_factor": replication_factor, "configs": configs}
        body = topic_body(name, {key: value for key, value in given.items() if value is not None})
        return _state(self._http.request("POST", self._path, body))

    def delete(self, name: str, *, missing_ok: bool = False) -> None:
        """The topic and its records."""
        try:
            self._http.request("DELETE", f"{self._path}/{segment(name)}")
        except ControlRequestError as error:
            if not (missing_ok and error.code == "unknown_topic"):
                raise


def _state(found: dict[str, Any]) -> TopicState:
    return TopicState(
        name=found["name"],
        topic_id=found["topic_id"],
        internal=found["internal"],
        partitions=[
            PartitionState(
                partition=each["partition"],
                leader=each["leader"],
                leader_epoch=each["leader_epoch"],
                replicas=each["replicas"],
                isr=each["isr"],
                log_start_offset=each["log_start_offset"],
                high_watermark=each["high_watermark"],
                last_stable_offset=each["last_stable_offset"],
                log_end_offset=each["log_end_offset"],
            )
            for each in found["partitions"]
        ],
        configs=found["configs"],
    )
