"""A broker that belongs to the process that started it ends with that process, however that one ends.

The owner keeps the writing end of our standard input. Its end comes when the owner is gone, also by SIGKILL, on every
system and from any thread of the owner (PR_SET_PDEATHSIG is about the thread that forked). Should a child that the
owner forked have that end too, a parent that is no longer ours says the same.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable
from typing import Final

_LOOK_AT_PARENT_MS: Final = 1000
_READ_BYTES: Final = 4096


def watch_owner(gone: Callable[[], None], *, patience_ms: int | None, give_up: Callable[[], None]) -> None:
    """Call `gone` once, from a thread of its own, when standard input ends or the parent is gone.

    patience_ms: `give_up` is called that much later, from the same thread, if the process is still there; None: never.
    """
    parent = os.getppid()

    def watch() -> None:
        _wait_for_end(parent)
        gone()
        if patience_ms is not None:
            threading.Event().wait(patience_ms / 1000)
            give_up()

    threading.Thread(target=watch, name="kwire-owner", daemon=True).start()


def _wait_for_end(parent: int) -> None:
    poll = select.poll()
    poll.register(0, select.POLLIN)
    while os.getppid() == parent:
        try:
            if poll.poll(_LOOK_AT_PARENT_MS) and not os.read(0, _READ_BYTES):
                return
        except OSError:
            return
