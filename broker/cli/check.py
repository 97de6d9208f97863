"""`kwire check`: whether a data directory is sound, and what the next start would do about what is not."""

from __future__ import annotations

import fcntl
import json
import os
import struct
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import click
from attrs import define

from broker.clock import SystemClock
from broker.inspect.check import Checker, log_bytes
from broker.inspect.files import OFFSET_CHECKPOINTS, is_partition_dir
from broker.inspect.findings import Finding, Progress, Severity, Totals
from log.filenames import LOCK, META_PROPERTIES, parse_partition_dir

_ROLE: Final = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "blue"}
# struct flock of Linux: type, whence, start, length, pid
_FLOCK: Final = struct.Struct("hhqqi4x")


def in_use(directory: str) -> bool:
    """Whether a broker has locked the directory: kwire by flock, Kafka by a record lock. Nothing is left locked."""
    try:
        fd = os.open(f"{directory}/{LOCK}", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        found = fcntl.fcntl(fd, fcntl.F_GETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        if _FLOCK.unpack(found)[0] != fcntl.F_UNLCK:
            return True
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False
    finally:
        os.close(fd)


def looks_like_data(path: str) -> bool:
    """Whether there is anything of a broker's in the directory. Raises click.UsageError when it cannot be read."""
    try:
        names = os.listdir(path)
    except OSError as error:
        raise click.UsageError(f"{path}: {error.strerror}") from None
    known = {META_PROPERTIES, *OFFSET_CHECKPOINTS}
    return is_partition_dir(path) or any(name in known or parse_partition_dir(name) for name in names)


@define(slots=True)
class _Counts:
    errors: int = 0
    warnings: int = 0
    notes: int = 0

    def add(self, finding: Finding) -> None:
        if finding.severity is Severity.ERROR:
            self.errors += 1
        elif finding.severity is Severity.WARNING:
            self.warnings += 1
        else:
            self.notes += 1


def run(paths: Sequence[str], *, live: bool, as_json: bool, quiet: bool, colours: bool) -> int:
    """Check and print; 0 without findings of severity error, else 1. Raises click.UsageError."""
    for path in paths:
        if not looks_like_data(path):
            raise click.UsageError(
                f"{path} is no data directory and no partition's: it has no meta.properties, no checkpoint and nothing "
                "named TOPIC-PARTITION"
            )
        directory = os.path.dirname(os.path.abspath(path)) if is_partition_dir(path) else path
        if not live and in_use(directory):
            raise click.UsageError(
                f"{directory} is in use by a running broker. Stop it first, or give --live: then what is being written "
                "is not judged."
            )
    counts = _Counts()

    # On a terminal the bar stands where the findings will.
    held: list[str] | None = [] if not (quiet or as_json) and sys.stderr.isatty() and sys.stdout.isatty() else None

    def report(finding: Finding) -> None:
        counts.add(finding)
        text = json.dumps(finding.plain(), ensure_ascii=False) if as_json else finding_text(finding, colours)
        if held is not None:
            held.append(text)
        else:
            sys.stdout.write(f"{text}\n")

    clock = SystemClock()
    began_ms = clock.monotonic_ms()
    try:
        with _progress(paths, quiet or as_json) as progress:
            totals = Checker(report, progress, live).check(paths)
        seconds = (clock.monotonic_ms() - began_ms) / 1000
        for text in held or ():
            sys.stdout.write(f"{text}\n")
        sys.stdout.write(_summary(totals, counts, seconds, as_json) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        raise click.UsageError(f"{error.filename}: {error.strerror}") from None
    return 1 if counts.errors else 0


def finding_text(finding: Finding, colours: bool) -> str:
    """Up to four lines: what, where, why it matters, what the next start does about it."""
    severity = finding.severity
    label = f"{severity.value.upper():<7}"
    if colours:
        label = click.style(label, fg=_ROLE[severity], bold=True)
    place = finding.file
    if finding.position >= 0:
        place += f", byte {finding.position}"
    if finding.offset >= 0:
        place += f", offset {finding.offset}"
    lines = [f"{label} {finding.code}: {finding.what}", f"        {place}"]
    if severity is not Severity.INFO:
        lines.append(f"        why it matters: {finding.why}")
    if finding.repair:
        lines.append(f"        repair: {finding.repair}")
    return "\n".join(lines)


def _summary(totals: Totals, counts: _Counts, seconds: float, as_json: bool) -> str:
    if as_json:
        found: dict[str, Any] = {
            "type": "summary",
            "partitions": totals.partitions,
            "segments": totals.segments,
            "batches": totals.batches,
            "records": totals.records,
            "bytes": totals.bytes,
            "seconds": round(seconds, 3),
            "errors": counts.errors,
            "warnings": counts.warnings,
            "infos": counts.notes,
        }
        return json.dumps(found)
    speed = totals.bytes / 1e6 / max(seconds, 1e-9)
    verdict = "clean" if not counts.errors and not counts.warnings else "NOT CLEAN" if counts.errors else "sound"
    return (
        f"{verdict}: {counts.errors} errors, {counts.warnings} warnings, {counts.notes} notes; "
        f"{totals.partitions} partitions, {totals.segments} segments, {totals.batches} batches, {totals.records} "
        f"records, {totals.bytes / 1e6:.1f} MB in {seconds:.1f} s ({speed:.0f} MB/s)"
    )


@contextmanager
def _progress(paths: Sequence[str], quiet: bool) -> Iterator[Progress]:
    """A bar on a terminal, else a line for every tenth of a large directory, on standard error."""
    if quiet:
        yield lambda _bytes, _file: None
        return
    total = log_bytes(paths)
    if not sys.stderr.isatty():
        yield _lines(total)
        return
    with click.progressbar(length=total, label="checking", file=sys.stderr, item_show_func=_short) as bar:
        yield lambda count, file: bar.update(count, file)


def _short(file: str | None) -> str:
    """Partition and segment."""
    return "/".join((file or "").rsplit("/", 2)[1:])


def _lines(total: int) -> Progress:
    done = 0
    told = 0

    def advance(count: int, file: str) -> None:
        nonlocal done, told
        done += count
        tenth = done * 10 // total if total else 10
        if total > 256 << 20 and tenth > told:
            told = tenth
            sys.stderr.write(f"{tenth * 10} %: {done / 1e6:.0f} of {total / 1e6:.0f} MB, {file}\n")

    return advance
