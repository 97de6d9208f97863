"""The random part of members' ids: for each cluster its own, and the same again for the same seed."""

from __future__ import annotations

from random import Random
from typing import Final

# Of so many pairs of group and client it is remembered how many ids they got; then it is begun anew.
MOST_REMEMBERED: Final = 100_000


class MemberIds:
    """Ids that hang together with the cluster's seed, the group, the client and its how many-th id this is, and with
    nothing else: not with the order in which clients come, nor with what else the cluster draws from its chance.

    So a test with a seed sees the same member ids each time, and assignors, which sort members by id, give the same.
    """

    __slots__ = ("_given", "_key")

    def __init__(self, key: int) -> None:
        """key: from the cluster's chance; whoever does not know it does not know the ids to come."""
        self._key = key
        self._given: dict[tuple[str, str], int] = {}

    def next(self, group_id: str, client: str) -> str:
        """A uuid's text. client: the client id, or the instance id of a static member."""
        given = self._given
        if len(given) >= MOST_REMEMBERED:
            given.clear()
        number = given[(group_id, client)] = given.get((group_id, client), 0) + 1
        drawn = bytearray(Random(f"{self._key}:{number}:{len(group_id)}:{group_id}:{client}").randbytes(16))
        drawn[6] = drawn[6] & 0x0F | 0x40  # version 4, as Java's randomUUID makes them
        drawn[8] = drawn[8] & 0x3F | 0x80
        text = drawn.hex()
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
