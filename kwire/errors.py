"""The errors kwire raises. Anything else that escapes from it is a bug.

Wire errors (`DecodeError`, `EncodeError`, ...) say that bytes or objects do not fit the protocol. `ApiError` carries a
protocol error code from the code that decides to whoever writes the answer.
"""

from __future__ import annotations

from kwire.error_codes import ErrorCode


class KwireError(Exception):
    """Base of every error raised on purpose by kwire."""


class DecodeError(KwireError):
    """The bytes are not a well-formed message of the expected type and version."""


class FrameError(DecodeError):
    """A frame's size field is negative or above the limit: the connection cannot be read any further."""


class EncodeError(KwireError):
    """The object holds a value the wire format cannot carry in that version."""


class UnsupportedVersionError(KwireError):
    """The message has no such version, or a field that must not be dropped is set and that version lacks it."""


class CorruptRecordsError(KwireError):
    """A record batch or message set is damaged: bad CRC, impossible sizes, undecodable compressed data."""


class ApiError(KwireError):
    """A refusal with a protocol error code, raised by services and decisions.

    `message` is the text for answers that carry one; None leaves the choice to the handler.
    """

    def __init__(self, code: ErrorCode, message: str | None = None) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.code.name}: {self.message}" if self.message else self.code.name
