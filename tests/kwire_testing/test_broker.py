"""A broker that runs already is connected to; one that wants a token is given it."""

from __future__ import annotations

import pytest

from kwire.testing import Broker, BrokerUnreachableError, ControlRequestError
from tests.kwire_testing.fake_server import Answer, Asked, fake_server


def test_one_that_runs_already_is_not_stopped(broker: Broker) -> None:
    with Broker.connect(broker.url) as connected:
        assert connected.pid is None
        assert connected.log_text() == ""
        assert connected.death() is None
        with connected.create_cluster(name="mine") as cluster:
            assert "mine" in broker.cluster_names()
            assert repr(cluster) == f"Cluster('mine', '{cluster.bootstrap_servers}')"
    assert broker.death() is None
    assert "mine" not in broker.cluster_names()


def test_the_process_own_cluster_has_a_handle(broker: Broker) -> None:
    default = broker.cluster()
    assert default.name == "default"
    with pytest.raises(ControlRequestError, match="default_cluster"):
        default.delete()
    with pytest.raises(ControlRequestError) as caught:
        broker.cluster("no such")
    assert caught.value.code == "unknown_cluster"
    assert "default" in (caught.value.allowed or [])


def test_a_token_is_sent() -> None:
    def answer(asked: Asked) -> Answer:
        known = asked.headers.get("authorization") == "Bearer secret"
        return (
            Answer({"clusters": 0})
            if known
            else Answer({"error": {"code": "unauthorized", "message": "no token"}}, 401)
        )

    with fake_server(answer) as server:
        Broker.connect(server.url, "secret").close()
        with pytest.raises(ControlRequestError, match="unauthorized"):
            Broker.connect(server.url)


def test_what_is_no_kwire_is_said() -> None:
    with (
        fake_server(lambda _asked: Answer(b"{", content_type="application/json")) as server,
        pytest.raises(BrokerUnreachableError, match=r"what answers is no kwire: \{ is no JSON"),
    ):
        Broker.connect(server.url)
