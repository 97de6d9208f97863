"""A client of the control plane: JSON over HTTP/1.1, with the standard library alone."""

from __future__ import annotations

import http.client
import json
import os
import select
import threading
import weakref
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from kwire.testing.errors import BrokerUnreachableError, ControlRequestError, KwireError
from kwire.testing.events import EventStream

DEFAULT_TIMEOUT_S: Final = 30.0
# More idle connections than this are closed: what many threads used at once is not kept for ever.
_IDLE_LIMIT: Final = 16
_SHOWN_CHARACTERS: Final = 500
_RETRIED: Final = frozenset({"GET", "HEAD"})


def segment(name: object) -> str:
    """`name` as one segment of a path: percent-encoded, slashes too."""
    return quote(str(name), safe="")


class _Connections:
    """Kept connections: each request takes one, or makes one, and gives it back."""

    def __init__(self, host: str, port: int, timeout_s: float) -> None:
        self._host = host
        self._port = port
        self._timeout_s = timeout_s
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()
        self._process = os.getpid()

    def take(self) -> tuple[http.client.HTTPConnection, bool]:
        """A connection, and whether it was used before."""
        with self._lock:
            if self._process != os.getpid():
                # A fork: these connections are our parent's too.
                self._process = os.getpid()
                self._close_idle()
            while self._idle:
                connection = self._idle.pop()
                if _still_open(connection):
                    return connection, True
                connection.close()
        return self.new(), False

    def new(self, timeout_s: float | None = None) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self._host, self._port, timeout=timeout_s or self._timeout_s)

    def give_back(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if connection.sock is not None and len(self._idle) < _IDLE_LIMIT and self._process == os.getpid():
                self._idle.append(connection)
                return
        connection.close()

    def close(self) -> None:
        with self._lock:
            self._close_idle()

    def _close_idle(self) -> None:
        while self._idle:
            self._idle.pop().close()


def _still_open(connection: http.client.HTTPConnection) -> bool:
    """False when the server has closed it: an idle connection has nothing to read but its end."""
    if connection.sock is None:
        return False
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return not poll.poll(0)


class ControlClient:
    """Requests to the control plane of one broker. Threads may share it.

    url: `http://host:port`, as the second line of the ready file has it. token: what `--http-token` was given.
    timeout_s: of connecting, and of each wait for bytes.
    """

    def __init__(self, url: str, token: str | None = None, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme != "http" or not parts.hostname:
            raise KwireError(f"{url!r} is no control URL: http://HOST:PORT is, as `kwire serve --http` prints it")
        self.url = f"http://{parts.netloc.rpartition('@')[2]}"
        self.token = token
        self._prefix = parts.path.rstrip("/")
        self._connections = _Connections(parts.hostname, parts.port or 80, timeout_s)
        # Nothing is left open (or warned of) when nobody closes us.
        self._finalizer = weakref.finalize(self, self._connections.close)

    def __repr__(self) -> str:
        return f"ControlClient({self.url!r})"

    def request(self, method: str, path: str, body: Any = None, query: Mapping[str, Any] | None = None) -> Any:
        """Send a request and return the answer: decoded JSON, text of any other type, None when there is none.

        path: percent-encoded, from the root (`/v1/clusters`). query: values may be str, numbers, bool, None (left out)
        and lists (repeated). body: sent as JSON, `bytes` as they are; None: no body.

        Raises ControlRequestError for an answer that is an error, BrokerUnreachableError when there is no answer.
        """
        payload = None
        headers = self._headers("application/json")
        if body is not None:
            raw = isinstance(body, bytes)
            payload = body if raw else json.dumps(body, ensure_ascii=False).encode()
            headers["Content-Type"] = "application/octet-stream" if raw else "application/json"
        response, data = self._exchange(method, self._target(path, query), payload, headers)
        return _answer(response.status, response.headers.get_content_type(), data)

    def events(
        self, path: str, query: Mapping[str, Any] | None = None, *, timeout_s: float | None = None
    ) -> EventStream:
        """Subscribe to server-sent events: an iterator of ServerSentEvent, to be closed (or used with `with`).

        timeout_s: the longest silence, keep-alive comments included; TimeoutError after it.
        """
        connection = self._connections.new(timeout_s)
        try:
            connection.request("GET", self._target(path, query), headers=self._headers("text/event-stream"))
            response = connection.getresponse()
            kind = response.headers.get_content_type()
            if response.status != 200:
                _answer(response.status, kind, response.read())
            if kind != "text/event-stream":
                raise BrokerUnreachableError(f"what answers at {self.url} is no kwire: {kind} where events should be")
            return EventStream(connection, response)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise self._unreachable(error) from error
        except BaseException:
            connection.close()
            raise

    def close(self) -> None:
        """Close the kept connections; the client can be used again."""
        self._connections.close()

    def _exchange(
        self, method: str, target: str, payload: bytes | None, headers: dict[str, str]
    ) -> tuple[http.client.HTTPResponse, bytes]:
        while True:
            connection, used = self._connections.take()
            try:
                connection.request(method, target, body=payload, headers=headers)
                response = connection.getresponse()
                data = response.read()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                if used and method in _RETRIED and not isinstance(error, TimeoutError):
                    continue
                raise self._unreachable(error) from error
            except BaseException:
                # Interrupted in the midst of an exchange: what comes next on it would be this answer.
                connection.close()
                raise
            self._connections.give_back(connection)
            return response, data

    def _headers(self, accept: str) -> dict[str, str]:
        headers = {"Accept": accept}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        return headers

    def _target(self, path: str, query: Mapping[str, Any] | None) -> str:
        pairs = list(_pairs(query or {}))
        return f"{self._prefix}{path}" + (f"?{urlencode(pairs)}" if pairs else "")

    def _unreachable(self, error: Exception) -> BrokerUnreachableError:
        reason = str(error) or type(error).__name__
        if isinstance(error, TimeoutError):
            return BrokerUnreachableError(f"no answer from {self.url} in time: {reason}")
        return BrokerUnreachableError(
            f"no kwire answers at {self.url}: {reason}. Does it run, and with `kwire serve --http`?"
        )


def _pairs(query: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in query.items():
        for each in value if isinstance(value, list | tuple) else [value]:
            if each is not None:
                yield key, str(each).lower() if isinstance(each, bool) else str(each)


def _answer(status: int, content_type: str, data: bytes) -> Any:
    decoded: Any = None
    if content_type == "application/json" and data:
        try:
            decoded = json.loads(data)
        except ValueError:
            raise BrokerUnreachableError(f"what answers is no kwire: {_shown(data)} is no JSON") from None
    elif data:
        decoded = data.decode("utf-8", "replace")
    if 200 <= status < 300:
        return decoded
    error = decoded.get("error") if isinstance(decoded, dict) else None
    if isinstance(error, dict):
        raise ControlRequestError(
            status, str(error.get("code", "")), str(error.get("message", "")), error.get("allowed")
        )
    raise ControlRequestError(status, "http", f"HTTP status {status}: {_shown(data)}")


def _shown(data: bytes) -> str:
    return " ".join(data[:_SHOWN_CHARACTERS].decode("utf-8", "replace").split()) or "(nothing)"
