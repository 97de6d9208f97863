"""The HTTP server with a table of its own: framing, routes, bodies, refusals."""

from __future__ import annotations

import json
import logging

import pytest
import trio

from tests.broker.http_helpers import served
from tests.broker.http_table import ENDPOINTS, raw, settings, status_of


def test_requests_of_one_connection() -> None:
    async def main() -> None:
        async with served(ENDPOINTS) as door:
            client = await door.connect()
            async with client.stream:
                made = await client.request("POST", "/things", {"name": "x", "size": 3})
                assert (made.status, made.json) == (201, {"name": "x", "size": 3})
                found = await client.request("GET", "/things/a%2Fb?times=2&tags=x&tags=y&loud=true&word=null")
                assert found.json == {"times": 2, "tags": ["x", "y"], "loud": True, "id": "a/b", "word": "null"}
                gone = await client.request("DELETE", "/things/1")
                assert (gone.status, gone.body, "content-length" in gone.headers) == (204, b"", False)
                head = await client.request("HEAD", "/things/1")
                assert (head.status, head.body, head.headers["content-length"]) == (200, b"", "55")
                plain = await client.request("GET", "/text")
                assert (plain.headers["content-type"], plain.body) == ("text/plain; charset=utf-8", b"a 1\n")
                refused = await client.request("GET", "/refuse")
                assert refused.status == 409
                assert refused.error == {
                    "code": "in_the_way",
                    "message": "there is one already",
                    "allowed": ["another"],
                }

    trio.run(main)


@pytest.mark.parametrize(
    ("method", "target", "status", "code"),
    [
        ("GET", "/nothing", 404, "unknown_path"),
        ("GET", "/things/", 404, "unknown_path"),
        ("GET", "/things/1/", 404, "unknown_path"),
        ("PUT", "/things/1", 405, "method_not_allowed"),
        ("OPTIONS", "/things/1", 405, "method_not_allowed"),
        ("GET", "/things/%ff", 400, "invalid_path"),
        ("GET", "/things/1?times=0", 400, "invalid_query"),
        ("GET", "/things/1?times=x", 400, "invalid_query"),
        ("GET", "/things/1?times=1&times=2", 400, "invalid_query"),
        ("GET", "/things/1?time=1", 400, "invalid_query"),
        ("GET", "/things/1?most=null", 400, "invalid_query"),
        ("GET", "/things/1?times=%ff", 400, "invalid_query"),
        ("GET", "/text?a=1", 400, "invalid_query"),
    ],
)
def test_refusals_by_the_head(method: str, target: str, status: int, code: str) -> None:
    async def main() -> None:
        async with served(ENDPOINTS) as door:
            client = await door.connect()
            async with client.stream:
                answer = await client.request(method, target)
                assert (answer.status, answer.error["code"]) == (status, code)
                if status == 405:
                    assert answer.headers["allow"] == "DELETE, GET, HEAD"
                # The connection is as good as before.
                assert (await client.request("GET", "/text")).status == 200

    trio.run(main)


@pytest.mark.parametrize(
    ("body", "code", "message", "allowed"),
    [
        (b'{"name": 1}', "invalid_body", "body.name: Expected `str`, got `int`", None),
        (
            b'{"name": "a", "colour": 1}',
            "invalid_body",
            "body: Object contains unknown field `colour`",
            ["name", "size"],
        ),
        (b'{"name": "a", "size": 10}', "invalid_body", "body.size: Expected `int` <= 9", None),
        (b"{}", "invalid_body", "body: Object missing required field `name`", ["name", "size"]),
        (b"", "invalid_body", "body: Object missing required field `name`", ["name", "size"]),
        (b"{", "invalid_json", "the body is not JSON: Input data was truncated", None),
        (b'{"name": "\xff"}', "invalid_json", None, None),
    ],
)
def test_bodies_that_do_not_fit(body: bytes, code: str, message: str | None, allowed: list[str] | None) -> None:
    async def main() -> None:
        async with served(ENDPOINTS) as door:
            answer = await door.request("POST", "/things", body)
            assert (answer.status, answer.error["code"]) == (400, code)
            assert message is None or answer.error["message"] == message
            assert answer.error.get("allowed") == allowed

    trio.run(main)


def test_kinds_of_bodies() -> None:
    async def main() -> None:
        async with served(ENDPOINTS) as door:
            form = [("Content-Type", "application/x-www-form-urlencoded")]
            answer = await door.request("POST", "/things", b"name=x", headers=form)
            assert (answer.status, answer.error["allowed"]) == (415, ["application/json"])
            packed = [("Content-Encoding", "gzip")]
            assert (await door.request("POST", "/things", b"x", headers=packed)).status == 415
            with_charset = [("Content-Type", "application/json; charset=utf-8")]
            assert (await door.request("POST", "/things", b'{"name":"x"}', headers=with_charset)).status == 201
            chunked = (
                b"POST /things HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
                b'Transfer-Encoding: chunked\r\n\r\n5\r\n{"nam\r\n7\r\ne":"y"}\r\n0\r\n\r\n'
            )
            assert (await raw(door, chunked)).endswith(b'{"name":"y","size":0}')
            small = b'{"name": "%s"}' % (b"z" * 2000)
            chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in small)
            head = chunked.partition(b"\r\n\r\n")[0]
            assert b"zzz" in await raw(door, head + b"\r\n\r\n" + chunks + b"0\r\n\r\n")
            assert (await door.request("DELETE", "/things/1", b'{"a":1}')).error["code"] == "invalid_body"

    trio.run(main)


def test_waiting_for_100_continue() -> None:
    async def main() -> None:
        async with served(ENDPOINTS) as door:
            stream = await trio.open_tcp_stream("127.0.0.1", door.door.port)
            async with stream:
                await stream.send_all(
                    b"POST /things HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                    b"Content-Length: 12\r\nExpect: 100-continue\r\n\r\n"
                )
                assert (await stream.receive_some(100)).startswith(b"HTTP/1.1 100 ")
                await stream.send_all(b'{"name":"x"}')
                assert b" 201 " in await stream.receive_some(1000)

    trio.run(main)


def test_what_is_no_http() -> None:
    async def main() -> None:
        async with served(ENDPOINTS, settings(head_bytes=2000)) as door:
            for data, status in (
                (b"\x16\x03\x01 a TLS hello\r\n\r\n", 400),
                (b"GET / HTTP/1.1\r\n\r\n", 400),  # no Host
                (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 3000, 431),
                (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", 400),
                (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
                (b"POST /things HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
                (
                    b"POST /things HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n"
                    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /text HTTP/1.1\r\nHost: localhost\r\n\r\n",
                    400,
                ),
            ):
                answer = await raw(door, data)
                assert status_of(answer) == status, (data[:40], answer)
                assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["message"]  # and nothing after it
            assert (await door.request("GET", "/text")).status == 200

    trio.run(main)


def test_http_1_0_and_the_absolute_form() -> None:
    async def main() -> None:
        async with served(ENDPOINTS) as door:
            assert (await raw(door, b"GET /text HTTP/1.0\r\n\r\n")).endswith(b"a 1\n")
            absolute = b"GET http://localhost/text HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            assert (await raw(door, absolute)).endswith(b"a 1\n")

    trio.run(main)


def test_pipelined_requests() -> None:
    async def main() -> None:
        async with served(ENDPOINTS) as door:
            one = b"GET /text HTTP/1.1\r\nHost: localhost\r\n\r\n"
            last = b"GET /text HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            assert (await raw(door, one * 20 + last)).count(b"a 1\n") == 21

    trio.run(main)


def test_an_unexpected_error_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with served(ENDPOINTS) as door:
            client = await door.connect()
            async with client.stream:
                answer = await client.request("GET", "/fail")
                assert (answer.status, answer.error["code"]) == (500, "internal_error")
                assert "broken on purpose" not in answer.body.decode()
                assert (await client.request("GET", "/text")).status == 200

    with caplog.at_level(logging.INFO):
        trio.run(main)
    (record,) = caplog.records
    assert record.exc_info is not None
    assert "broken on purpose" in str(record.exc_info[1])


def test_requests_are_logged_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with served(ENDPOINTS) as door:
            await door.request("GET", "/text")
            await door.request("GET", "/nothing")

    with caplog.at_level(logging.DEBUG, logger="kwire.http"):
        trio.run(main)
    assert [record.getMessage() for record in caplog.records] == ["GET /text 200", "GET /nothing 404"]
