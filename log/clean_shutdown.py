"""The marker of a clean stop, ``.kafka_cleanshutdown`` in each log directory  (Kafka: CleanShutdownFileHandler,
KIP-966).

JSON without a newline: version 0 and the broker's epoch. It is written after the last sync and removed at the next
start.
"""

from __future__ import annotations

import json
import os

from log.filenames import CLEAN_SHUTDOWN
from log.storage import Storage, read_file, remove_if_exists


def _path(directory: str) -> str:
    return f"{directory}/{CLEAN_SHUTDOWN}"


def write_marker(storage: Storage, directory: str, broker_epoch: int) -> None:
    """Write the marker, durable on return."""
    opened = storage.open(_path(directory), create=True)
    opened.truncate(0)
    opened.pwrite(f'{{"version":0,"brokerEpoch":{broker_epoch}}}'.encode(), 0)
    opened.sync()
    storage.sync_dir(directory)


def marker_exists(storage: Storage, directory: str) -> bool:
    return storage.exists(_path(directory))


def read_broker_epoch(storage: Storage, directory: str) -> int | None:
    """The broker's epoch in the marker; None without a marker or when it cannot be read."""
    raw = read_file(storage, _path(directory))
    if raw is None:
        return None
    try:
        epoch = json.loads(raw)["brokerEpoch"]
    except (ValueError, KeyError, TypeError):
        return None
    return epoch if isinstance(epoch, int) else None


def remove_marker(storage: Storage, directory: str) -> bool:
    """Remove the marker, durable on return: what follows must not be taken for cleanly closed."""
    if not remove_if_exists(storage, _path(directory)):
        return False
    storage.sync_dir(os.path.normpath(directory))
    return True
