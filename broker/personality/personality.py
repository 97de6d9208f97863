"""One release's manners: its APIs and versions, its features, and where its answers differ.

personality = Personality.of("2.8")     # None for the current release, and for None
lines = personality.narrowed(routes(services), services)
"""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from broker.personality.releases import CURRENT, ordinal, release_line
from broker.personality.settings import BROKERS_DOWN_CONVERSION
from broker.routes import Route, VersionRange
from broker.versions import Versions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from broker.config.broker_config import BrokerConfig
    from broker.controller.controller import Controller
    from broker.services import Services

_TABLE: Final = Path(__file__).parent / "data/api_versions.csv"
_FEATURES: Final = Path(__file__).parent / "data/features.csv"
_PRODUCE: Final = 0

Levels = tuple[int, int]


class Personality:
    """See the module. Immutable; made once for each node.

    release: the line, e.g. "2.8". config: the settings of the broker it is of.
    ranges: API key -> the versions its brokers spoke on a listener for clients.
    """

    def __init__(self, release: str, config: BrokerConfig | None = None) -> None:
        self.release = release
        self.config = config
        self.ranges = _ranges(release)
        self._features = _features(release)

    @classmethod
    def of(cls, version: str | None, config: BrokerConfig | None = None) -> Personality | None:
        """The personality of a release line or of one of its versions. Raises UnknownReleaseError."""
        if version is None:
            return None
        release = release_line(version)
        return None if release == CURRENT else cls(release, config)

    def since(self, release: str) -> bool:
        """Whether what came with `release` is there."""
        return ordinal(self.release) >= ordinal(release)

    @property
    def removed_old_versions(self) -> bool:
        """4.0 removed what clients older than 2.1 spoke. (KIP-896)"""
        return self.since("4.0")

    @property
    def creates_topics_at_once(self) -> bool:
        """With ZooKeeper the broker asked for metadata made the topic, and said LEADER_NOT_AVAILABLE."""
        return not self.since("3.3")

    @property
    def converts_down(self) -> bool:
        """Where the topic says nothing: log.message.downconversion.enable, which came with 2.0."""
        if self.config is None or not self.since("2.0"):
            return True
        return self.config.get_bool(BROKERS_DOWN_CONVERSION)

    @property
    def tells_own_versions(self) -> bool:
        """ApiVersions in an unknown version is answered with the known ones beside the error. (KIP-511)"""
        return self.since("2.4")

    def narrowed(self, lines: Sequence[Route], services: Services) -> list[Route]:
        """The routes of this release: its APIs, in the versions that are served by both."""
        from broker.personality.older_route import OlderRoute

        kept: list[Route] = []
        for line in lines:
            spoken = self.ranges.get(int(line.api_key))
            if spoken is None:
                continue
            # Versions that 4.0 removed have their messages and, where it matters, their handlers.
            first = spoken.first if not self.removed_old_versions else max(spoken.first, line.served.first)
            last = min(spoken.last, line.served.last)
            if first > last:
                continue
            served = VersionRange(first, last)
            advertised = None
            if line.advertised is not None:
                # Since 4.0 Produce is advertised from 0 for a client that looks at it to choose its codecs.
                told = line.advertised.first if self.removed_old_versions and line.api_key == _PRODUCE else first
                advertised = VersionRange(told, last)
            kept.append(
                OlderRoute(
                    line.api_key,
                    served,
                    advertised,
                    line.handler,
                    line.uses,
                    line.shortcut,
                    personality=self,
                    services=services,
                )
            )
        return kept

    def versions(self, controller: Controller) -> Versions:
        """What a node says of itself in ApiVersions."""
        return OlderVersions(controller, self)

    def supported_features(self) -> dict[str, Levels]:
        """In the order Kafka names them; empty before 3.3, where there was no KRaft to have any."""
        return self._features

    def finalized_features(self, finalized: tuple[int, dict[str, int]]) -> tuple[int, dict[str, int]]:
        """What the image has (its epoch, its levels), no higher than this release knows it."""
        epoch, levels = finalized
        supported = self._features
        if not supported:
            return -1, {}
        return epoch, {name: min(level, supported[name][1]) for name, level in levels.items() if name in supported}


class OlderVersions(Versions):
    """ApiVersions of an older release."""

    def __init__(self, controller: Controller, personality: Personality) -> None:
        super().__init__(controller)
        self._personality = personality

    def supported_features(self) -> dict[str, Levels]:
        return self._personality.supported_features()

    def finalized_features(self) -> tuple[int, dict[str, int]]:
        return self._personality.finalized_features(super().finalized_features())


@cache
def _ranges(release: str) -> Mapping[int, VersionRange]:
    return {int(row["key"]): VersionRange.parse(row[release]) for row in _rows(_TABLE) if row[release]}


def _features(release: str) -> dict[str, Levels]:
    found = {}
    for row in _rows(_FEATURES):
        if text := row.get(release):
            levels = VersionRange.parse(text)
            found[row["feature"]] = (levels.first, levels.last)
    return found


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
