"""Bounds on what a client of the HTTP server may ask of it."""

from __future__ import annotations

from attrs import frozen


@frozen
class HttpLimits:
    """Sizes in bytes, times in ms by the machine's clock.

    all_bodies_bytes: of the bodies held at one time, over all connections. idle_ms: between requests of a connection.
    head_ms, body_ms: from the first byte of a request to the last of its head, and of its body. send_ms: for each piece
    of an answer to be taken by the client's socket. keep_alive_ms: how often a stream without events says that it is
    there, which also finds clients that are gone. linger_ms: how long what a refused client still sends is read.
    drain_ms: how long requests at hand may go on when the broker stops.
    """

    head_bytes: int = 32 * 1024
    body_bytes: int = 16 * 1024 * 1024
    all_bodies_bytes: int = 64 * 1024 * 1024
    connections: int = 256
    idle_ms: int = 120_000
    head_ms: int = 10_000
    body_ms: int = 60_000
    send_ms: int = 30_000
    keep_alive_ms: int = 15_000
    linger_ms: int = 1_000
    drain_ms: int = 500
