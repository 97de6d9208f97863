"""docs/testing/recipes.md: its commands print what it says, its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.recipes.test_recipes import program
from tests.tutorials.runner import Reader

PAGE = Path(__file__).parents[2] / "docs" / "testing" / "recipes.md"


def test_its_commands(tmp_path: Path) -> None:
    program("curl")
    with Reader(tmp_path, {"PYTHONPATH": str(PAGE.parents[2]), "TMPDIR": str(tmp_path)}) as reader:
        assert reader.follow(PAGE.read_text()) == 8


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)]+)\)", PAGE.read_text()))))
def test_its_links(link: str) -> None:
    assert (PAGE.parent / link).exists()
