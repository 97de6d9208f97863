"""Frames that are no requests: each closes its own connection only, with one log line that says what was wrong."""

from __future__ import annotations

import argparse
import socket
import struct
import sys
import time

from bench import wire
from bench.scenarios import common
from bench.targets import Target

_CLOSE_SECONDS = 5.0


def malformed_frames() -> dict[str, bytes]:
    """What is sent, by name. The length field is right unless the name says otherwise."""
    whole = wire.produce_frame("topic", 0, wire.record_batch([b"value"]))
    cut = whole[4:-7]
    huge_array = struct.pack(">ihi", -1, 1000, 0x7FFFFFFF)
    return {
        "negative length": struct.pack(">i", -5) + b"abcde",
        "length beyond the limit": struct.pack(">i", 0x7FFFFFFF) + b"abcde",
        "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "empty frame": struct.pack(">i", 0),
        "shorter than a header": struct.pack(">i", 5) + b"\0\0\0\0\0",
        "unknown api key": wire.frame(4711, 0, b""),
        "unsupported version": wire.frame(3, 99, b""),
        "produce cut short": struct.pack(">i", len(cut)) + cut,
        "metadata with 2^31 topics": wire.frame(3, 1, struct.pack(">i", 0x7FFFFFFF)),
        "produce v3 with 2^31 topics": wire.frame(0, 3, struct.pack(">h", -1) + huge_array[4:]),
        "client id longer than the frame": struct.pack(">ihhih", 10, 3, 1, 1, 0x7FFF),
    }


def _is_closed(sock: socket.socket) -> bool:
    """Whether the broker closes the connection, without an answer, within the patience."""
    sock.settimeout(_CLOSE_SECONDS)
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


def _scenario(target: Target, arguments: argparse.Namespace, outcome: common.Outcome) -> None:
    log = target.directory / "broker.log"

    def lines() -> list[str]:
        return log.read_text(errors="replace").splitlines() if log.exists() else []

    said: dict[str, list[str]] = {}
    with wire.connect(target.bootstrap) as other:
        for name, data in malformed_frames().items():
            before = len(lines())
            with wire.connect(target.bootstrap) as sock:
                sock.sendall(data)
                outcome.holds(f"closed: {name}", _is_closed(sock))
            time.sleep(0.05)
            said[name] = lines()[before:]
            if target.name == "kwire":
                outcome.holds(f"one log line: {name}", len(said[name]) == 1)
            other.sendall(wire.frame(18, 0, b""))
            outcome.holds(f"others served after: {name}", len(wire.read_frame(other)) > 6)
    outcome.figures["log"] = said


if __name__ == "__main__":
    sys.exit(common.run(__doc__, _scenario))
