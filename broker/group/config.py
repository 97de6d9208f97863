"""The settings of the group coordinator, as the state machines take them."""

from __future__ import annotations

from attrs import frozen

NEW_MEMBER_JOIN_TIMEOUT_MS = 5 * 60 * 1000


@frozen(slots=True)
class GroupConfig:
    """Server settings of the same names with dots; defaults are Kafka's but for the rebalance delay.

    offsets_commit_timeout_ms: how long an answer waits for its records to be committed.
    offsets_topic_compression_codec: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd.
    group_initial_rebalance_delay_ms: kwire's default is 0, so that one consumer's first poll does not wait 3 s.
    """

    group_min_session_timeout_ms: int = 6_000
    group_max_session_timeout_ms: int = 1_800_000
    group_initial_rebalance_delay_ms: int = 0
    group_max_size: int = 2**31 - 1
    offset_metadata_max_bytes: int = 4096
    offsets_retention_minutes: int = 10_080
    offsets_retention_check_interval_ms: int = 600_000
    offsets_commit_timeout_ms: int = 5_000
    offsets_topic_compression_codec: int = 0
    new_member_join_timeout_ms: int = NEW_MEMBER_JOIN_TIMEOUT_MS

    @property
    def offsets_retention_ms(self) -> int:
        return self.offsets_retention_minutes * 60_000
