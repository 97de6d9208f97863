"""A table of endpoints for the tests of the HTTP server, and what they share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
import trio
from msgspec import Meta

from broker.http.door import HttpSettings
from broker.http.endpoint import Call, ControlError, Endpoint, Text
from broker.http.limits import HttpLimits
from tests.broker.http_helpers import Door


class Thing(msgspec.Struct, forbid_unknown_fields=True):
    """What the tests send."""

    name: str
    size: Annotated[int, Meta(ge=0, le=9)] = 0


class ThingQuery(msgspec.Struct, forbid_unknown_fields=True):
    """What they ask."""

    times: Annotated[int, Meta(ge=1)] = 1
    tags: list[str] = []
    loud: bool = False
    most: int | None = None
    word: str | None = None


def echo(call: Call, body: Thing) -> Thing:
    return body


def ask(call: Call) -> dict[str, Any]:
    query: ThingQuery = call.query
    return {"times": query.times, "tags": query.tags, "loud": query.loud, "id": call.path["id"], "word": query.word}


def fail(call: Call) -> None:
    raise RuntimeError("broken on purpose")


def refuse(call: Call) -> None:
    raise ControlError(409, "in_the_way", "there is one already", allowed=["another"])


def text(call: Call) -> Text:
    return Text("a 1\n")


def nothing(call: Call) -> None:
    return None


ENDPOINTS = [
    Endpoint("POST", "/things", echo, body=Thing, answer=Thing, status=201),
    Endpoint("GET", "/things/{id}", ask, query=ThingQuery, answer=dict),
    Endpoint("DELETE", "/things/{id}", nothing),
    Endpoint("GET", "/fail", fail, answer=Thing),
    Endpoint("GET", "/refuse", refuse, answer=Thing),
    Endpoint("GET", "/text", text, answer=Text),
    Endpoint("GET", "/open", text, answer=Text, open=True),
]


def settings(**limits: int) -> HttpSettings:
    return HttpSettings(port=0, limits=HttpLimits(**limits))


async def raw(door: Door, data: bytes) -> bytes:
    """All that is answered to these bytes, until the server closes."""
    stream = await trio.open_tcp_stream("127.0.0.1", door.door.port)
    async with stream:
        await stream.send_all(data)
        found = b""
        while part := await stream.receive_some(65536):
            found += part
        return found


async def until(true: Callable[[], object]) -> None:
    while not true():
        await trio.lowlevel.checkpoint()


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])
