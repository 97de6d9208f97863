"""Producing to and reading from a cluster's topics over HTTP: a test needs no Kafka client of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final, Literal

from kwire.testing.errors import ControlRequestError, WaitTimeoutError
from kwire.testing.http import ControlClient, segment
from kwire.testing.values import Message, Placed, Record, record_of

Isolation = Literal["read_uncommitted", "read_committed"]
Until = int | Callable[[Record], object]

_PORTION: Final = 5_000
_LIMIT: Final = 10_000
# An answer waits this long at most, well within the client's own patience.
_LONGEST_WAIT_S: Final = 5.0
_PAUSE_S: Final = 0.01
_SHOWN_RECORDS: Final = 5
_SHOWN_CHARACTERS: Final = 200


def produce(http: ControlClient, path: str, topic: str, messages: Iterable[Message], *, create: bool) -> list[Placed]:
    """Append and wait until all is committed; the places, in order. path: the cluster's. Raises ControlRequestError."""
    placed: list[Placed] = []
    for portion in _portions(message.body() for message in messages):
        body = {"records": portion, "create": create}
        answer = http.request("POST", f"{path}/topics/{segment(topic)}/records", body)
        placed += [Placed(each["partition"], each["offset"], each["timestamp_ms"]) for each in answer["records"]]
    return placed


def _portions(bodies: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while portion := list(islice(bodies, _PORTION)):
        yield portion


class Reader:
    """Reads on in a topic, portion by portion."""

    def __init__(
        self, http: ControlClient, path: str, topic: str, *, partition: int | None, isolation: Isolation, start: str
    ) -> None:
        self._http = http
        self._topic = topic
        # Offsets that a reader of committed records does not get to: transactions are open there.
        self._undecided = 0
        self._path = f"{path}/topics/{segment(topic)}/records"
        self._query: dict[str, Any] = {
            "partition": partition,
            "isolation": isolation,
            "from": start,
            "limit": _LIMIT,
            "key_format": "base64",
            "value_format": "base64",
        }

    def more(self, *, at_least: int = 1, wait_s: float = 0.0) -> list[Record]:
        """What there is from where we are, once there are so many or the time is over. Raises ControlRequestError."""
        query = {**self._query, "at_least": min(at_least, _LIMIT), "timeout_ms": round(wait_s * 1000)}
        answer = self._http.request("GET", self._path, query=query)
        self._query["from"] = answer["next"]
        self._undecided = sum(
            max(0, each["high_watermark"] - max(each["last_stable_offset"], each["next_offset"]))
            for each in answer["partitions"]
        )
        return [record_of(self._topic, view) for view in answer["records"]]

    def all(self) -> list[Record]:
        """All that is there now."""
        found: list[Record] = []
        while portion := self.more():
            found += portion
        return found

    def until(self, until: Until, timeout_s: float) -> list[Record]:
        """See `Cluster.consume_until`."""
        if not (isinstance(until, int) or callable(until)):
            raise TypeError(f"a number of records or a function of a record is waited for, not {until!r}")
        deadline = time.monotonic() + timeout_s
        found: list[Record] = []
        reason = ""
        while True:
            left_s = max(0.0, deadline - time.monotonic())
            wanted = until - len(found) if isinstance(until, int) else 1
            try:
                wait_s = min(left_s, _LONGEST_WAIT_S) if wanted > 0 else 0.0
                portion = self.more(at_least=max(wanted, 1), wait_s=wait_s)
                reason = ""
            except ControlRequestError as error:
                # The program under test may still create the topic; a leader may be on its way back.
                if error.status not in (404, 503) or error.code == "unknown_cluster":
                    raise
                portion, reason = [], f"; {error}"
                time.sleep(min(_PAUSE_S, left_s))
            if isinstance(until, int):
                found += portion
                if len(found) >= until:
                    return found
            else:
                for record in portion:
                    found.append(record)
                    if until(record):
                        return found
            if left_s <= 0:
                raise WaitTimeoutError(f"{self._told(until, found, timeout_s)}{reason}")

    def _told(self, until: Until, found: list[Record], timeout_s: float) -> str:
        if isinstance(until, int):
            what = f"{len(found)} of {until} records"
        else:
            what = f"{len(found)} records, none of which is what was waited for,"
        held = ""
        if self._undecided and self._query["isolation"] == "read_committed":
            held = f"; {self._undecided} more offsets wait for the end of open transactions"
        last = "".join(f"\n  {_shown(record)}" for record in found[-_SHOWN_RECORDS:])
        return f"{what} in topic {self._topic!r} after {timeout_s:g} s{held}{'; the last ones:' if last else ''}{last}"


def _shown(record: Record) -> str:
    value = "null" if record.value is None else repr(record.value)[1:]
    key = "" if record.key is None else f" key={repr(record.key)[1:]}"
    text = f"{record.partition}@{record.offset}{key} value={value}"
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def as_messages(
    values: Iterable[Any], *, key: Any, headers: Mapping[str, Any] | None, partition: int | None
) -> Iterator[Message]:
    """Plain values with the options that hold for all; a Message says for itself."""
    for value in values:
        yield value if isinstance(value, Message) else Message(value, key, headers or {}, partition)
