"""The order in which Java's hash tables would list the partitions of a transaction: the order in Kafka's records.

Exact while no bucket was turned into a tree, which takes more than eight partitions in one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from broker.group.ids import java_hash
from broker.txn.transaction import TopicPartition

_MIN_BUCKETS = 16
_hash = lru_cache(maxsize=1024)(java_hash)


def join(present: Sequence[TopicPartition], added: Iterable[TopicPartition]) -> tuple[TopicPartition, ...]:
    """`present` (as this function gave it) and `added`, each once, as a copy of the set with those added lists them."""
    fresh = in_order(list(dict.fromkeys(added)), _MIN_BUCKETS)
    known = set(present)
    together = [*present, *(each for each in fresh if each not in known)]
    return tuple(in_order(together, _buckets_of_copy(len(present))))


def in_order(items: list[TopicPartition], buckets: int) -> list[TopicPartition]:
    """Put one after the other into a table of at least so many buckets, which doubles when three quarters are full."""
    if len(items) < 2:
        return items
    while len(items) > buckets * 3 // 4:
        buckets *= 2
    mask = buckets - 1

    def bucket(item: TopicPartition) -> int:
        value = ((31 + item[1]) * 31 + _hash(item[0])) & 0xFFFFFFFF
        return (value ^ (value >> 16)) & mask

    return sorted(items, key=bucket)


def _buckets_of_copy(size: int) -> int:
    """Buckets a copy of a set of that size begins with."""
    wanted = -(-max(size, 12) * 4 // 3)
    return 1 << (wanted - 1).bit_length()
