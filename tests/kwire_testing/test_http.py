"""The control client, against a server that is no broker."""

from __future__ import annotations

import json
import socket
import threading

import pytest

from kwire.testing import Broker, BrokerUnreachableError, ControlClient, ControlRequestError, KwireError
from kwire.testing.http import segment
from tests.kwire_testing.fake_server import Answer, Asked, fake_server


def echo(asked: Asked) -> Answer:
    return Answer({"method": asked.method, "target": asked.target, "body": asked.body.decode()})


def test_a_request_carries_method_path_query_and_a_json_body() -> None:
    with fake_server(echo) as server:
        client = ControlClient(server.url, token="secret")
        query = {"n": 3, "on": True, "names": ["a b", "c&d"], "none": None}
        answer = client.request("POST", f"/v1/clusters/{segment('a/b ü')}", {"x": ["ü", None]}, query)
        assert answer["method"] == "POST"
        assert answer["target"] == "/v1/clusters/a%2Fb%20%C3%BC?n=3&on=true&names=a+b&names=c%26d"
        assert json.loads(answer["body"]) == {"x": ["ü", None]}
        headers = server.asked[0].headers
        assert headers["authorization"] == "Bearer secret"
        assert headers["content-type"] == "application/json"
        client.close()


def test_without_body_nothing_is_sent_and_bytes_go_as_they_are() -> None:
    with fake_server(echo) as server:
        client = ControlClient(server.url)
        client.request("DELETE", "/v1")
        client.request("POST", "/v1", b"\x01raw")
        first, second = server.asked
        assert first.body == b""
        assert "content-type" not in first.headers
        assert "authorization" not in first.headers
        assert (second.body, second.headers["content-type"]) == (b"\x01raw", "application/octet-stream")
        client.close()


def test_one_connection_is_kept() -> None:
    with fake_server(echo) as server:
        client = ControlClient(server.url)
        for _ in range(5):
            client.request("GET", "/v1")
        assert server.connections == 1
        client.close()


def test_a_connection_that_the_server_closed_is_not_used_again() -> None:
    with fake_server(lambda _asked: Answer({}, close=True)) as server:
        client = ControlClient(server.url)
        for _ in range(3):
            assert client.request("GET", "/v1") == {}
        assert server.connections == 3
        client.close()


def test_threads_have_a_connection_each() -> None:
    inside = threading.Barrier(3)

    def answer(_asked: Asked) -> Answer:
        inside.wait(10)
        return Answer({})

    with fake_server(answer) as server:
        client = ControlClient(server.url)
        threads = [threading.Thread(target=client.request, args=("GET", "/v1")) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert server.connections == 3
        client.close()


def test_an_error_has_status_code_message_and_what_is_allowed() -> None:
    body = {"error": {"code": "unknown_cluster", "message": "there is no cluster 'x'", "allowed": ["default", "t-1"]}}
    with fake_server(lambda _asked: Answer(body, status=404)) as server:
        client = ControlClient(server.url)
        with pytest.raises(ControlRequestError) as caught:
            client.request("GET", "/v1/clusters/x")
        error = caught.value
        assert (error.status, error.code, error.message) == (404, "unknown_cluster", "there is no cluster 'x'")
        assert error.allowed == ["default", "t-1"]
        assert str(error) == "there is no cluster 'x' (allowed: default, t-1) [404 unknown_cluster]"
        client.close()


def test_an_error_that_is_no_json_is_shown() -> None:
    with fake_server(lambda _asked: Answer(b"<h1>teapot</h1>", status=418, content_type="text/html")) as server:
        client = ControlClient(server.url)
        with pytest.raises(ControlRequestError, match="HTTP status 418: <h1>teapot</h1>"):
            client.request("GET", "/")
        client.close()


def test_text_is_text_and_nothing_is_none() -> None:
    with fake_server(
        lambda asked: (
            Answer(b"", status=200) if asked.target == "/none" else Answer(b"a 1\n", content_type="text/plain")
        )
    ) as server:
        client = ControlClient(server.url)
        assert client.request("GET", "/metrics") == "a 1\n"
        assert client.request("GET", "/none") is None
        client.close()


def test_nobody_there_is_said_with_what_to_do() -> None:
    with socket.socket() as held:  # and does not listen
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        with pytest.raises(
            BrokerUnreachableError, match=rf"no kwire answers at http://127.0.0.1:{port}.*kwire serve --http"
        ):
            ControlClient(f"http://127.0.0.1:{port}").request("GET", "/v1")


@pytest.mark.parametrize("url", ["https://127.0.0.1:1", "http://", "ftp://x"])
def test_what_is_no_control_url_is_refused(url: str) -> None:
    with pytest.raises(KwireError, match="is no control URL"):
        ControlClient(url)


def test_events_come_decoded_one_by_one() -> None:
    stream = b': hello\n\nevent: request\nid: 7\ndata: {"api": "Fetch"}\n\ndata: two\ndata: lines\n\ndata: cut'
    with fake_server(lambda _asked: Answer(stream, content_type="text/event-stream")) as server:
        client = ControlClient(server.url)
        with client.events("/v1/events", {"api": "Fetch"}) as events:
            told = [(event.event, event.id, event.data) for event in events]
        assert told == [("request", "7", {"api": "Fetch"}), ("message", "7", "two\nlines")]
        assert server.asked[0].target == "/v1/events?api=Fetch"
        assert server.asked[0].headers["accept"] == "text/event-stream"
        client.close()


def test_a_refused_subscription_is_an_error() -> None:
    body = {"error": {"code": "unknown_cluster", "message": "no"}}
    with fake_server(lambda _asked: Answer(body, status=404)) as server:
        client = ControlClient(server.url)
        with pytest.raises(ControlRequestError, match="unknown_cluster"):
            client.events("/v1/clusters/x/transcript/events")
        client.close()


def test_pages_of_others_are_no_kwire() -> None:
    with fake_server(lambda _asked: Answer(b"<h1>hello</h1>", content_type="text/html")) as server:
        with pytest.raises(BrokerUnreachableError, match="is no kwire"):
            Broker.connect(server.url)
        with pytest.raises(BrokerUnreachableError, match="text/html where events should be"):
            ControlClient(server.url).events("/v1/clusters/default/transcript/events")
