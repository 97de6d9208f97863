"""The log of a `kwire serve` process: Kafka's line format, on standard output."""

from __future__ import annotations

import logging
import sys
from typing import Final

# Kafka's names of levels, which its tools and brokers' loggers use, and Python's numbers for them.
LEVELS: Final = {"TRACE": 5, "DEBUG": 10, "INFO": 20, "WARN": 30, "ERROR": 40, "FATAL": 50}


def configure_logging(level: str) -> None:
    """Log to standard output from `level` (a name in LEVELS) on."""
    for name, number in LEVELS.items():
        logging.addLevelName(number, name)
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("[%(asctime)s] %(levelname)s %(message)s (%(name)s)"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(LEVELS[level])
