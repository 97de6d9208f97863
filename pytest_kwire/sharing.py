"""One broker for a run, also where the run has many processes.

With pytest-xdist the controller listens on loopback and starts the broker when the first worker asks. It belongs
to the controller: workers may end and start again. Without tests that use these fixtures there is no broker.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from kwire.testing import Broker

_ASK_TIMEOUT_S: Final = 60.0
# A worker says the secret at once; nobody else may hold up the others.
_SAY_TIMEOUT_S: Final = 5.0
_LINE_BYTES: Final = 4096
TOKEN_VARIABLE: Final = "KWIRE_HTTP_TOKEN"


def find_broker(config: pytest.Config) -> Broker:
    """The broker of this run. Raises KwireError when there is none to be had."""
    from kwire.testing import Broker

    url = config.getoption("kwire_url")
    if url:
        return Broker.connect(url, os.environ.get(TOKEN_VARIABLE))
    address = getattr(config, "workerinput", {}).get("kwire")
    if address is not None:
        url = _ask(address)
        if url is not None:
            return Broker.connect(url)
    return start_broker(config)


def start_broker(config: pytest.Config) -> Broker:
    """Start one as the options and ini settings say."""
    from kwire.testing import Broker

    settings: dict[str, str] = {}
    for line in config.getini("kwire_settings"):
        key, separator, value = line.partition("=")
        if not separator:
            raise pytest.UsageError(f"kwire_settings: {line!r} must be KEY=VALUE, for example num.partitions=6")
        settings[key.strip()] = value.strip()
    return Broker.start(
        settings=settings, log_level=config.getini("kwire_log_level"), log_file=config.getoption("kwire_log")
    )


def worker_prefix(worker: str) -> str:
    """What the names of clusters that a worker makes begin with, among those of one run."""
    return f"{worker}-"


class SharedBroker:
    """In the controller: gives the URL of one broker to whoever knows the secret.

    address: what a worker needs to ask (plain values: it goes through xdist's channel).
    """

    def __init__(self, start: Callable[[], Broker]) -> None:
        self._start = start
        self._lock = threading.Lock()
        self._broker: Broker | None = None
        self._error: str | None = None
        self._closed = False
        self._secret = secrets.token_hex(16)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: dict[str, Any] = {"port": self._listener.getsockname()[1], "secret": self._secret}
        self._thread = threading.Thread(target=self._serve, name="kwire-share", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening, and the broker when one was started."""
        # A thread in accept() does not notice that its socket is closed: it is woken.
        self._closed = True
        with socket.create_connection(self._listener.getsockname()):
            pass
        self._thread.join()
        self._listener.close()
        with self._lock:
            if self._broker is not None:
                self._broker.close()

    def death(self) -> str | None:
        """How the broker ended by itself, if it did."""
        with self._lock:
            return None if self._broker is None else self._broker.death()

    def forget_worker(self, worker: str) -> None:
        """Delete the clusters of a worker that is gone."""
        from kwire.testing import KwireError
        from kwire.testing.http import segment

        with self._lock:
            if self._broker is None:
                return
            http = self._broker.http
        try:
            for cluster in http.request("GET", "/v1/clusters")["clusters"]:
                if cluster["name"].startswith(worker_prefix(worker)):
                    http.request("DELETE", f"/v1/clusters/{segment(cluster['name'])}")
        except KwireError:
            # The run goes on without the memory back.
            return

    def _serve(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            if self._closed:
                connection.close()
                return
            with connection:
                connection.settimeout(_SAY_TIMEOUT_S)
                try:
                    line = connection.makefile("rb").readline(_LINE_BYTES)
                    if secrets.compare_digest(line.strip(), self._secret.encode()):
                        connection.sendall(json.dumps(self._answer()).encode() + b"\n")
                except OSError:
                    # The worker is gone.
                    continue

    def _answer(self) -> dict[str, str]:
        with self._lock:
            if self._broker is None and self._error is None:
                try:
                    self._broker = self._start()
                except Exception as error:
                    # Said to every worker that asks, instead of tried again for each.
                    self._error = str(error)
            return {"url": self._broker.url} if self._broker is not None else {"error": self._error or ""}


def _ask(address: dict[str, Any]) -> str | None:
    """The broker's URL from the controller; None where the controller cannot be reached (on another machine)."""
    try:
        with socket.create_connection(("127.0.0.1", address["port"]), _ASK_TIMEOUT_S) as connection:
            connection.sendall(address["secret"].encode() + b"\n")
            line = connection.makefile("rb").readline(_LINE_BYTES)
    except ConnectionError:
        return None
    if not line:
        return None
    answer = json.loads(line)
    if "url" not in answer:
        from kwire.testing import KwireError

        raise KwireError(answer["error"])
    url = answer["url"]
    assert isinstance(url, str)
    return url
