from __future__ import annotations

from pathlib import Path

import pytest

from tests.broker.inspect.data import copy, fill_partition, make_data_dir


@pytest.fixture(scope="session")
def clean_original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_data_dir(tmp_path_factory.mktemp("clean"), clean=True)


@pytest.fixture(scope="session")
def partition_original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("partition") / "rich-0"
    fill_partition(directory)
    return directory


@pytest.fixture
def data(clean_original: Path, tmp_path: Path) -> Path:
    """A data directory after a clean stop, to be damaged."""
    return copy(clean_original, tmp_path / "data")


@pytest.fixture
def rich(partition_original: Path, tmp_path: Path) -> Path:
    """A partition's directory alone, to be damaged."""
    return copy(partition_original, tmp_path / "rich-0")
