"""What Java's string hash decides on the wire: the partition of a group, and the winner among equal votes."""

from __future__ import annotations

from collections.abc import Iterable


def java_hash(text: str) -> int:
    """`String.hashCode`: over UTF-16 units, as a signed 32 bit integer."""
    value = 0
    if text.isascii():
        for unit in text.encode():
            value = (value * 31 + unit) & 0xFFFFFFFF
    else:
        data = text.encode("utf-16-be", "surrogatepass")
        for i in range(0, len(data), 2):
            value = (value * 31 + (data[i] << 8) + data[i + 1]) & 0xFFFFFFFF
    return value - 0x1_0000_0000 if value & 0x8000_0000 else value


def partition_for(group_id: str, partition_count: int) -> int:
    """The partition of `__consumer_offsets` a group lives in (Kafka: Utils.abs(hash) % partitions)."""
    value = java_hash(group_id)
    if value == -0x8000_0000:
        return 0
    return abs(value) % partition_count


def java_map_order(names: Iterable[str]) -> list[str]:
    """The order in which a Java HashMap of few keys, filled in this order, iterates over them.

    Equal votes for a protocol are decided by that order. Exact while no two of the map's buckets were turned into
    trees, which takes more than eight keys in one.
    """
    keys = list(names)
    buckets = 16
    while len(keys) > buckets * 3 // 4:
        buckets *= 2

    def bucket(name: str) -> int:
        value = java_hash(name) & 0xFFFFFFFF
        return (value ^ (value >> 16)) & (buckets - 1)

    return sorted(keys, key=bucket)
