"""Opens the HTTP door of a process that serves. Light: the endpoints are loaded with the first connection."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from broker.http.door import HttpDoor, HttpSettings
from broker.start_error import StartError

if TYPE_CHECKING:
    from broker.cluster import Cluster
    from broker.config.broker_config import BrokerConfig
    from broker.http.application import Application
    from broker.server import Server


def open_door(settings: HttpSettings, server: Server, cluster: Cluster, config: BrokerConfig) -> HttpDoor:
    """Bind; `run` the door on the loop. cluster: the process's own one, `default`. Raises StartError."""

    def application(door: HttpDoor) -> Application:
        from broker.control.plane import ControlPlane
        from broker.control.table import application as made
        from broker.virtual.registry import VirtualClusters

        return made(ControlPlane(server, VirtualClusters(server, cluster, config), config), door)

    try:
        return HttpDoor(settings, application, server.host.call_later)
    except UnicodeError:
        raise StartError(f"cannot listen for HTTP on {settings.host!r}: that is no host's name") from None
    except OSError as error:
        advice = "choose another with --http PORT, or 0 for any free one"
        if error.errno != errno.EADDRINUSE:
            advice = "choose an address of this machine with --http HOST:PORT"
        raise StartError(
            f"cannot listen for HTTP on {settings.host or '*'}:{settings.port}: {error.strerror}; {advice}"
        ) from None
