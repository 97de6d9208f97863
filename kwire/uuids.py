"""Uuids as the wire and Kafka's tools show them: 16 raw bytes, and 22 characters of url-safe base64."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error

ZERO = bytes(16)
"""Stands for "no uuid" on the wire."""

METADATA_TOPIC_ID = bytes(15) + b"\x01"
"""The topic id of `__cluster_metadata` (class `Uuid`)."""

MIGRATING_DIRECTORY = ZERO
UNASSIGNED_DIRECTORY = bytes(15) + b"\x01"
LOST_DIRECTORY = bytes(15) + b"\x02"
"""Directory ids with a meaning of their own (KIP-858, class `DirectoryId`)."""


def to_string(uuid: bytes) -> str:
    """The 22 characters Kafka prints for 16 bytes."""
    return urlsafe_b64encode(uuid).rstrip(b"=").decode("ascii")


def from_string(text: str) -> bytes:
    """The 16 bytes of Kafka's 22-character form. Raises ValueError when `text` is anything else."""
    try:
        raw = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except (Base64Error, UnicodeEncodeError):
        raise ValueError(f"not a uuid: {text!r}") from None
    if len(raw) != 16:
        raise ValueError(f"a uuid is 16 bytes in base64, {text!r} is {len(raw)}")
    return raw


def is_reserved(uuid: bytes) -> bool:
    """Whether a freshly drawn uuid has to be drawn again.

    Kafka keeps the first hundred values for itself and never makes one whose text starts with a dash, which command
    lines would take for an option (classes `Uuid`, `DirectoryId`).
    """
    return (uuid[:15] == bytes(15) and uuid[15] < 100) or uuid[0] >> 2 == 62
