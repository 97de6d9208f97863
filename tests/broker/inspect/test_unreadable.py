"""What check and dump say of what the file system does not give."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from broker.cli.dump import Selection, select
from broker.inspect.check import Checker
from broker.inspect.entries import DumpOptions
from broker.inspect.findings import Finding, Severity
from broker.inspect.text import entry_text
from log.filenames import PARTITION_METADATA
from log.partition_metadata import read_topic_id
from log.storage import Storage
from tests.broker.inspect.data import batches, flip, segments


def serious(data: Path) -> list[Finding]:
    """What the check finds, without notes."""
    found: list[Finding] = []
    Checker(found.append).check([str(data)])
    return [finding for finding in found if finding.severity is not Severity.INFO]


def _make_unreadable(path: Path) -> None:
    """Nobody can open it, whoever runs the tests: a link to itself."""
    path.unlink()
    path.symlink_to(path)


@pytest.mark.parametrize("name", ["rich-0", "plain-0", "__cluster_metadata-0"])
def test_of_a_log_that_cannot_be_read_no_more_is_said_than_that(name: str, data: Path) -> None:
    log = segments(data / name)[-1]
    _make_unreadable(log)
    found = serious(data)
    assert [(finding.code, finding.file) for finding in found] == [("unreadable", str(log))]
    assert found[0].repair


def test_other_partitions_are_looked_at_when_one_has_an_unreadable_file(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = read_topic_id

    def read(storage: Storage, directory: str) -> bytes | None:
        if directory.endswith("/plain-0"):
            raise PermissionError(errno.EACCES, "Permission denied", f"{directory}/{PARTITION_METADATA}")
        return real(storage, directory)

    monkeypatch.setattr("broker.inspect.check.read_topic_id", read)
    log = segments(data / "rich-0")[1]
    flip(log, batches(log)[1].position + 70)
    found = serious(data)
    refused = [finding for finding in found if finding.code == "unreadable"]
    assert [finding.file for finding in refused] == [f"{data}/plain-0/{PARTITION_METADATA}"]
    assert "crc" in {finding.code for finding in found}


def test_what_cannot_be_read_is_named_and_the_rest_follows(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = segments(data / "plain-1")[0]
    _make_unreadable(log)
    listed = os.listdir

    def list_dir(path: str) -> list[str]:
        if path.endswith("/plain-0"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return listed(path)

    monkeypatch.setattr("broker.inspect.files.os.listdir", list_dir)
    found = list(select([str(data)], Selection(DumpOptions())))
    refused = [entry for entry in found if entry["type"] == "damage"]
    assert [(entry["file"], entry["reason"]) for entry in refused] == [
        (str(log), "cannot be read: Too many levels of symbolic links"),
        (f"{data}/plain-0", "cannot be read: Permission denied"),
    ]
    assert entry_text(refused[1]) == f"! {data}/plain-0: cannot be read: Permission denied"
    assert any("rich-0" in entry["file"] for entry in found)
