"""The controller's side of a shared broker, without xdist: it starts when the first one asks."""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from typing import Any, cast

import pytest
from attrs import Factory, define

from kwire.testing import Broker, BrokerStartError, ControlClient, KwireError
from pytest_kwire import sharing
from pytest_kwire.sharing import SharedBroker
from tests.kwire_testing.fake_server import Answer, Asked, fake_server

NOBODY = "http://127.0.0.1:1"


@define
class FakeBroker:
    url: str = "http://127.0.0.1:9"
    http: ControlClient = Factory(lambda: ControlClient(NOBODY))
    closed: int = 0

    def close(self) -> None:
        self.closed += 1

    def death(self) -> str | None:
        return "it died"


def asked(shared: SharedBroker) -> str | None:
    return sharing._ask(shared.address)


def test_it_starts_when_the_first_asks_and_only_once() -> None:
    started: list[FakeBroker] = []

    def start() -> Broker:
        started.append(FakeBroker())
        return cast("Broker", started[-1])

    shared = SharedBroker(start)
    assert started == []
    assert shared.death() is None
    assert [asked(shared), asked(shared)] == ["http://127.0.0.1:9"] * 2
    assert shared.death() == "it died"
    shared.close()
    (broker,) = started
    assert broker.closed == 1


def test_nobody_asked_nothing_was_started() -> None:
    shared = SharedBroker(lambda: pytest.fail("started"))
    shared.close()
    assert asked(shared) is None


def test_why_it_cannot_start_is_told_to_each_and_it_is_not_tried_again() -> None:
    tries: list[int] = []

    def start() -> Broker:
        tries.append(1)
        raise BrokerStartError("no room")

    shared = SharedBroker(start)
    for _ in range(2):
        with pytest.raises(KwireError, match="no room"):
            asked(shared)
    shared.close()
    assert len(tries) == 1


@pytest.mark.parametrize("line", [b"\n", b"guess\n", b"x" * 10_000 + b"\n"])
def test_who_does_not_know_the_secret_learns_nothing(line: bytes) -> None:
    shared = SharedBroker(lambda: pytest.fail("started"))
    with socket.create_connection(("127.0.0.1", shared.address["port"])) as connection:
        connection.sendall(line)
        # Reset when it did not read all we sent.
        with suppress(ConnectionResetError):
            assert connection.recv(100) == b""
    shared.close()


def test_the_clusters_of_a_worker_that_crashed_are_deleted() -> None:
    clusters = [{"name": name} for name in ("default", "gw1-a", "gw10-a", "gw0-gw1-a", "gw1-b")]

    def answer(request: Asked) -> Answer:
        return Answer({"clusters": clusters}) if request.method == "GET" else Answer(b"", 204)

    with fake_server(answer) as server:
        broker: Any = FakeBroker(http=ControlClient(server.url))
        shared = SharedBroker(lambda: broker)
        shared.forget_worker("gw1")
        assert server.asked == []
        asked(shared)
        shared.forget_worker("gw1")
        deleted = [request.target for request in server.asked if request.method == "DELETE"]
        assert deleted == ["/v1/clusters/gw1-a", "/v1/clusters/gw1-b"]
        broker.http.close()
        shared.close()


def test_a_crashed_worker_whose_broker_is_gone_too_does_not_stop_the_run() -> None:
    broker: Any = FakeBroker()
    shared = SharedBroker(lambda: broker)
    asked(shared)
    shared.forget_worker("gw1")
    shared.close()


def test_the_address_goes_through_xdists_channel() -> None:
    shared = SharedBroker(lambda: pytest.fail("started"))
    assert json.loads(json.dumps(shared.address)) == shared.address
    shared.close()
