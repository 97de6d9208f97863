"""Errors of the broker's own code as refusals: which status, which code, and Kafka's message."""

from __future__ import annotations

import errno
from typing import Final

from broker.config.values import InvalidConfigError
from broker.contents.model import ContentsError
from broker.http.endpoint import ControlError
from broker.start_error import StartError
from broker.virtual.errors import VirtualError
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from log.append_errors import RecordsRejectedError

_NOT_FOUND: Final = frozenset(
    {
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode.UNKNOWN_TOPIC_ID,
        ErrorCode.GROUP_ID_NOT_FOUND,
        ErrorCode.UNKNOWN_MEMBER_ID,
        ErrorCode.BROKER_ID_NOT_REGISTERED,
        ErrorCode.TRANSACTIONAL_ID_NOT_FOUND,
        ErrorCode.RESOURCE_NOT_FOUND,
    }
)
_CONFLICT: Final = frozenset({ErrorCode.TOPIC_ALREADY_EXISTS, ErrorCode.NON_EMPTY_GROUP, ErrorCode.DUPLICATE_RESOURCE})


def explain(error: Exception) -> ControlError | None:
    """The refusal an error stands for; None for what is a bug.

    A code of Kafka's is told by its name in small letters: 404 for what is not there, 409 for what is in the way, 503
    for what passes (retriable), else 400.
    """
    if isinstance(error, ApiError):
        if error.code is ErrorCode.UNKNOWN_SERVER_ERROR:
            return None
        if isinstance(error, RecordsRejectedError) and error.record_errors:
            at = "; ".join(f"record {index} of its batch: {message}" for index, message in error.record_errors)
            return ControlError(400, error.code.name.lower(), f"{error.message or _words(error.code)} ({at})")
        return ControlError(_status(error.code), error.code.name.lower(), error.message or _words(error.code))
    if isinstance(error, InvalidConfigError):
        return ControlError(400, "invalid_config", str(error))
    if isinstance(error, VirtualError):
        return ControlError(error.status, error.code, str(error), allowed=error.allowed)
    if isinstance(error, ContentsError):
        return ControlError(400, "invalid_contents", str(error))
    if isinstance(error, StartError):
        return ControlError(400, "cannot_start", str(error))
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return ControlError(
            503,
            "no_descriptor",
            "the process has no descriptor left: delete clusters, or allow it more (ulimit -n)",
        )
    return None


def _status(code: ErrorCode) -> int:
    if code in _NOT_FOUND:
        return 404
    if code in _CONFLICT:
        return 409
    return 503 if code.retriable else 400


def _words(code: ErrorCode) -> str:
    return code.name.lower().replace("_", " ")
