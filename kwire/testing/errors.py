"""What the Python door raises."""

from __future__ import annotations

from collections.abc import Sequence


class KwireError(Exception):
    """Base of everything that `kwire.testing` raises by itself."""


class BrokerStartError(KwireError):
    """The broker's process ended, or was not ready in time; the message holds the end of its log."""


class BrokerUnreachableError(KwireError):
    """Nobody answers at the control URL, or what answers is no kwire."""


class ControlRequestError(KwireError):
    """The broker refused a request.

    status: the HTTP status. code: the error's name, stable, for programs (`unknown_cluster`). allowed: what would have
    been accepted, where the broker can tell.
    """

    def __init__(self, status: int, code: str, message: str, allowed: Sequence[str] | None = None) -> None:
        super().__init__(status, code, message, allowed)
        self.status = status
        self.code = code
        self.message = message
        self.allowed = None if allowed is None else list(allowed)

    def __str__(self) -> str:
        told = f" (allowed: {', '.join(map(str, self.allowed))})" if self.allowed else ""
        return f"{self.message}{told} [{self.status} {self.code}]"


class WaitTimeoutError(KwireError, TimeoutError):
    """What was waited for did not happen in time; the message says what was seen last."""
