"""10,000 connections that asked once and then stay silent: resident memory, and whether the broker still answers."""

from __future__ import annotations

import argparse
import contextlib
import resource
import socket
import sys
import time

from bench import wire
from bench.scenarios import common
from bench.targets import Target

LIMIT_MB = 250.0
_AT_ONCE = 40  # less than the shortest listen backlog
_API_VERSIONS = wire.frame(18, 0, b"")


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--connections", type=int, default=10_000)


def _scenario(target: Target, arguments: argparse.Namespace, outcome: common.Outcome) -> None:
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 200
    count = min(arguments.connections, allowed)
    outcome.figures["connections"] = count
    outcome.figures["rss_before_mb"] = round(target.rss_mb(), 1)
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        socks: list[socket.socket] = []
        while len(socks) < count:
            group = [
                stack.enter_context(wire.connect(target.bootstrap)) for _ in range(min(_AT_ONCE, count - len(socks)))
            ]
            for sock in group:
                sock.sendall(_API_VERSIONS)
            for sock in group:
                wire.read_frame(sock)
            socks += group
        outcome.figures["connect_and_ask_s"] = round(time.monotonic() - began, 2)
        time.sleep(1.0)
        outcome.at_most("rss_mb", target.rss_mb(), LIMIT_MB)
        before = target.cpu_seconds()
        time.sleep(2.0)
        outcome.figures["idle_cpu_percent"] = round((target.cpu_seconds() - before) / 2 * 100, 1)
        with common.probe(target, 2.0) as probe:
            probe.begin()
            outcome.at_most("probe_p99_ms", probe.finish()["p99_ms"], common.PROBE_P99_MS)
        for sock in (socks[0], socks[count // 2], socks[-1]):
            sock.sendall(_API_VERSIONS)
            wire.read_frame(sock)
    time.sleep(1.0)
    outcome.figures["rss_after_closing_mb"] = round(target.rss_mb(), 1)


if __name__ == "__main__":
    sys.exit(common.run(__doc__, _scenario, options=_options))
