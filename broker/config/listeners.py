"""Listener addresses: `NAME://HOST:PORT`, several with commas (settings `listeners` and `advertised.listeners`)."""

from __future__ import annotations

import re
from typing import Final

from attrs import frozen

from broker.config.values import InvalidConfigError

_ADDRESS: Final = re.compile(r"(?P<name>[^:/]+)://(?P<host>\[[0-9A-Fa-f:.%]*\]|[^\[\]:/]*):(?P<port>-?\d{1,9})\Z")
_PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")


@frozen
class Address:
    """A listener's name and where it is. host "" stands for every interface; port 0 for any free one."""

    name: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.name}://{host}:{self.port}"


@frozen
class Listener:
    """One listener to open. protocol: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL.

    advertised: what clients are told; None: the address they reached.
    """

    name: str
    host: str
    port: int
    protocol: str
    advertised: Address | None

    @property
    def secure(self) -> bool:
        """True with TLS."""
        return self.protocol in ("SSL", "SASL_SSL")


def parse_addresses(key: str, entries: list[str]) -> list[Address]:
    """Each entry's parts; names in upper case as Kafka's. Raises InvalidConfigError for text and doubles."""
    found: list[Address] = []
    for entry in entries:
        match = _ADDRESS.match(entry)
        if match is None or int(match["port"]) > 65535 or int(match["port"]) < 0:
            raise InvalidConfigError(key, entry, "each entry must be NAME://HOST:PORT with a port from 0 to 65535")
        name = match["name"].upper()
        if any(address.name == name for address in found):
            raise InvalidConfigError(key, entry, f"each listener must have its own name, {name} is there twice")
        found.append(Address(name, match["host"].strip("[]"), int(match["port"])))
    return found


def parse_protocol_map(text: str) -> dict[str, str]:
    """`NAME:PROTOCOL,...` by name. Raises InvalidConfigError."""
    found: dict[str, str] = {}
    for entry in (part.strip() for part in text.split(",")):
        if not entry:
            continue
        name, _, protocol = entry.rpartition(":")
        if not name or protocol.upper() not in _PROTOCOLS:
            raise InvalidConfigError(
                "listener.security.protocol.map",
                entry,
                "each entry must be NAME:PROTOCOL with one of " + ", ".join(_PROTOCOLS),
            )
        found[name.strip().upper()] = protocol.upper()
    return found


def resolve_listeners(
    listeners: list[str], advertised: list[str] | None, protocol_map: str, controller_names: list[str]
) -> list[Listener]:
    """The listeners that clients use, in the order given. Those of the controller are left out: kwire's controller is
    in the broker's process and needs no port. Raises InvalidConfigError."""
    addresses = parse_addresses("listeners", listeners)
    told = {address.name: address for address in parse_addresses("advertised.listeners", advertised or [])}
    protocols = parse_protocol_map(protocol_map)
    of_controller = {name.upper() for name in controller_names}
    ports = [address.port for address in addresses if address.port]
    found: list[Listener] = []
    for address in addresses:
        if address.name in of_controller:
            continue
        protocol = protocols.get(address.name)
        if protocol is None:
            raise InvalidConfigError(
                "listeners", str(address), f"listener.security.protocol.map must say the protocol of {address.name}"
            )
        if ports.count(address.port) > 1 and _port_clash(address, addresses):
            raise InvalidConfigError("listeners", str(address), f"port {address.port} is there twice")
        found.append(Listener(address.name, address.host, address.port, protocol, told.pop(address.name, None)))
    if not found:
        raise InvalidConfigError("listeners", listeners, "at least one listener must be for clients")
    unknown = [name for name in told if name not in of_controller]
    if unknown:
        raise InvalidConfigError(
            "advertised.listeners", str(told[unknown[0]]), f"listeners has no listener {unknown[0]}"
        )
    return found


def _port_clash(address: Address, others: list[Address]) -> bool:
    return any(
        other is not address
        and other.port == address.port
        and (other.host == address.host or "" in (other.host, address.host))
        for other in others
    )
