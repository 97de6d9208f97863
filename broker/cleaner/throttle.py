"""Keeps what a cleaning reads and writes below so many bytes a second  (Kafka: Throttler)."""

from __future__ import annotations

from typing import Final

# What is saved up by being slower may be spent at once only for this long.
_WINDOW_MS: Final = 300.0
# Less is not worth going to sleep for; it is not forgotten.
_SHORTEST_MS: Final = 1.0


class Throttle:
    """Counts bytes against a rate. Without clock: the caller says what time it is and waits as long as told."""

    __slots__ = ("_bytes_per_ms", "_due_ms")

    def __init__(self, bytes_per_second: float, now_ms: float) -> None:
        self._bytes_per_ms = bytes_per_second / 1000.0
        self._due_ms = now_ms
        """When all bytes noted so far would have passed at the rate."""

    def note(self, size_bytes: int, now_ms: float) -> float:
        """``size_bytes`` more; for how long to wait before the next, in milliseconds."""
        if self._bytes_per_ms <= 0:
            return _WINDOW_MS
        self._due_ms = max(self._due_ms, now_ms - _WINDOW_MS) + size_bytes / self._bytes_per_ms
        wait_ms = self._due_ms - now_ms
        return wait_ms if wait_ms >= _SHORTEST_MS else 0.0
