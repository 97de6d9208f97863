"""Bounds on the memory that clients can make the server take.

`BytePool` counts the bytes of requests being received (`queued.max.request.bytes`). It is drawn on as bytes arrive, not
by what a frame claims to become, so a thousand clients that announce 100 MB and send a byte a second hold a thousand
small buffers. `FrameBuffers` lends the buffers themselves: anonymous maps, whose pages exist only once written.
"""

from __future__ import annotations

import mmap
from collections import deque
from collections.abc import Callable
from typing import Final

SMALL_FRAME_BYTES: Final = 64 * 1024
_LARGEST_KEPT_BYTES: Final = 4 * 1024 * 1024
_KEPT_PER_CLASS: Final = 4


class BytePool:
    """Counts bytes taken, and lines up who has to wait.

    When the pool is empty, one waiter at a time may go over it, or a pool full of half-received frames would never
    empty. So memory stays within `limit_bytes` plus one frame.
    """

    __slots__ = ("_overdraft_owner", "_waiting", "limit_bytes", "used_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self._waiting: deque[tuple[object, Callable[[], None]]] = deque()
        self._overdraft_owner: object | None = None

    def draw(self, owner: object, size: int) -> bool:
        """Take `size` bytes for `owner`. False: there is no room, and `owner` has to wait its turn."""
        if self.used_bytes + size <= self.limit_bytes or self._overdraft_owner is owner:
            self.used_bytes += size
            return True
        if self._overdraft_owner is None:
            self._overdraft_owner = owner
            self.used_bytes += size
            return True
        return False

    def wait(self, owner: object, resume: Callable[[], None]) -> None:
        """Call `resume` once when there may be room."""
        self._waiting.append((owner, resume))

    def release(self, owner: object, size: int) -> None:
        """Give back all that `owner` took for a frame (or what it had when its connection closed)."""
        self.used_bytes -= size
        if self._overdraft_owner is owner:
            self._overdraft_owner = None
        waiting = self._waiting
        for _ in range(len(waiting)):
            if self.used_bytes >= self.limit_bytes and self._overdraft_owner is not None:
                return
            _, resume = waiting.popleft()
            resume()

    def forget(self, owner: object) -> None:
        """Take a closed connection out of the line."""
        self._waiting = deque(entry for entry in self._waiting if entry[0] is not owner)


class FrameBuffers:
    """Lends buffers for frames that do not fit the reactor's shared read buffer; keeps a few of each size."""

    __slots__ = ("_free",)

    def __init__(self) -> None:
        self._free: dict[int, list[mmap.mmap]] = {}

    def take(self, size: int) -> mmap.mmap:
        """A writable buffer of at least `size` bytes."""
        rounded = 1 << max(size - 1, SMALL_FRAME_BYTES - 1).bit_length()
        free = self._free.get(rounded)
        if free:
            return free.pop()
        return mmap.mmap(-1, rounded, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)

    def give_back(self, buffer: mmap.mmap) -> None:
        """Keep it for the next, or let it go: a large one is unmapped when its last view goes."""
        size = len(buffer)
        if size > _LARGEST_KEPT_BYTES:
            return
        free = self._free.setdefault(size, [])
        if len(free) < _KEPT_PER_CLASS:
            free.append(buffer)
