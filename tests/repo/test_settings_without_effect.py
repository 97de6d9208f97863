"""docs/DIFFERENCES.md lists every broker setting that the code takes and never looks at."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from broker.config.definitions import broker_definitions, topic_definitions
from broker.config.sources import resolve

ROOT = Path(__file__).parents[2]
# Here settings are defined, checked and listed; naming one there gives it no effect.
_DEFINING = frozenset({"definitions.py", "dynamic.py", "rules.py", "sources.py", "synonyms.py", "validators.py"})


def _without_effect() -> set[str]:
    looked_at = {synonym for definition in topic_definitions().values() for synonym in definition.synonyms}
    for package in ("broker", "log"):
        for path in (ROOT / package).rglob("*.py"):
            if path.parent.name != "config" or path.name not in _DEFINING:
                looked_at.update(re.findall(r'"([a-z][a-z0-9.]+)"', path.read_text(encoding="utf-8")))
    return set(broker_definitions()) - looked_at - {"remote.log.storage.system.enable"}


def _patterns() -> list[str]:
    document = (ROOT / "docs" / "DIFFERENCES.md").read_text(encoding="utf-8")
    section = document.partition("\n## Settings without effect\n")[2].partition("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return [pattern for cell in cells for pattern in re.findall(r"`([^`]+)`", cell)]


def test_every_setting_without_effect_is_listed() -> None:
    patterns = _patterns()
    unlisted = [name for name in _without_effect() if not any(fnmatchcase(name, pattern) for pattern in patterns)]
    assert not sorted(unlisted)


def test_every_listed_setting_is_without_effect() -> None:
    nothing = _without_effect()
    wrong = [pattern for pattern in _patterns() if not any(fnmatchcase(name, pattern) for name in nothing)]
    assert not wrong


@pytest.mark.parametrize("name", ["cordoned.log.dirs", "metric.reporters", "principal.builder.class"])
def test_one_that_would_be_missed_is_warned_of(name: str) -> None:
    assert name in broker_definitions()
    (warning,) = resolve({name: "x"}, {}, {}).warnings
    assert warning.startswith(f"{name} has no effect: ")
