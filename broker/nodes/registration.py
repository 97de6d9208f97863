"""What a node says of itself when it joins its cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from broker.controller.decisions.brokers import Registration
from broker.controller.image import Endpoint as RegisteredEndpoint
from broker.versions import SUPPORTED_FEATURES

if TYPE_CHECKING:
    from broker.addresses import Endpoint
    from broker.nodes.node import Node
    from log.log_manager import LogManager

_PROTOCOL_NUMBERS: Final = {"PLAINTEXT": 0, "SSL": 1, "SASL_PLAINTEXT": 2, "SASL_SSL": 3}


def registration(node: Node, manager: LogManager, endpoints: Sequence[Endpoint], previous_epoch: int) -> Registration:
    """Its listeners, and the directories that are online, which all nodes share."""
    return Registration(
        broker_id=node.node_id,
        incarnation_id=node.incarnation_id,
        endpoints=tuple(
            RegisteredEndpoint(
                endpoint.listener,
                (endpoint.advertised or (endpoint.bound_host, 0))[0] or endpoint.bound_host,
                (endpoint.advertised or ("", endpoint.bound_port))[1] or endpoint.bound_port,
                _PROTOCOL_NUMBERS[endpoint.protocol],
            )
            for endpoint in endpoints
        ),
        features=SUPPORTED_FEATURES,
        directories=tuple(
            directory.properties.directory_id
            for directory in manager.online_directories
            if directory.properties is not None and directory.properties.directory_id is not None
        ),
        rack=node.rack,
        previous_epoch=previous_epoch,
    )
