"""A consumer reads 1 GB that is not in the page cache while a probe produces: the probe's p99 stays under 5 ms."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from bench.load import programs
from bench.rows import random_values, topic
from bench.scenarios import common
from bench.targets import Target

VALUE_BYTES = 1024


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--warm", action="store_true", help="leave the page cache as it is, to compare")


def _segments(directory: Path) -> list[Path]:
    """The segments below `directory`; folders may vanish meanwhile, as those of deleted topics do."""
    found = [Path(folder) / name for folder, _, names in os.walk(directory) for name in names]
    return [path for path in found if path.suffix == ".log" and path.name != "broker.log" and "cold" in str(path)]


def drop_from_page_cache(directory: Path) -> int:
    """Write back and forget the pages of all segments below `directory`; how many bytes the files have."""
    total = 0
    for path in _segments(directory):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            total += os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)
    return total


def _still_cached(directory: Path) -> float | None:
    """The share of the segments' pages in the page cache, by fincore(1); None without it."""
    paths = [str(path) for path in _segments(directory)]
    try:
        done = subprocess.run(["fincore", "-bnr", "-o", "RES,SIZE", *paths], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    sizes = [[int(word) for word in line.split()] for line in done.stdout.splitlines()]
    return round(sum(row[0] for row in sizes) / max(sum(row[1] for row in sizes), 1), 3)


def _scenario(target: Target, arguments: argparse.Namespace, outcome: common.Outcome) -> None:
    count = arguments.megabytes * 1_000_000 // VALUE_BYTES
    values = random_values(VALUE_BYTES)
    with topic(target, "cold") as name:
        with programs.rdkafka(target, "produce", name, count=count, warmup=0, values=values) as load:
            load.begin()
            load.finish()
        with programs.rdkafka(target, "consume", name, count=count, warmup=0, values=values) as scan:
            if not arguments.warm:
                outcome.figures["segment_bytes"] = drop_from_page_cache(target.directory)
                outcome.figures["still_cached"] = _still_cached(target.directory)
            began = time.monotonic()
            with common.probe(target, 4.0, interval_us=1000) as probe:
                scan.begin()
                probe.begin()
                scanned = scan.finish()
                took = time.monotonic() - began
                result = probe.finish()
        outcome.figures["scan_mb_per_s"] = scanned["mb_per_second"]
        outcome.figures["scan_s"] = round(took, 2)
        outcome.at_most("probe_p99_ms", result["p99_ms"], common.PROBE_P99_MS)
        outcome.figures["probe_p50_ms"] = result["p50_ms"]
        outcome.figures["probe_max_ms"] = result["max_ms"]
        outcome.figures["probe_requests"] = result["requests"]
        outcome.holds("probe_served_all_along", result["requests"] > 1000)


if __name__ == "__main__":
    sys.exit(common.run(__doc__, _scenario, options=_options))
