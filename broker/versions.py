"""What a node says of itself in ApiVersions: its APIs by the route table, the cluster's features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from broker.controller.controller import Controller
    from broker.routes import Route

TRANSACTION_VERSION: Final = "transaction.version"

# In the order Kafka names them. A feature stays at level 0 until what it promises works here.
SUPPORTED_FEATURES: Final = {
    "group.version": (0, 0),
    "transaction.version": (0, 2),
    "streams.version": (0, 0),
    "share.version": (0, 0),
    "kraft.version": (0, 1),
    "eligible.leader.replicas.version": (0, 1),
    "metadata.version": (7, 30),
}

# What a fresh cluster begins with: the newest metadata, and what works.
BOOTSTRAP_FEATURES: Final = {"metadata.version": 30, "eligible.leader.replicas.version": 1, TRANSACTION_VERSION: 2}


class Versions:
    """Filled with the table once that is made (the table names ApiVersions' handler, which uses this)."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._advertised: list[tuple[int, int, int]] = []

    def set_routes(self, lines: Sequence[Route]) -> None:
        self._advertised = sorted(
            (int(line.api_key), line.advertised.first, line.advertised.last)
            for line in lines
            if line.advertised is not None
        )

    def api_versions(self) -> list[tuple[int, int, int]]:
        return self._advertised

    def supported_features(self) -> dict[str, tuple[int, int]]:
        return {name: levels for name, levels in SUPPORTED_FEATURES.items() if levels[1] > 0}

    def finalized_features(self) -> tuple[int, dict[str, int]]:
        """The metadata log's last offset, and the levels above 0, as Kafka lists them.

        A directory that Kafka wrote may hold levels of what is not built here: clients must not believe them.
        """
        levels = {
            name: level
            for name, level in self._controller.image.features.items()
            if 0 < level <= SUPPORTED_FEATURES.get(name, (0, 0))[1]
        }
        return self._controller.log_end_offset - 1, levels
