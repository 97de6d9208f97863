"""How kwire's own commands reach the HTTP door, and what they say when it is not there or refuses."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import click
import pytest
from click.testing import CliRunner

from broker.cli.control import ControlDoor, control_options
from broker.cli.output import Column, Output, output_options


@click.command()
@control_options
@output_options
def shown(door: ControlDoor, output: Output) -> None:
    output.rows([door.get("things", "a/b", query={"n": 1})], [Column("id", "Id")])


@click.command()
@control_options
def changed(door: ControlDoor) -> None:
    door.post("things", body={"x": 1})
    door.put("things", body=None)
    door.delete("things")


@contextmanager
def answering(status: int, answer: Any) -> Iterator[tuple[str, list[tuple[str, str, str | None, bytes]]]]:
    """A server that answers everything so: its URL, and the requests it got (method, path, token, body)."""
    requests: list[tuple[str, str, str | None, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            requests.append((self.command, self.path, self.headers.get("Authorization"), body))
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requests
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_requests() -> None:
    with answering(200, {"id": 5}) as (url, requests):
        result = CliRunner().invoke(shown, ["--http", url, "--cluster", "my shop", "--token", "secret"])
        assert (result.exit_code, result.stdout) == (0, '{"id":5}\n')
        assert requests == [("GET", "/v1/clusters/my%20shop/things/a%2Fb?n=1", "Bearer secret", b"")]
        requests.clear()
        environment = {"KWIRE_HTTP": url.removeprefix("http://"), "KWIRE_CLUSTER": "c", "KWIRE_HTTP_TOKEN": "t"}
        assert CliRunner().invoke(changed, env=environment).exit_code == 0
        assert [(method, path, token) for method, path, token, _ in requests] == [
            (method, "/v1/clusters/c/things", "Bearer t") for method in ("POST", "PUT", "DELETE")
        ]
        assert json.loads(requests[0][3]) == {"x": 1}


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [
        (
            404,
            {"code": "unknown_cluster", "message": "there is no cluster 'x'", "allowed": ["default", "t-1"]},
            ["kwire: there is no cluster 'x'\n", "Allowed: default, t-1"],
        ),
        (401, {"code": "unauthorized", "message": "a token is wanted"}, ["a token is wanted", "--token"]),
        (404, {"code": "unknown_path", "message": "there is no /v1/x"}, ["does not know this", "older kwire"]),
        (400, {"code": "invalid_rule", "message": "no"}, ["kwire: no\n"]),
    ],
)
def test_refusals(status: int, error: dict[str, Any], said: list[str]) -> None:
    with answering(status, {"error": error}) as (url, _):
        result = CliRunner().invoke(shown, ["--http", url])
    assert result.exit_code == 1
    for text in said:
        assert text in result.stderr


def test_nobody_answers() -> None:
    with socket.socket() as held:  # and does not listen
        held.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{held.getsockname()[1]}"
        result = CliRunner().invoke(shown, ["--http", f"http://{address}"])
    assert result.exit_code == 3
    assert address in result.stderr
    assert "`kwire serve --http`" in result.stderr
    assert "other Kafkas have nothing like it" in result.stderr


@pytest.mark.parametrize("answer", ["text", [1], 5])
def test_what_answers_is_no_kwire(answer: Any) -> None:
    with answering(200, answer) as (url, _):
        result = CliRunner().invoke(changed, ["--http", url])
    assert result.exit_code == 3
    assert f"what answers at {url} is no kwire" in result.stderr


def test_a_strangers_error_is_no_kwires() -> None:
    with answering(404, ["<html>"]) as (url, _):
        result = CliRunner().invoke(shown, ["--http", url])
    assert result.exit_code == 3
    assert f"what answers at {url} is no kwire" in result.stderr
    assert "KWIRE_HTTP" in result.stderr
