"""1,000 clients that send 100 MB frames a byte a second, and 200 that ask for megabytes and never read, while a probe
produces: resident memory stays under the byte pool + 100 MB, the probe's p99 under 5 ms."""

from __future__ import annotations

import argparse
import contextlib
import socket
import struct
import sys
import threading
import time

from bench import wire
from bench.load import programs
from bench.rows import random_values, topic
from bench.scenarios import common
from bench.targets import Target

POOL_BYTES = 128 * 1024 * 1024
ROOM_MB = 100.0
FRAME_BYTES = 100 * 1000 * 1000
_SETTINGS = {"queued.max.request.bytes": str(POOL_BYTES)}


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--senders", type=int, default=1000)
    parser.add_argument("--fetchers", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=6.0)


def fetch_frame(name: str, max_bytes: int, correlation_id: int) -> bytes:
    """Fetch v4 from offset 0 of partition 0, no waiting."""
    body = struct.pack(">iiiib", -1, 0, 1, max_bytes, 0) + struct.pack(">i", 1)
    body += struct.pack(">h", len(name)) + name.encode() + struct.pack(">iiqi", 1, 0, 0, max_bytes)
    return wire.frame(1, 4, body, correlation_id)


def _drip(socks: list[socket.socket], head: bytes, stop: threading.Event) -> None:
    """The rest of a frame's head first, then zeros, a byte a second on each connection. A closed one is passed over."""
    position = 0
    while not stop.wait(1.0):
        byte = head[position : position + 1] or b"\0"
        position += 1
        for sock in socks:
            with contextlib.suppress(OSError):
                sock.send(byte)


def _scenario(target: Target, arguments: argparse.Namespace, outcome: common.Outcome) -> None:
    values = random_values(1024)
    with contextlib.ExitStack() as stack:
        name = stack.enter_context(topic(target, "unread"))
        with programs.rdkafka(target, "produce", name, count=60_000, warmup=0, values=values) as load:
            load.begin()
            load.finish()
        outcome.figures["rss_before_mb"] = round(target.rss_mb(), 1)
        probe = stack.enter_context(common.probe(target, arguments.seconds))

        head = wire.produce_frame("frame", 0, wire.record_batch([b"x"]))[4:]
        senders = [stack.enter_context(wire.connect(target.bootstrap)) for _ in range(arguments.senders)]
        for sock in senders:
            sock.setblocking(False)
            sock.send(struct.pack(">i", FRAME_BYTES))
        stop = threading.Event()
        dripping = threading.Thread(target=_drip, args=(senders, head, stop), daemon=True)
        dripping.start()
        stack.callback(dripping.join)
        stack.callback(stop.set)
        fetchers = [stack.enter_context(wire.connect(target.bootstrap)) for _ in range(arguments.fetchers)]
        for sock in fetchers:
            sock.sendall(b"".join(fetch_frame(name, 50_000_000, number) for number in range(4)))

        probe.begin()
        peak, end = 0.0, time.monotonic() + arguments.seconds - 0.5
        while time.monotonic() < end:
            peak = max(peak, target.rss_mb())
            time.sleep(0.25)
        result = probe.finish()
        outcome.at_most("peak_rss_mb", peak, POOL_BYTES / 1e6 + ROOM_MB)
        outcome.at_most("probe_p99_ms", result["p99_ms"], common.PROBE_P99_MS)
        outcome.figures["probe_p50_ms"] = result["p50_ms"]
        outcome.figures["probe_requests"] = result["requests"]
        # A probe that is not served at all would have no p99 to miss.
        outcome.holds("probe_served_all_along", result["requests"] > arguments.seconds * 50)


if __name__ == "__main__":
    sys.exit(common.run(__doc__, _scenario, settings=_SETTINGS, options=_options))
