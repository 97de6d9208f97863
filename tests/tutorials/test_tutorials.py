"""Each tutorial does what it says."""

from pathlib import Path

import pytest

from tests.tutorials.runner import Reader

PAGES = sorted((Path(__file__).parents[2] / "docs" / "tutorials").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_tutorial(page: Path, tmp_path: Path) -> None:
    # What the reader has installed, the tests have from the checkout.
    checkout = str(Path(__file__).parents[2])
    with Reader(
        tmp_path,
        {"PYTHONPATH": checkout, "PYTEST_ADDOPTS": "-p no:randomly -p no:cacheprovider -W ignore::DeprecationWarning"},
    ) as reader:
        assert reader.follow(page.read_text()) > 0
