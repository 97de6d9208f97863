"""One partition of a fetch: what the consumer wants of it, and what a session remembers having told."""

from __future__ import annotations

from attrs import define


@define(slots=True, eq=False)
class FetchTarget:
    """A line of a fetch request or of a fetch session.

    topic is "" where only the id is known. sent_high_watermark and sent_log_start_offset are what the last answer of
    the session said (-1: nothing, or an error, so that the next answer names the partition again).
    """

    topic: str
    topic_id: bytes
    index: int
    offset: int
    max_bytes: int
    current_leader_epoch: int = -1
    last_fetched_epoch: int = -1
    sent_high_watermark: int = -1
    sent_log_start_offset: int = -1
