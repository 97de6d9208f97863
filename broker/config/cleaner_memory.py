"""What the settings of the cleaner must be together  (Kafka: KafkaConfig.validateValues, LogCleaner)."""

from __future__ import annotations

from typing import Final

THREADS: Final = "log.cleaner.threads"
BUFFER: Final = "log.cleaner.dedupe.buffer.size"
_LEAST_BYTES: Final = 1024 * 1024


def problem(threads: int, buffer_bytes: int) -> str | None:
    """Why these two do not fit, None when they do."""
    if threads < 1:
        return "Log cleaner threads should be at least 1"
    if buffer_bytes // threads <= _LEAST_BYTES:
        return f"{BUFFER} must be at least 1MB per cleaner thread."
    return None


def change_problem(threads: int, current: int) -> str | None:
    """Why the number of threads may not change so much at once."""
    if threads < current // 2:
        return f"Log cleaner threads cannot be reduced to less than half the current value {current}"
    if threads > current * 2:
        return f"Log cleaner threads cannot be increased to more than double the current value {current}"
    return None
