"""What went through a cluster: requests and answers, found, counted, waited for and asserted.

with cluster.transcript.since_now() as seen:
    service.place_order()
    seen.assert_seen(api="Produce", topic="orders", times=1)
    seen.assert_not_seen(error="any")
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from attrs import field, frozen

from kwire.testing.errors import KwireError
from kwire.testing.waiting import DEFAULT_TIMEOUT_S, wait_for

if TYPE_CHECKING:
    from kwire.testing.cluster import Cluster

_LIMIT: Final = 100_000
_SHOWN: Final = 15

Names = str | Sequence[str] | None
Where = Callable[["Exchange"], object] | None


@frozen
class Exchange:
    """A request and its answer.

    sequence: counts answers. connection: `host:port` of the client. began_ms: the cluster's wall clock; latency_ms: of
    its time. outcome: "answered", "unanswered" (acks=0), "request dropped", "reply dropped", "closed", "gone",
    "failed", or "open" when there is no answer yet. errors: how often each error code is in the answer, by name.
    notes: what faults did. request, response: Kafka's fields by their names in snake_case, records summed up; None
    where they were too large, or secret, to be kept.
    """

    sequence: int
    node: int
    listener: str
    connection: str
    client_id: str | None
    api: str
    version: int
    correlation_id: int
    began_ms: int
    latency_ms: float
    request_bytes: int
    response_bytes: int
    outcome: str
    errors: dict[str, int]
    topics: list[str]
    groups: list[str]
    notes: list[str]
    omitted: bool
    request: Any = field(repr=False)
    response: Any = field(repr=False)

    def __str__(self) -> str:
        about = " ".join([*self.topics, *(f"group={group}" for group in self.groups)])
        errors = ", ".join(name if count == 1 else f"{name} x {count}" for name, count in self.errors.items())
        told = f"{self.sequence} {self.client_id or '-'} -> node {self.node}: {self.api} v{self.version}"
        told += f" {about}" if about else ""
        told += f" = {errors or ('ok' if self.outcome == 'answered' else self.outcome)}"
        return told + "".join(f" [{note}]" for note in self.notes)


class Transcript:
    """`cluster.transcript`. What is wanted is said by keyword arguments, all of which must hold:

    api, error, outcome: a name or several; error also "any" or "none". client_id, group, topic, node, connection.
    faults: True for what a fault was done to. since: a `position`. where: a function of an Exchange.
    """

    def __init__(self, cluster: Cluster, since: int | None = None) -> None:
        self._cluster = cluster
        self._http = cluster.http
        self._path = f"{cluster.path}/transcript"
        self._since = since

    # Settings

    def start(
        self,
        *,
        entries: int | None = None,
        bytes: int | None = None,
        body_bytes: int | None = None,
        samples: int | None = None,
    ) -> None:
        """Turn it on, or change how much is kept: so many entries and bytes at most, heads alone of requests and
        answers larger than body_bytes, the first `samples` records of each partition. On for clusters of a test's own.
        """
        given = {"entries": entries, "bytes": bytes, "body_bytes": body_bytes, "samples": samples}
        body = {key: value for key, value in given.items() if value is not None}
        self._http.request("PUT", self._path, {"enabled": True, **body})

    def stop(self) -> None:
        """Turn it off; what is kept stays."""
        self._http.request("PUT", self._path, {"enabled": False})

    def clear(self) -> None:
        """Forget what is kept."""
        self._http.request("DELETE", self._path)

    # What was seen

    @property
    def position(self) -> int:
        """The sequence number that the next answer gets."""
        found: int = self._http.request("GET", self._path, query={"limit": 0})["next_sequence"]
        return found

    def since_now(self) -> Transcript:
        """The same transcript from here on: what came before is not seen in it. May be used with `with`."""
        return Transcript(self._cluster, self.position)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Nothing is held."""

    def requests(
        self,
        *,
        api: Names = None,
        client_id: str | None = None,
        group: str | None = None,
        topic: str | None = None,
        node: int | None = None,
        connection: str | None = None,
        error: Names = None,
        outcome: Names = None,
        faults: bool = False,
        since: int | None = None,
        where: Where = None,
        limit: int | None = None,
        bodies: bool = True,
    ) -> list[Exchange]:
        """Those that match, in the order of their answers; with a limit the last ones. Raises ControlRequestError."""
        query = {
            "api": _several(api),
            "client_id": client_id,
            "group": group,
            "topic": topic,
            "node": node,
            "connection": connection,
            "error": _several(error),
            "outcome": _several(outcome),
            "faults": faults,
            "since": self._since if since is None else since,
            "bodies": bodies,
            "limit": _LIMIT if limit is None or where is not None else limit,
        }
        answer = self._http.request("GET", self._path, query=query)
        if not answer["enabled"]:
            raise KwireError(f"the transcript of cluster {self._cluster.name!r} is off: call transcript.start() first")
        found = [_exchange(each) for each in answer["exchanges"]]
        if where is None:
            return found
        found = [each for each in found if where(each)]
        return found if limit is None else found[-limit:] if limit else []

    def open_requests(self) -> list[Exchange]:
        """Those that wait for their answer now (long polls, joins)."""
        answer = self._http.request("GET", self._path, query={"limit": _LIMIT, "since": 2**53})
        return [_exchange(each) for each in answer["open"]]

    def count(self, **wanted: Any) -> int:
        """How many match; what is wanted as in `requests`."""
        return len(self.requests(**{"bodies": "where" in wanted, **wanted}))

    def assert_seen(self, times: int | None = None, **wanted: Any) -> list[Exchange]:
        """Those that match. AssertionError unless there are `times`; None: at least one. It tells what came instead."""
        found = self.requests(**wanted)
        if len(found) == times or (times is None and found):
            return found
        expected = "at least one request" if times is None else _requests(times)
        raise AssertionError(f"expected {expected} with {_shown(wanted)}, {self._instead(found, wanted)}")

    def assert_not_seen(self, **wanted: Any) -> None:
        """AssertionError when there are any that match; it tells which."""
        found = self.requests(**wanted)
        if found:
            raise AssertionError(f"expected no request with {_shown(wanted)}, {self._instead(found, wanted)}")

    def wait_for(self, times: int = 1, *, timeout_s: float = DEFAULT_TIMEOUT_S, **wanted: Any) -> list[Exchange]:
        """Wait until there are at least `times` that match, and return all of them. Raises WaitTimeoutError."""

        def enough() -> list[Exchange]:
            found = self.requests(**wanted)
            if len(found) < times:
                raise AssertionError(self._instead(found, wanted))
            return found

        return wait_for(enough, timeout_s=timeout_s, what=f"{_requests(times)} with {_shown(wanted)}")

    def follow(self, *, since: int | None = None, timeout_s: float | None = None, **wanted: Any) -> Iterator[Exchange]:
        """Exchanges as they are answered, until the cluster is gone; what is wanted as in `requests`, without limit.

        since: begin with what is kept from there on; None: with what comes. Lost ones (of a reader too slow) raise
        KwireError.
        """
        where = wanted.pop("where", None)
        query = {key: _several(value) if key in _LISTS else value for key, value in wanted.items()}
        query["since"] = self._since if since is None else since
        with self._http.events(f"{self._path}/events", query, timeout_s=timeout_s) as events:
            for event in events:
                if event.event == "dropped":
                    raise KwireError(f"{event.data['dropped']} exchanges are lost: they were not read in time")
                exchange = _exchange(event.data)
                if where is None or where(exchange):
                    yield exchange

    def _instead(self, found: list[Exchange], wanted: dict[str, Any]) -> str:
        if found:
            return f"there are {len(found)}:{_lines(found)}"
        since = wanted.get("since")
        seen = self.requests(since=since, bodies=False, limit=_SHOWN)
        if not seen:
            return "nothing was seen at all"
        return f"none was seen; the last requests were:{_lines(seen)}"


_LISTS: Final = frozenset({"api", "error", "outcome"})


def _several(names: Names) -> list[str] | None:
    return None if names is None else [names] if isinstance(names, str) else list(names)


def _requests(times: int) -> str:
    return "1 request" if times == 1 else f"{times} requests"


def _shown(wanted: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in wanted.items() if value is not None) or "any content"


def _lines(exchanges: list[Exchange]) -> str:
    more = len(exchanges) - _SHOWN
    lines = [f"\n  ... {more} more"] if more > 0 else []
    return "".join([*lines, *(f"\n  {each}" for each in exchanges[-_SHOWN:])])


def _exchange(found: dict[str, Any]) -> Exchange:
    return Exchange(**{name: found[name] for name in _FIELDS})


_FIELDS: Final = tuple(each.name for each in Exchange.__attrs_attrs__)
