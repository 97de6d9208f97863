"""Patterns of transactional ids."""

from __future__ import annotations

import re
from collections.abc import Callable


def compile_pattern(text: str) -> Callable[[str], object]:
    """A function that tells whether a whole name matches. ValueError: not a pattern."""
    try:
        return re.compile(text).fullmatch
    except re.error as error:
        raise ValueError(str(error)) from None
