"""The settings of the cleaner, as they are in force when asked  (Kafka: CleanerConfig).

All but ``log.cleaner.enable`` may be changed while the broker runs; a cleaning under way keeps those it began with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import define

if TYPE_CHECKING:
    from broker.config.broker_config import BrokerConfig

# An endless pause of nothing would be a busy loop.
_SHORTEST_BACKOFF_MS: Final = 10
# Kafka's map is one Java array at most.
_MAX_MAP_BYTES: Final = 2**31 - 1


@define(slots=True, frozen=True)
class CleanerSettings:
    """``map_bytes``, ``io_buffer_bytes`` and ``bytes_per_second`` are one cleaning's share."""

    enabled: bool
    threads: int
    backoff_ms: int
    map_bytes: int
    map_load_factor: float
    io_buffer_bytes: int
    bytes_per_second: float

    @classmethod
    def of(cls, config: BrokerConfig) -> CleanerSettings:
        threads = config.get_int("log.cleaner.threads")
        share = max(threads, 1)
        return cls(
            config.get_bool("log.cleaner.enable"),
            threads,
            max(config.get_int("log.cleaner.backoff.ms"), _SHORTEST_BACKOFF_MS),
            min(config.get_int("log.cleaner.dedupe.buffer.size") // share, _MAX_MAP_BYTES),
            float(config.get("log.cleaner.io.buffer.load.factor")),
            config.get_int("log.cleaner.io.buffer.size") // share,
            float(config.get("log.cleaner.io.max.bytes.per.second")) / share,
        )
