"""`kwire serve --http`: where it listens, what it refuses, and that nothing is loaded before somebody comes."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urlsplit

import psutil
import pytest

from broker.cli.http_option import http_settings
from broker.clock import SystemClock
from broker.config.sources import SettingsError
from broker.http.door import HttpDoor, HttpSettings
from tests.broker.cli.conftest import start

if TYPE_CHECKING:
    from tests.broker.cli.conftest import Serve

__all__ = ["start"]  # the fixture

Start = Callable[..., "Serve"]


@pytest.mark.parametrize(
    ("text", "token", "host", "port"),
    [
        ("", None, "127.0.0.1", 9380),
        ("0", None, "127.0.0.1", 0),
        ("8080", None, "127.0.0.1", 8080),
        ("localhost:1", None, "localhost", 1),
        ("[::1]:1", None, "::1", 1),
        ("[::1]", None, "::1", 9380),
        ("0.0.0.0:1", "long-enough", "0.0.0.0", 1),
        (":1", "long-enough", "", 1),
    ],
)
def test_where_it_listens(text: str, token: str | None, host: str, port: int) -> None:
    settings = http_settings(text, token)
    assert (settings.host, settings.port, settings.token) == (host, port, token)


@pytest.mark.parametrize(
    ("text", "token", "said"),
    [
        ("x", None, "give a port, or HOST:PORT"),
        ("65536", None, "give a port, or HOST:PORT"),
        ("-1", None, "give a port, or HOST:PORT"),
        ("0.0.0.0:1", None, "give --http-token TOKEN"),
        (":1", None, "give --http-token TOKEN"),
        ("example.org:1", None, "give --http-token TOKEN"),
        ("0", "short", "at least 8 printable ASCII characters"),
        ("0", "line\nbreak", "at least 8 printable ASCII characters"),
    ],
)
def test_what_is_refused(text: str, token: str | None, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        http_settings(text, token)


@pytest.mark.parametrize("host", ["", "0.0.0.0", "127.0.0.1", "localhost", "::1", "::"])
def test_the_url_leads_there(host: str) -> None:
    def no_application(_door: HttpDoor) -> NoReturn:
        raise AssertionError("nobody was to be served")

    try:
        door = HttpDoor(HttpSettings(host, 0, "a-token"), no_application, SystemClock().call_later)
    except OSError:
        pytest.skip("this machine has no IPv6")
    parts = urlsplit(door.url)
    socket.create_connection((parts.hostname, parts.port), timeout=90).close()
    door.close()


def test_the_second_line_of_the_ready_file(start: Start) -> None:
    serve = start("--port", "0", "--ephemeral", "--http", "0")
    serve.read_until("started")
    _, url = serve.ready_file.read_text().splitlines()
    assert f"control plane at {url} " in serve.output
    # Apache Kafka 4.3.1 takes 376 MB at the same point; a sixth of it is the bound.
    assert psutil.Process(serve.process.pid).memory_info().rss < 376_000_000 / 6
    port = int(url.removeprefix("http://127.0.0.1:"))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=90)
    connection.request("GET", "/v1")
    assert json.load(connection.getresponse())["clusters"] == ["default"]
    assert serve.stop() == 0
    connection.close()
    assert "Traceback" not in serve.output


def test_a_taken_port_and_an_open_door_are_refused(start: Start) -> None:
    first = start("--port", "0", "--ephemeral", "--http", "0")
    first.read_until("started")
    port = first.ready_file.read_text().splitlines()[1].rpartition(":")[2]
    second = start("--port", "0", "--http", port)
    assert second.wait() == 1
    assert "choose another with --http PORT" in second.output
    third = start("--port", "0", "--http", "0.0.0.0:0")
    assert third.wait() == 2
    assert "--http-token" in third.output


_PROGRAM = """
import sys
import trio
from broker.config.broker_config import BrokerConfig
from broker.http.door import HttpSettings
from broker.server import serve

def on_ready(addresses, url):
    heavy = ("h11", "msgspec", "rich", "kafka", "yaml", "prometheus_client", "email", "http")
    own = ("broker.control.table", "broker.http.connection", "broker.virtual", "broker.transcript", "broker.faults",
           "broker.interception", "broker.personality", "broker.metrics")
    print([name for name in heavy if name in sys.modules], [name for name in own if name in sys.modules])
    stop.set()

async def main():
    global stop
    stop = trio.Event()
    config = BrokerConfig({"listeners": "PLAINTEXT://127.0.0.1:0", "log.dirs": sys.argv[1]})
    await serve(config, on_ready=on_ready, stop=stop, http=HttpSettings(port=0))

trio.run(main)
"""


def test_nothing_is_loaded_before_the_first_connection(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(tmp_path / "data")], capture_output=True, text=True, timeout=90
    )
    assert done.stdout == "[] []\n", done.stderr
