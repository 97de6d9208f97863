"""Ports for a program that is told where to listen, before it does."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path
from random import SystemRandom
from typing import Final

_RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LINUX_FIRST: Final = 32768
_FROM: Final = 10_000
_FEWEST: Final = 1_000


def free_ports(count: int) -> list[int]:
    """Different TCP ports of 127.0.0.1 that nobody has now.

    From below those that the system deals out: one of these may be somebody's connection, or another's port 0, before
    the program that is to have it has started. Not from `random`: runs side by side may share its seed.
    """
    with ExitStack() as held:
        return [held.enter_context(_held()).getsockname()[1] for _ in range(count)]


def _held() -> socket.socket:
    until = _first_dealt_out()
    if until - _FROM >= _FEWEST:
        for port in SystemRandom().sample(range(_FROM, until), 50):
            try:
                return socket.create_server(("127.0.0.1", port))
            except OSError:
                continue
    return socket.create_server(("127.0.0.1", 0))


def _first_dealt_out() -> int:
    try:
        return int(_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return _LINUX_FIRST
