"""The pool of bytes that requests being received may take."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from broker.memory import BytePool


def test_what_does_not_fit_waits_until_there_is_room() -> None:
    pool, resumed = BytePool(100), []
    assert pool.draw("a", 100)
    assert pool.draw("b", 30), "one may go over it"
    assert not pool.draw("c", 1)
    assert pool.draw("b", 20), "and go on, or it would never end"
    assert pool.used_bytes == 150
    pool.wait("c", lambda: resumed.append("c"))
    pool.release("b", 10)
    assert resumed == ["c"], "nobody is over it any more, so the next one may be"
    assert pool.draw("c", 1)
    pool.wait("d", lambda: resumed.append("d"))
    pool.release("a", 1)
    assert resumed == ["c"], "still full"
    pool.release("a", 99)
    assert resumed == ["c", "d"]


def test_who_is_gone_is_not_called() -> None:
    pool, resumed = BytePool(10), []
    for owner in ("a", "b"):
        assert pool.draw(owner, 10)
    for owner in ("c", "d"):
        assert not pool.draw(owner, 1)
        pool.wait(owner, lambda owner=owner: resumed.append(owner))  # type: ignore[misc]
    pool.forget("c")
    pool.release("b", 10)
    pool.release("a", 10)
    assert resumed == ["d"]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 60)), max_size=60))
def test_no_more_is_taken_than_the_limit_and_one_owners_frame(draws: list[tuple[int, int]]) -> None:
    """An owner takes pieces of up to 60 bytes and ends its frame at 150."""
    pool, taken = BytePool(100), dict.fromkeys(range(4), 0)
    for owner, size in draws:
        size = min(size, 150 - taken[owner])
        if pool.draw(owner, size):
            taken[owner] += size
        if taken[owner] == 150:
            pool.release(owner, 150)
            taken[owner] = 0
        assert pool.used_bytes == sum(taken.values())
        assert pool.used_bytes <= 100 + 150
    for owner, size in taken.items():
        pool.release(owner, size)
    assert pool.used_bytes == 0
    assert pool.draw("whoever", 100)
