"""docs/testing/nodes.md does what it says."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.tutorials.runner import Reader

PAGE = Path(__file__).parents[3] / "docs" / "testing" / "nodes.md"


@pytest.mark.skipif(shutil.which("curl") is None, reason="the page uses curl")
def test_its_commands(tmp_path: Path) -> None:
    pytest.importorskip("confluent_kafka")
    environment = {"PYTHONPATH": str(PAGE.parents[2]), "PYTEST_ADDOPTS": "-p no:randomly -p no:cacheprovider"}
    with Reader(tmp_path, environment) as reader:
        assert reader.follow(PAGE.read_text()) > 10
