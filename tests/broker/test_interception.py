"""What stands around the requests of a running cluster: order, what each act does, and that nothing of it stays."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
import trio

from broker.clock import ManualClock
from broker.deferred import Deferred
from broker.handlers.records.produce_shape import ProduceShape
from broker.interception import Exchange
from kwire.error_codes import ErrorCode
from kwire.messages.api_versions import ApiVersionsRequest, ApiVersionsResponse
from kwire.messages.fetch import FetchResponse
from kwire.messages.metadata import MetadataRequest
from kwire.messages.produce import ProduceRequest, ProduceResponse
from kwire.records import iter_batches, verify_crc
from tests.broker.cluster_helpers import Running, fetch_request, produce_request, running_server
from tests.broker.server_helpers import settled


class _Log:
    """Notes what it is asked, under a name."""

    def __init__(self, name: str, seen: list[str]) -> None:
        self.name = name
        self.seen = seen

    def before(self, exchange: Exchange) -> Deferred[None] | None:
        self.seen.append(f"{self.name} before")
        return None

    def after(self, exchange: Exchange) -> Deferred[None] | None:
        self.seen.append(f"{self.name} after")
        return None


class _Act(_Log):
    """Does what it is given."""

    def __init__(self, before: Any = None, after: Any = None) -> None:
        self._before, self._after = before, after

    def before(self, exchange: Exchange) -> Deferred[None] | None:
        return self._before(exchange) if self._before is not None else None

    def after(self, exchange: Exchange) -> Deferred[None] | None:
        return self._after(exchange) if self._after is not None else None


class _Watch:
    """Keeps the exchanges."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        self.kept: list[bytes] = []

    def began(self, exchange: Exchange) -> None:
        if isinstance(exchange.request, ProduceRequest):
            self.kept.append(bytes(exchange.request.topic_data[0].partition_data[0].records or b""))

    def ended(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)


def _shapes(running: Running) -> list[Any]:
    return [connection.shape for connection in running.server.host.connections]


def test_interceptors_stand_in_the_order_they_were_installed(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_server(tmp_path) as running:
            cluster = running.add()
            seen: list[str] = []
            client = await running.connect(cluster)
            first, second = _Log("first", seen), _Log("second", seen)
            cluster.interception.install(first)
            cluster.interception.install(second)
            await client.send(ApiVersionsRequest(), 1)
            assert seen == ["first before", "second before", "second after", "first after"]
            seen.clear()
            answer = ApiVersionsResponse(error_code=ErrorCode.CLUSTER_AUTHORIZATION_FAILED)
            between = _Act(before=lambda exchange: exchange.answer(answer))
            cluster.interception.remove(second)
            cluster.interception.install(between)
            cluster.interception.install(second)
            assert (await client.send(ApiVersionsRequest(), 1)).error_code == ErrorCode.CLUSTER_AUTHORIZATION_FAILED
            assert seen == ["first before", "first after"], "who stands behind the answer is not asked"
            for each in (first, between, second):
                cluster.interception.remove(each)
            seen.clear()
            assert (await client.send(ApiVersionsRequest(), 1)).error_code == 0
            assert seen == []

    trio.run(main)


def test_no_short_way_while_something_is_installed(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_server(tmp_path) as running:
            cluster = running.add()
            client = await running.connect(cluster)
            await client.create_topic("t")
            for _ in range(3):
                assert (await client.produce("t", b"plain")).error_code == 0
            (shape,) = _shapes(running)
            assert isinstance(shape, ProduceShape)
            watch = _Watch()
            cluster.interception.observe(watch)
            for _ in range(3):
                assert (await client.produce("t", b"seen")).error_code == 0
            assert len(watch.exchanges) == 3, "each of them is seen, whatever the connection knew of the last one"
            assert all(b"seen" in kept for kept in watch.kept)
            assert _shapes(running) == [shape], "nothing is learnt meanwhile"
            cluster.interception.stop_observing(watch)
            for _ in range(3):
                assert (await client.produce("t", b"plain again")).error_code == 0
            assert len(watch.exchanges) == 3
            (learnt,) = _shapes(running)
            assert isinstance(learnt, ProduceShape)
            assert learnt is not shape
            assert len(await client.values("t")) == 9

    trio.run(main)


def test_what_an_observer_gets(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_server(tmp_path) as running:
            cluster = running.add()
            client = await running.connect(cluster)
            await client.create_topic("t")
            watch = _Watch()
            cluster.interception.observe(watch)
            await client.produce("t", b"x" * 100)
            await client.send(MetadataRequest(topics=None), 9)
            await client.fetch("t", 0)
            produce, metadata, fetch = watch.exchanges
            assert (produce.api.name, produce.ctx.client_id, produce.outcome) == ("PRODUCE", "test", "answered")
            assert isinstance(produce.response, ProduceResponse)
            assert produce.request_bytes > 100
            assert produce.response_bytes > 20
            assert [topic.name for topic in metadata.response.topics] == ["t"]
            assert isinstance(fetch.response, FetchResponse)
            assert fetch.response_bytes > 100

    trio.run(main)


def test_a_request_waits_on_the_clusters_clock_with_bytes_of_its_own(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_server(tmp_path) as running:
            clock = ManualClock()
            cluster = running.add(clock=clock)
            client, other = await running.connect(cluster), await running.connect(cluster)
            await client.create_topic("t")

            def wait(exchange: Exchange) -> Deferred[None] | None:
                if exchange.ctx.client_id != "slow" or not isinstance(exchange.request, ProduceRequest):
                    return None
                done: Deferred[None] = Deferred()
                clock.call_later(500, lambda: done.resolve(None))
                return done

            watch = _Watch()
            cluster.interception.install(_Act(before=wait))
            cluster.interception.observe(watch)
            client.client_id = "slow"
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.produce, "t", b"slow one")
                while not watch.kept:
                    await other.send(ApiVersionsRequest(), 1)
                for _ in range(5):
                    await other.produce("t", b"quick ones, written over the read buffer")
                assert b"slow one" not in await other.values("t")
                clock.advance(500)
            assert (await other.values("t"))[-1] == b"slow one"
            assert [each.ended_ms - each.began_ms for each in watch.exchanges if each.ctx.client_id == "slow"] == [500]

    trio.run(main)


def test_a_connection_that_closes_while_its_request_is_held_back(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_server(tmp_path) as running:
            cluster = running.add()
            client, other = await running.connect(cluster), await running.connect(cluster)
            await other.create_topic("t")
            held: Deferred[None] = Deferred()
            watch = _Watch()
            act = _Act(before=lambda exchange: held if isinstance(exchange.request, ProduceRequest) else None)
            cluster.interception.install(act)
            cluster.interception.observe(watch)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.produce, "t", b"never")
                while not watch.kept:
                    await other.send(ApiVersionsRequest(), 1)
                nursery.cancel_scope.cancel()
            await client.stream.aclose()
            while not any(each.outcome == "gone" for each in watch.exchanges):
                await other.send(ApiVersionsRequest(), 1)
            held.resolve(None)
            assert await other.values("t") == [], "a request that was never let through is not handled"

    trio.run(main)


def test_dropped_requests_replies_and_connections(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_server(tmp_path) as running:
            cluster = running.add()
            client = await running.connect(cluster)
            await client.create_topic("t")
            watch = _Watch()
            cluster.interception.observe(watch)

            def produced() -> list[str]:
                return [e.outcome for e in watch.exchanges if e.kept is None and e.api.name == "PRODUCE"]

            todo: list[tuple[str, Any]] = [
                ("before", Exchange.drop_request),
                ("after", Exchange.drop_reply),
                ("after", lambda exchange: exchange.close("enough")),
                ("before", lambda exchange: exchange.close("enough")),
                ("after", lambda exchange: exchange.cut(7)),
            ]
            wanted = ["request dropped", "reply dropped", "closed", "closed", "closed"]
            for number, (place, act) in enumerate(todo):
                if client is None:
                    client = await running.connect(cluster)
                interceptor = _Act(**{place: act})
                cluster.interception.install(interceptor)
                await client.send_only(produce_request("t", b"%d" % number), 9)
                if number < 2:
                    await settled(running.server.reactor, lambda: len(produced()) > number, "it was dropped")  # noqa: B023
                    cluster.interception.remove(interceptor)
                    assert (await client.send(ApiVersionsRequest(), 1)).error_code == 0, "the connection goes on"
                    assert client.answered_id == client.correlation_id
                else:
                    with pytest.raises(EOFError):
                        await client.receive(ProduceRequest, 9)
                    cluster.interception.remove(interceptor)
                    client = None  # type: ignore[assignment]
            client = await running.connect(cluster)
            assert produced() == wanted
            assert await client.values("t") == [b"1", b"2", b"4"], "handled, but for what was stopped before"

    trio.run(main)


def test_changed_answers_and_bytes(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_server(tmp_path) as running:
            cluster = running.add()
            client = await running.connect(cluster)
            await client.create_topic("t")
            await client.produce("t", b"value")

            def flip(body: bytearray) -> bytearray:
                body[-20] ^= 0xFF
                return body

            def after(exchange: Exchange) -> None:
                if isinstance(exchange.response, FetchResponse):
                    exchange.change_bytes(flip)
                elif exchange.api.name == "METADATA":
                    changed = exchange.response
                    changed.controller_id = 77
                    exchange.response = changed

            cluster.interception.install(_Act(after=after))
            assert (await client.send(MetadataRequest(topics=None), 9)).controller_id == 77
            plain = await running.connect(running.add("other"))
            assert (await plain.send(MetadataRequest(topics=None), 9)).controller_id == 1, "another cluster's"
            answer = await client.send(fetch_request("t", 0), 12)
            records = answer.responses[0].partitions[0].records
            (header,) = iter_batches(bytes(records))
            assert not verify_crc(bytes(records), header)

    trio.run(main)


def test_an_api_versions_nobody_knows_is_seen_too(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_server(tmp_path) as running:
            cluster = running.add()
            client = await running.connect(cluster)
            watch = _Watch()
            cluster.interception.observe(watch)
            # v99: as a client of the future would ask; the answer is in v0
            await client.stream.send_all(bytes.fromhex("0000000d 0012 0063 00000007 0001 78 00 00"))
            (size,) = struct.unpack(">i", await client._exactly(4))
            data = await client._exactly(size)
            assert struct.unpack_from(">ih", data) == (7, ErrorCode.UNSUPPORTED_VERSION)
            (seen,) = watch.exchanges
            assert (seen.request, seen.outcome, seen.response.error_code) == (None, "answered", 35)

    trio.run(main)


def test_what_is_removed_still_ends_what_it_began(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_server(tmp_path) as running:
            cluster = running.add()
            client, other = await running.connect(cluster), await running.connect(cluster)
            held: Deferred[None] = Deferred()
            began, ended = [], []

            def wait(exchange: Exchange) -> Deferred[None]:
                began.append(exchange)
                return held

            act = _Act(before=wait, after=ended.append)
            cluster.interception.install(act)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.send, ApiVersionsRequest(), 1)
                while not began:
                    await trio.sleep(0)
                cluster.interception.remove(act)
                assert not cluster.interception.active
                await other.send(ApiVersionsRequest(), 1)
                held.resolve(None)
            assert ended == began
            assert len(began) == 1

    trio.run(main)
