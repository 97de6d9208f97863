"""Server-sent events, as the WHATWG's HTML standard frames them (section "Server-sent events")."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Final, Self

from attrs import frozen

from kwire.testing.errors import BrokerUnreachableError

_READ_BYTES: Final = 65536


@frozen
class ServerSentEvent:
    """One event. data: decoded JSON, or the text where it is none."""

    data: Any
    event: str = "message"
    id: str | None = None


class EventStream:
    """The events of one subscription, in order; ends when the broker ends it."""

    def __init__(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
        self._connection = connection
        self._response = response
        self._events = self._read()

    def __iter__(self) -> Iterator[ServerSentEvent]:
        return self

    def __next__(self) -> ServerSentEvent:
        return next(self._events)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """End the subscription."""
        self._response.close()
        self._connection.close()

    def _read(self) -> Iterator[ServerSentEvent]:
        parser = EventParser()
        while True:
            try:
                data = self._response.read1(_READ_BYTES)
            except TimeoutError:
                self.close()
                raise
            except (OSError, http.client.HTTPException) as error:
                self.close()
                raise BrokerUnreachableError(f"the stream of events broke: {error}") from error
            if not data:
                self.close()
                return
            yield from parser.feed(data)


class EventParser:
    """Cuts events from bytes that come in any portions. An event that the stream's end cuts off is dropped."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[str] = []
        self._event = ""
        self._id: str | None = None

    def feed(self, data: bytes) -> Iterator[ServerSentEvent]:
        """The events that `data` completes."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            event = self._line(line.rstrip(b"\r").decode("utf-8", "replace"))
            if event is not None:
                yield event

    def _line(self, line: str) -> ServerSentEvent | None:
        if not line:
            return self._complete()
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self._data.append(value)
        elif field == "event":
            self._event = value
        elif field == "id":
            self._id = value
        return None

    def _complete(self) -> ServerSentEvent | None:
        data, event = self._data, self._event
        self._data, self._event = [], ""
        if not data:
            return None
        text = "\n".join(data)
        try:
            decoded = json.loads(text)
        except ValueError:
            decoded = text
        return ServerSentEvent(decoded, event or "message", self._id)
