"""`@pytest.mark.kafka(...)`: how a test's cluster is made."""

from __future__ import annotations

from typing import Any, Final

import pytest

ALLOWED: Final = ("nodes", "racks", "topics", "groups", "configs", "seed", "now_ms", "as_version", "snapshot")


def cluster_options(item: pytest.Item) -> dict[str, Any]:
    """The options for `item`: of its markers the nearest one wins, option by option (test, class, module).

    Raises pytest.UsageError for an option that there is not.
    """
    options: dict[str, Any] = {}
    for mark in item.iter_markers("kafka"):
        unknown = sorted(set(mark.kwargs) - set(ALLOWED))
        if unknown or mark.args:
            given = ", ".join([*map(repr, mark.args), *unknown])
            raise pytest.UsageError(
                f"@pytest.mark.kafka of {item.nodeid} takes {', '.join(f'{name}=' for name in ALLOWED)} and not {given}"
            )
        options = {**mark.kwargs, **options}
    return options
