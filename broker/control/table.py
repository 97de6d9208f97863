"""All endpoints, and the application that serves them. Loaded with the first HTTP connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from broker.control import (
    clock,
    clusters,
    faults,
    groups,
    health,
    metrics,
    nodes,
    partitions,
    records,
    root,
    snapshots,
    topics,
    transcript,
)
from broker.control.errors import explain
from broker.http.application import Application
from broker.http.endpoint import Endpoint
from broker.http.guard import Guard

if TYPE_CHECKING:
    from broker.http.door import HttpDoor

_MODULES: Final = (
    root,
    health,
    metrics,
    clusters,
    snapshots,
    nodes,
    partitions,
    faults,
    clock,
    groups,
    topics,
    records,
    transcript,
)


def table() -> list[Endpoint]:
    """The endpoints of every feature, in the order of the document."""
    return [endpoint for module in _MODULES for endpoint in module.endpoints]


def application(plane: Any, door: HttpDoor) -> Application:
    """Everything a connection needs."""
    settings = door.settings
    return Application(
        plane,
        table(),
        guard=Guard(settings.host, settings.token),
        limits=settings.limits,
        call_later=door.call_later,
        stopping=door.stopping,
        explain=explain,
    )
