"""Limits of the process as a whole."""

from __future__ import annotations

from broker.config.broker_config import BrokerConfig
from broker.reactor import Reactor
from broker.server import Server


def test_max_connections_may_change_while_it_runs() -> None:
    config = BrokerConfig({"max.connections": "7"})
    reactor = Reactor()
    server = Server(reactor, config)
    try:
        assert server.host.max_connections == 7
        config.set_dynamic({"max.connections": "5"}, {})
        assert server.host.max_connections == 5
        config.set_dynamic({}, {})
        assert server.host.max_connections == 7
    finally:
        server.host.close()
        reactor.close()
