"""The Python door of the test plane: a broker in a process of its own, its clusters, faults, clock and transcript.

    from kwire.testing import Broker

    with Broker.start() as broker, broker.create_cluster(topics={"orders": 6}) as cluster:
        ...  # cluster.bootstrap_servers

Standard library and attrs only: the user's interpreter loads nothing of the server.
"""

from kwire.testing.broker import Broker
from kwire.testing.cluster import Cluster
from kwire.testing.errors import (
    BrokerStartError,
    BrokerUnreachableError,
    ControlRequestError,
    KwireError,
    WaitTimeoutError,
)
from kwire.testing.http import ControlClient
from kwire.testing.values import Message, Placed, Record
from kwire.testing.waiting import in_thread, wait_for

__all__ = [
    "Broker",
    "BrokerStartError",
    "BrokerUnreachableError",
    "Cluster",
    "ControlClient",
    "ControlRequestError",
    "KwireError",
    "Message",
    "Placed",
    "Record",
    "WaitTimeoutError",
    "in_thread",
    "wait_for",
]
