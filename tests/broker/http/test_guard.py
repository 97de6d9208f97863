"""Who may ask: Host, Origin, the token."""

from __future__ import annotations

import trio

from broker.http.door import HttpSettings
from tests.broker.http_helpers import served
from tests.broker.http_table import ENDPOINTS


def test_who_may_ask() -> None:
    async def main() -> None:
        async with served(ENDPOINTS) as door:
            for host in ("localhost", "localhost:9380", "127.0.0.1:1", "[::1]:9380", "LOCALHOST"):
                assert (await door.request("GET", "/text", host=host)).status == 200, host
            for host in (
                "evil.example",
                "127.0.0.1.evil.example",
                "localhost.evil.example:80",
                "192.168.0.1",
                "localhost:1@evil.example",
                "[::1]x",
                "[fe80::1]",
            ):
                answer = await door.request("GET", "/text", host=host)
                assert (answer.status, answer.error["code"]) == (403, "foreign_host"), host
                assert (await door.request("GET", "/unknown", host=host)).status == 403
            same = [("Origin", "http://localhost:9380")]
            assert (await door.request("GET", "/text", headers=same, host="localhost:9380")).status == 200
            for origin in ("http://evil.example", "null", "https://localhost:9380", "http://localhost:1"):
                answer = await door.request("GET", "/text", headers=[("Origin", origin)], host="localhost:9380")
                assert (answer.status, answer.error["code"]) == (403, "foreign_origin"), origin
                assert "access-control-allow-origin" not in answer.headers

    trio.run(main)


def test_the_token() -> None:
    async def main() -> None:
        async with served(ENDPOINTS, HttpSettings(port=0, token="correct-horse")) as door:
            for headers in (
                [],
                [("Authorization", "Bearer correct-hors")],
                [("Authorization", "Basic correct-horse")],
                [("Authorization", "Bearer correct-horse correct-horse")],
            ):
                answer = await door.request("GET", "/text", headers=headers)
                assert (answer.status, answer.error["code"]) == (401, "unauthorized")
                assert answer.headers["www-authenticate"] == 'Bearer realm="kwire"'
            good = [("Authorization", "Bearer correct-horse")]
            assert (await door.request("GET", "/text", headers=good)).status == 200
            # Reached by a name we do not know: a container's.
            assert (await door.request("GET", "/text", headers=good, host="kwire:9380")).status == 200
            assert (await door.request("GET", "/open", host="kwire:9380")).status == 200
            assert (await door.request("GET", "/unknown")).status == 401

    trio.run(main)
