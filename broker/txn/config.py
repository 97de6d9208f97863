"""The transaction coordinator's settings, with Kafka's defaults."""

from __future__ import annotations

from attrs import define


@define(slots=True, frozen=True)
class TransactionConfig:
    """All in milliseconds but the switch and the number of partitions, which counts for `__consumer_offsets` while
    there is none. request_timeout_ms: how long an answer waits for its commit."""

    transaction_max_timeout_ms: int = 900_000
    transactional_id_expiration_ms: int = 604_800_000
    transaction_abort_timed_out_transaction_cleanup_interval_ms: int = 10_000
    transaction_remove_expired_transaction_cleanup_interval_ms: int = 3_600_000
    request_timeout_ms: int = 30_000
    transaction_two_phase_commit_enable: bool = False
    offsets_topic_num_partitions: int = 50
