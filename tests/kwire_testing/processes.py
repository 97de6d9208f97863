"""Processes that a test watches without being their parent."""

from __future__ import annotations

import os
import select

LIMIT_S = 90


class Watched:
    """A process by its id. It counts as ended when it is, whether or not its new parent has asked how."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._descriptor = os.pidfd_open(pid)

    def ended(self, limit_s: float = LIMIT_S) -> bool:
        """Wait until it has ended; False when it has not within the limit."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        return bool(poll.poll(limit_s * 1000))

    def __del__(self) -> None:
        os.close(self._descriptor)
