"""How a virtual cluster is asked for, and what may be asked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from attrs import field, frozen

from broker.virtual.errors import InvalidSpecError

if TYPE_CHECKING:
    from random import Random

    from broker.contents.model import Contents

MOST_NODES: Final = 100
LONGEST_NAME: Final = 100
LONGEST_RACK: Final = 1000
DATA_DIRECTORY: Final = "/virtual"
AS_VERSION: Final = "kwire.as.version"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
# Where a process is and who it is: not for the clusters in it.
_OF_THE_PROCESS: Final = re.compile(
    r"(node\.id|broker\.id.*|broker\.rack|process\.roles|controller\..*|metadata\.log\.dir|log\.dirs?|listeners|"
    r"listener\..*|advertised\..*|inter\.broker\..*|ssl\..*|sasl\..*|security\..*|"
    r"kwire\.(cluster\.id|nodes|racks|virtual\..*)|"
    r"max\.connections.*|connections\.max\.idle\.ms|queued\.max\.request.*|socket\.request\.max\.bytes)\Z"
)


@frozen
class ClusterSpec:
    """name: None for one that is free. nodes: how many; racks: dealt out to them in turn.

    configs: Kafka's broker settings, over those the process was started with; default.replication.factor is 3, or as
    many as there are nodes, unless told. contents: topics, records and offsets to begin with. as_version: the release
    to be like ("2.8"). seed: of all that is random. now_ms: wall time the cluster's clock begins with; None: the
    machine's. host, ports: where its nodes listen; without ports, or at 0, on free ones.
    """

    name: str | None = None
    nodes: int = 1
    racks: Sequence[str] = ()
    configs: Mapping[str, str] = field(factory=dict)
    contents: Contents | None = None
    as_version: str | None = None
    seed: int | None = None
    now_ms: int | None = None
    host: str = "127.0.0.1"
    ports: Sequence[int] = ()


def check(spec: ClusterSpec) -> None:
    """Raises InvalidSpecError for what can be told without making it."""
    if spec.name is not None:
        check_name(spec.name, "a cluster")
    if not 1 <= spec.nodes <= MOST_NODES:
        raise InvalidSpecError(f"a cluster has 1 to {MOST_NODES} nodes, not {spec.nodes}")
    if len(spec.racks) > spec.nodes:
        raise InvalidSpecError(f"{len(spec.racks)} racks for {spec.nodes} nodes: give one for each at most")
    if any(not 0 < len(rack) <= LONGEST_RACK for rack in spec.racks):
        raise InvalidSpecError(f"a rack has a name of 1 to {LONGEST_RACK} characters")
    if len(spec.ports) > spec.nodes:
        raise InvalidSpecError(f"{len(spec.ports)} ports for {spec.nodes} nodes: give one for each at most")
    if spec.host != "localhost":
        try:
            ip_address(spec.host)
        except ValueError:
            # A name would have to be looked up, for which all clusters would wait.
            raise InvalidSpecError(f"host {spec.host!r} is no IP address: 127.0.0.1, ::1, 0.0.0.0, localhost") from None
    if spec.now_ms is not None and not 0 <= spec.now_ms <= 2**53:
        raise InvalidSpecError(f"now_ms are milliseconds since 1970, from 0 to {2**53}, not {spec.now_ms}")
    refused = sorted(name for name in spec.configs if _OF_THE_PROCESS.match(name))
    if refused:
        raise InvalidSpecError(
            f"{', '.join(refused)} cannot be set for a virtual cluster: its ids, listeners and data are given to it,"
            " and the limits of connections are the process's (kwire serve --set NAME=VALUE)"
        )
    if spec.as_version is not None:
        from broker.personality.releases import RELEASES, UnknownReleaseError, release_line

        try:
            release_line(spec.as_version)
        except UnknownReleaseError as error:
            raise InvalidSpecError(str(error), allowed=RELEASES) from None


def check_name(name: str, what: str) -> None:
    """Raises InvalidSpecError. what: "a cluster", "a snapshot"."""
    if len(name) > LONGEST_NAME or not _NAME.match(name):
        shown = name if len(name) <= LONGEST_NAME else f"{name[:20]}... ({len(name)} characters)"
        raise InvalidSpecError(
            f"{shown!r} cannot name {what}: 1 to {LONGEST_NAME} of a-z, A-Z, 0-9, '.', '_', '-', the first a letter or"
            " a digit"
        )


def free_name(random: Random, prefix: str, taken: Mapping[str, object]) -> str:
    """A short name nobody has: `t-3f2a`."""
    for digits in (4, 4, 4, 4, 6, 8):
        name = f"{prefix}-{random.getrandbits(4 * digits):0{digits}x}"
        if name not in taken:
            return name
    return f"{prefix}-{random.getrandbits(128):032x}"


def settings_of(spec: ClusterSpec, inherited: Mapping[str, str]) -> dict[str, str]:
    """The texts for its BrokerConfig. inherited: what the process was started with."""
    settings = {name: text for name, text in inherited.items() if not _OF_THE_PROCESS.match(name)}
    if spec.nodes > 1:
        # Who asks for several nodes wants to see them fail: topics without a word about it are to outlast that.
        settings.setdefault("default.replication.factor", str(min(3, spec.nodes)))
    settings.update(spec.configs)
    host = f"[{spec.host}]" if ":" in spec.host else spec.host
    settings["listeners"] = f"PLAINTEXT://{host}:0"
    settings["log.dirs"] = DATA_DIRECTORY
    if spec.as_version is not None:
        settings[AS_VERSION] = spec.as_version
    return settings
