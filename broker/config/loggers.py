"""The levels of the broker's loggers, as resource type 8 of the config APIs (KIP-412)."""

from __future__ import annotations

import logging
from typing import Final, NamedTuple

from kwire.error_codes import ErrorCode
from kwire.errors import ApiError

ROOT: Final = "root"
# Kafka's names of levels, which its tools use, and Python's numbers for them.
LEVELS: Final = {"TRACE": 5, "DEBUG": 10, "INFO": 20, "WARN": 30, "ERROR": 40, "FATAL": 50}

SET: Final = 0
DELETE: Final = 1
_OPERATIONS: Final = {2: "APPEND", 3: "SUBTRACT"}


class LevelChange(NamedTuple):
    """operation: 0 set, 1 delete (the logger's parent decides again), 2 append, 3 subtract."""

    name: str
    operation: int
    level: str | None


class Loggers:
    """The loggers of this process, kwire's and those of what it uses, by name; `root` is the one above all."""

    def __init__(self, root: logging.Logger | None = None) -> None:
        self._root = root or logging.getLogger()

    def levels(self) -> dict[str, str]:
        """The level in force of each logger, sorted by name."""
        manager = self._root.manager
        found = {
            name: _level_name(logger.getEffectiveLevel())
            for name, logger in manager.loggerDict.items()
            if isinstance(logger, logging.Logger)
        }
        found[ROOT] = _level_name(self._root.getEffectiveLevel())
        return dict(sorted(found.items()))

    def validate(self, changes: list[LevelChange]) -> None:
        """Raises ApiError INVALID_CONFIG or INVALID_REQUEST for the first change that cannot be."""
        known = self.levels()
        for name, operation, level in changes:
            if operation in _OPERATIONS:
                raise ApiError(
                    ErrorCode.INVALID_REQUEST,
                    f"{_OPERATIONS[operation]} operation is not allowed for the BROKER_LOGGER resource",
                )
            if operation not in (SET, DELETE):
                raise ApiError(ErrorCode.INVALID_REQUEST, f"Unknown operation type {operation}")
            if name not in known:
                raise ApiError(ErrorCode.INVALID_CONFIG, f"Logger {name} does not exist!")
            if operation == DELETE:
                if name == ROOT:
                    raise ApiError(
                        ErrorCode.INVALID_REQUEST, "Removing the log level of the root logger is not allowed"
                    )
            elif level not in LEVELS:
                raise ApiError(
                    ErrorCode.INVALID_CONFIG,
                    f"Cannot set the log level of {name} to {level} as it is not a supported log level. "
                    f"Valid log levels are {', '.join(sorted(LEVELS))}",
                )

    def apply(self, changes: list[LevelChange]) -> None:
        """Set or unset levels; `validate` first."""
        for name, operation, level in changes:
            logger = self._root if name == ROOT else self._root.manager.getLogger(name)
            logger.setLevel(logging.NOTSET if operation == DELETE or level is None else LEVELS[level])


def _level_name(level: int) -> str:
    return next((name for name, number in reversed(LEVELS.items()) if level >= number), "TRACE")
