"""The log of a `kwire serve` process: Kafka's line format, on standard output."""

from __future__ import annotations

import logging
import sys

from broker.config.loggers import LEVELS


def configure_logging(level: str) -> None:
    """Log to standard output from `level` (a name in LEVELS) on."""
    for name, number in LEVELS.items():
        logging.addLevelName(number, name)
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("[%(asctime)s] %(levelname)s %(message)s (%(name)s)"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(LEVELS[level])
