"""The release lines of Apache Kafka whose personality there is, and their names."""

from __future__ import annotations

from typing import Final

RELEASES: Final = (
    *("0.11", "1.0", "1.1"),
    *("2.0", "2.1", "2.2", "2.3", "2.4", "2.5", "2.6", "2.7", "2.8"),
    *("3.0", "3.1", "3.2", "3.3", "3.4", "3.5", "3.6", "3.7", "3.8", "3.9"),
    *("4.0", "4.1", "4.2", "4.3"),
)
CURRENT: Final = RELEASES[-1]
"""What a broker without a personality speaks."""


class UnknownReleaseError(ValueError):
    """`text` names no release line; `allowed` are those there are."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.allowed = RELEASES
        super().__init__(
            f"{text!r} is no release of Kafka that there is a personality of; there are {', '.join(RELEASES)}"
        )


def release_line(text: str) -> str:
    """The line of a version: "2.8.1" -> "2.8", "0.11.0.3" -> "0.11". Raises UnknownReleaseError."""
    line = ".".join(text.strip().split(".")[:2])
    if line not in RELEASES:
        raise UnknownReleaseError(text)
    return line


def ordinal(release: str) -> int:
    """Releases in their order, as numbers to compare."""
    return RELEASES.index(release)
