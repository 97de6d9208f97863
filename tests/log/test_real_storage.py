"""The real file system's twin calls what makes bytes durable: the other tests run on one that only pretends to."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from log.storage import RealStorage


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that were synced."""
    paths: list[str] = []
    for name in ("fsync", "fdatasync"):
        real = getattr(os, name)

        def sync(fd: int, real: object = real) -> None:
            paths.append(os.readlink(f"/proc/self/fd/{fd}"))
            real(fd)  # type: ignore[operator]

        monkeypatch.setattr(os, name, sync)
    return paths


def test_a_file_is_synced(tmp_path: Path, synced: list[str]) -> None:
    file = RealStorage().open(str(tmp_path / "f"), create=True)
    file.sync()
    assert synced == [str(tmp_path / "f")]


def test_a_directory_is_synced(tmp_path: Path, synced: list[str]) -> None:
    RealStorage().sync_dir(str(tmp_path))
    assert synced == [str(tmp_path)]


def test_a_whole_file_system_is_synced(tmp_path: Path) -> None:
    storage = RealStorage()
    if not storage.can_sync_all:
        pytest.skip("the C library has no syncfs")
    with pytest.raises(FileNotFoundError):
        storage.sync_all(str(tmp_path / "nowhere"))


def test_a_failed_sync_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(fd: int) -> None:
        raise OSError(errno.EIO, "disk")

    monkeypatch.setattr(os, "fdatasync", fail)
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk"):
        RealStorage().open(str(tmp_path / "f"), create=True).sync()
    with pytest.raises(OSError, match="disk"):
        RealStorage().sync_dir(str(tmp_path))
