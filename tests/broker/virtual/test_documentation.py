"""docs/testing/virtual-clusters.md does what it says."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.tutorials.runner import Reader

PAGE = Path(__file__).parents[3] / "docs" / "testing" / "virtual-clusters.md"


@pytest.mark.skipif(shutil.which("curl") is None, reason="the page uses curl")
def test_its_commands(tmp_path: Path) -> None:
    with Reader(tmp_path, {"PYTHONPATH": str(PAGE.parents[2]), "TMPDIR": str(tmp_path)}) as reader:
        assert reader.follow(PAGE.read_text()) > 10
