"""The door's handle of one cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from kwire.testing.errors import ControlRequestError
from kwire.testing.http import ControlClient, segment
from kwire.testing.records import Isolation, Reader, Until, as_messages, produce
from kwire.testing.topic_specs import TopicsGiven, topic_bodies
from kwire.testing.values import Placed, Record
from kwire.testing.waiting import DEFAULT_TIMEOUT_S, wait_for

if TYPE_CHECKING:
    from kwire.testing.aio import AsyncForms
    from kwire.testing.clock import Clock
    from kwire.testing.faults import Faults
    from kwire.testing.groups import Groups
    from kwire.testing.nodes import Nodes
    from kwire.testing.snapshots import Snapshots
    from kwire.testing.topics import Topics
    from kwire.testing.transcript import Transcript

T = TypeVar("T")


class Cluster:
    """A cluster of a broker. Use it with `with`, or `delete` it.

    name: its name. path: `/v1/clusters/NAME`, the name percent-encoded. http: the control plane's client.
    description: what the broker said of it when this handle was made.
    """

    def __init__(self, http: ControlClient, name: str, description: dict[str, Any]) -> None:
        self.http = http
        self.name = name
        self.path = f"/v1/clusters/{segment(name)}"
        self.description = description

    def __repr__(self) -> str:
        return f"Cluster({self.name!r}, {self.bootstrap_servers!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.delete(missing_ok=True)

    @property
    def bootstrap_servers(self) -> str:
        """`host:port,...` for Kafka's clients."""
        servers = self.description["bootstrap_servers"]
        return servers if isinstance(servers, str) else ",".join(servers)

    def delete(self, *, missing_ok: bool = False) -> None:
        """Delete the cluster: its connections are closed, its data is gone. Raises ControlRequestError."""
        try:
            self.http.request("DELETE", self.path)
        except ControlRequestError as error:
            if not (missing_ok and error.status == 404):
                raise

    def fork(self, *, name: str | None = None, snapshot: str | None = None, seed: int | None = None) -> Cluster:
        """A new cluster with the data of this one as it is now, or of a snapshot of it. Raises ControlRequestError.

        The same are records, offsets, groups, transactions, configs and ids; its listeners are its own.
        """
        return self.snapshots.fork(snapshot, name=name, seed=seed)

    # Topics and records, without a Kafka client.

    def create_topic(self, name: str, partitions: int | None = None, **options: Any) -> None:
        """Create a topic: `topics.create`, which says more. Raises ControlRequestError."""
        self.topics.create(name, partitions, **options)

    def create_topics(self, topics: TopicsGiven) -> None:
        """Create topics, given as to `Broker.create_cluster`. Raises ControlRequestError."""
        for body in topic_bodies(topics):
            self.http.request("POST", f"{self.path}/topics", body)

    def produce(
        self,
        topic: str,
        *values: Any,
        key: Any = None,
        headers: Mapping[str, Any] | None = None,
        partition: int | None = None,
        create: bool = True,
    ) -> list[Placed]:
        """Append records and wait until they are committed; where they are, in the order given.

        values: `str` as UTF-8, `bytes` as they are, None as null, a `Message` with what is its own, anything else as
        JSON. key, headers, partition: of all of them; without key and partition they go round the partitions.
        create: make a topic that is not there, with the broker's defaults, as producers do. Raises ControlRequestError.
        """
        messages = as_messages(values, key=key, headers=headers, partition=partition)
        return produce(self.http, self.path, topic, messages, create=create)

    def records(
        self, topic: str, *, partition: int | None = None, isolation: Isolation = "read_committed"
    ) -> list[Record]:
        """All records of a topic that are there now; in order within each partition. Raises ControlRequestError.

        isolation: as a consumer's `isolation.level`; "read_uncommitted" has those of open and aborted transactions too.
        """
        return self._reader(topic, partition, isolation, "earliest").all()

    def consume_until(
        self,
        topic: str,
        until: Until,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        partition: int | None = None,
        isolation: Isolation = "read_committed",
        start: str = "earliest",
    ) -> list[Record]:
        """Read a topic until there are `until` records, or until one of them is what `until(record)` wants.

        Returns what was read: with a number all that is there by then, at least so many; with a function all up to and
        with the record it wanted. The topic need not exist yet. start: "earliest", "latest" or "PARTITION:OFFSET,...".

        Raises WaitTimeoutError, which tells what was read, after timeout_s of the machine's time (a frozen cluster can
        be waited for).
        """
        return self._reader(topic, partition, isolation, start).until(until, timeout_s)

    def _reader(self, topic: str, partition: int | None, isolation: Isolation, start: str) -> Reader:
        return Reader(self.http, self.path, topic, partition=partition, isolation=isolation, start=start)

    # Waiting.

    def wait_for(self, check: Callable[[], T], *, timeout_s: float = DEFAULT_TIMEOUT_S, what: str = "") -> T:
        """Call `check` until it returns something true, and return that. Raises WaitTimeoutError.

        An AssertionError or a KwireError in it means "not yet". For groups there is `groups[name].wait_for`.
        """
        return wait_for(check, timeout_s=timeout_s, what=what)

    @cached_property
    def aio(self) -> AsyncForms:
        """What takes time, to be awaited in asyncio's or trio's tests."""
        from kwire.testing.aio import AsyncForms

        return AsyncForms(self)

    # One class for each feature, made when it is first asked for.

    @cached_property
    def topics(self) -> Topics:
        """Topics: names, partitions, configs."""
        from kwire.testing.topics import Topics

        return Topics(self)

    @cached_property
    def nodes(self) -> Nodes:
        """Simulated nodes: stop, start, isolate."""
        from kwire.testing.nodes import Nodes

        return Nodes(self)

    @cached_property
    def faults(self) -> Faults:
        """Fault rules."""
        from kwire.testing.faults import Faults

        return Faults(self)

    @cached_property
    def clock(self) -> Clock:
        """The cluster's time."""
        from kwire.testing.clock import Clock

        return Clock(self)

    @cached_property
    def groups(self) -> Groups:
        """Consumer groups: states, lag, control."""
        from kwire.testing.groups import Groups

        return Groups(self)

    @cached_property
    def transcript(self) -> Transcript:
        """Requests and answers, decoded."""
        from kwire.testing.transcript import Transcript

        return Transcript(self)

    @cached_property
    def snapshots(self) -> Snapshots:
        """Snapshots, forks, restore."""
        from kwire.testing.snapshots import Snapshots

        return Snapshots(self)
