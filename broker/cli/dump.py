"""`kwire dump`: what the files of a data directory hold. Reads only, takes no lock."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

import click
from attrs import define

from broker.inspect.entries import EVERYTHING, DumpOptions, entries
from broker.inspect.files import DataFile, Kind, files_of, partition_of
from broker.inspect.text import Paint, entry_text, no_colours
from broker.inspect.values import Plain

_COLOURS: Final = {
    "head": {"bold": True},
    "dim": {"dim": True},
    "bad": {"fg": "red", "bold": True},
    "good": {"fg": "green"},
    "name": {"fg": "cyan"},
}
_RANGE: Final = re.compile(r"(\d*)(\.\.)?(\d*)")


@define(slots=True, frozen=True)
class Selection:
    """What of it to show. `types`: entry types, file kinds or record kinds, in lower case; empty for all."""

    options: DumpOptions
    most: int | None = None
    topic: str | None = None
    partition: int | None = None
    types: frozenset[str] = frozenset()


def parse_range(text: str) -> tuple[int, int]:
    """``5``, ``5..9``, ``5..`` or ``..9``, both ends included. Raises ValueError."""
    match = _RANGE.fullmatch(text)
    if match is None or not (match[1] or match[3]):
        raise ValueError(f"{text!r} is no range of offsets, for example 5, 5..9, 5.. or ..9")
    low = int(match[1]) if match[1] else 0
    high = (int(match[3]) if match[3] else sys.maxsize) if match[2] else low
    if high < low:
        raise ValueError(f"{text!r} ends before it begins")
    return low, high


def find(name: str, data_dirs: Sequence[str]) -> list[str]:
    """The paths a name stands for: itself when it exists, else partition directories ``NAME`` or ``NAME-N`` of a data
    directory."""
    if os.path.exists(name):
        return [name]
    found = []
    for directory in data_dirs:
        if os.path.isdir(f"{directory}/{name}"):
            found.append(f"{directory}/{name}")
        elif os.path.isdir(directory):
            children = [f"{directory}/{child}" for child in os.listdir(directory)]
            of_topic = [path for path in children if partition_of(path)[0] == name and os.path.isdir(path)]
            found += sorted(of_topic, key=lambda path: (partition_of(path)[1] or 0, path))
    return found


def holds_files(path: str) -> bool:
    """Whether there is anything to show, or a reason to tell why not."""
    errors: list[OSError] = []
    return next(files_of(path, errors.append), None) is not None or bool(errors)


def run(paths: Sequence[str], selection: Selection, *, as_json: bool, colours: bool) -> int:
    """Print it; the exit code: 1 when something is damaged or cannot be read."""
    damaged = False

    def paint(text: str, role: str) -> str:
        return click.style(text, **_COLOURS[role])  # type: ignore[arg-type]

    shade: Paint = paint if colours else no_colours
    write = sys.stdout.write
    try:
        for entry in select(paths, selection):
            damaged = damaged or entry["type"] == "damage" or entry.get("crc_ok") is False
            write(f"{_json(entry) if as_json else entry_text(entry, shade)}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # Who reads has seen enough. Nothing may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return 1 if damaged else 0


def _json(entry: Plain) -> str:
    return json.dumps(entry, ensure_ascii=False, separators=(",", ":"))


def select(paths: Sequence[str], selection: Selection) -> Iterator[Plain]:
    """The entries to show. A file's own entry comes with the first of its others when there is a filter for them."""
    left = selection.most
    types = selection.types
    for path in paths:
        errors: list[OSError] = []
        for file in _files(path, selection, errors):
            head: Plain | None = None
            by_kind = file.kind.value in types
            try:
                for entry in entries(file, selection.options):
                    if entry["type"] == "file":
                        head = entry
                        if not types or by_kind or "file" in types:
                            yield entry
                            head = None
                        continue
                    if not _wanted(entry, selection, by_kind):
                        continue
                    if left is not None:
                        if left == 0:
                            return
                        left -= 1
                    if head is not None:
                        yield head
                        head = None
                    yield entry
            except OSError as error:
                # It may have been removed or renamed by a broker at work.
                yield _unreadable(file.path, error)
            if left == 0:
                return
        for refused in errors:
            yield _unreadable(refused.filename or path, refused)


def _unreadable(path: str, error: OSError) -> Plain:
    return {"type": "damage", "file": path, "position": 0, "size": 0, "reason": f"cannot be read: {error.strerror}"}


def _wanted(entry: Plain, selection: Selection, by_kind: bool) -> bool:
    types = selection.types
    if types and not by_kind and entry["type"] not in types and str(entry.get("kind")).lower() not in types:
        return False
    if entry["type"] == "offset-checkpoint":
        if selection.topic is not None and entry.get("topic") != selection.topic:
            return False
        if selection.partition is not None and entry.get("partition") != selection.partition:
            return False
    return True


def _files(path: str, selection: Selection, errors: list[OSError]) -> Iterator[DataFile]:
    """The files to look at; `errors` is given what says why there are not more."""
    found = list(files_of(path, errors.append))
    skipped = set()
    low, high = selection.options.offsets
    if (low, high) != EVERYTHING:
        logs = [file for file in found if file.kind is Kind.LOG and not file.mark]
        for file, after in pairwise(logs):
            same = (file.topic, file.partition) == (after.topic, after.partition)
            if same and after.offset <= low:
                skipped.add(file.path)
        skipped |= {file.path for file in logs if file.offset > high}
    for file in found:
        if file.path in skipped:
            continue
        if selection.topic is not None and file.topic != selection.topic and file.kind is not Kind.OFFSET_CHECKPOINT:
            continue
        if selection.partition is not None and file.partition not in (selection.partition, None):
            continue
        yield file
