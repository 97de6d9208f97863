"""The topics in a consumer's subscription, as far as the coordinator needs them (offset deletion and expiry)."""

from __future__ import annotations

from kwire.errors import DecodeError

CONSUMER_PROTOCOL_TYPE = "consumer"


def subscribed_topics(metadata: bytes) -> list[str]:
    """Topic names of a `ConsumerProtocolSubscription`; version 0, which every later version begins with.

    DecodeError: not such a subscription.
    """
    size = len(metadata)
    if size < 6:
        raise DecodeError(f"a consumer subscription has at least 6 bytes, this one {size}")
    if int.from_bytes(metadata[:2], "big", signed=True) < 0:
        raise DecodeError("a consumer subscription of a negative version")
    count = int.from_bytes(metadata[2:6], "big", signed=True)
    if not 0 <= count <= (size - 6) // 2:
        raise DecodeError(f"a consumer subscription with {count} topics in {size} bytes")
    topics = []
    position = 6
    for _ in range(count):
        length = int.from_bytes(metadata[position : position + 2], "big", signed=True)
        position += 2
        end = position + length
        if length < 0 or end > size:
            raise DecodeError(f"a topic name of {length} bytes at {position} in a subscription of {size} bytes")
        try:
            topics.append(str(metadata[position:end], "utf-8"))
        except UnicodeDecodeError as error:
            raise DecodeError(f"a topic name in a subscription is not UTF-8: {error}") from None
        position = end
    return topics
