"""docs/testing/pytest.md does what it says."""

from __future__ import annotations

from pathlib import Path

from kwire.testing import Broker
from tests.tutorials.runner import Reader

ROOT = Path(__file__).parents[2]


def test_the_page(tmp_path: Path, running_broker: Broker) -> None:
    options = f"-p pytest_kwire.plugin -p no:cacheprovider --kwire-url {running_broker.url}"
    environment = {"PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": options, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    with Reader(tmp_path, environment) as reader:
        assert reader.follow((ROOT / "docs" / "testing" / "pytest.md").read_text()) == 6
