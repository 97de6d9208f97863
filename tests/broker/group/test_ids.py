"""Java's string hash, and what depends on it."""

from __future__ import annotations

import pytest

from broker.group.ids import java_hash, java_map_order, partition_for


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0),
        ("a", 97),
        ("my-group", -1906497762),
        ("console-consumer-12345", 158455506),
        ("größe", 98762257),
        ("group-😀", 508083057),
        ("polygenelubricants", -(2**31)),
    ],
)
def test_java_hash(text: str, expected: int) -> None:
    """Values printed by a JVM."""
    assert java_hash(text) == expected


def test_the_smallest_hash_is_partition_0() -> None:
    assert partition_for("polygenelubricants", 50) == 0


def test_negative_hashes_count_by_their_absolute_value() -> None:
    assert partition_for("my-group", 50) == 1906497762 % 50


def test_map_order_of_the_assignors() -> None:
    """As iterated by a JVM's HashMap."""
    names = ["range", "roundrobin", "sticky", "cooperative-sticky"]
    in_order = ["sticky", "range", "roundrobin", "cooperative-sticky"]
    assert java_map_order(names) == java_map_order(reversed(names)) == in_order
