"""How fast the cleaner cleans, without a broker: `python -m bench.cleaning_bench [--mb 200] [name ...]`.

Each case writes a log of one kind into a temporary directory and cleans all of it: CPU time of both walks, what is
left, and what memory the offset map and the process took.
"""

from __future__ import annotations

import argparse
import random
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from attrs import define

from kwire.records import Codec, RecordBatchBuilder
from log.compaction.cleaning import clean
from log.compaction.job import CleaningJob, SourceSegment
from log.storage import RealStorage

_SEGMENT_BYTES = 128 << 20
_NOW = 1_700_000_000_000

Keys = Callable[[int, random.Random], bytes]


def different(offset: int, _: random.Random) -> bytes:
    return b"key-%016d" % offset


def thousand(offset: int, _: random.Random) -> bytes:
    return b"key-%016d" % (offset % 1000)


def many(_: int, rng: random.Random) -> bytes:
    return b"key-%016d" % rng.randrange(200_000)


@define(frozen=True)
class Case:
    """`share` of the megabytes asked for; `records` a batch, of `value_bytes` each."""

    value_bytes: int
    records: int
    keys: Keys
    share: float = 1.0
    codec: Codec = Codec.NONE
    map_bytes: int = 128 << 20


CASES = {
    "1 KB, all stay": Case(1000, 16, different),
    "1 KB, nearly all go": Case(1000, 16, thousand),
    "1 KB, half stay": Case(1000, 16, many),
    "100 B, all stay": Case(80, 100, different, 0.25),
    "100 B, nearly all go": Case(80, 100, thousand, 0.25),
    "100 B, half stay": Case(80, 100, many, 0.25),
    "100 B, all stay, map of 24 MB": Case(80, 100, different, 0.25, map_bytes=24 << 20),
    "one record a batch, nearly all go": Case(80, 1, thousand, 0.125),
    "1 KB lz4, half stay": Case(1000, 16, many, 0.25, Codec.LZ4),
}


def write_log(directory: Path, case: Case, total_bytes: int) -> tuple[list[SourceSegment], int]:
    """The segments and the end offset."""
    rng = random.Random(1)
    value = rng.randbytes(case.value_bytes)
    segments: list[SourceSegment] = []
    offset = written = 0
    while written < total_bytes:
        base = offset
        size = 0
        with (directory / f"{base:020d}.log").open("wb") as file:
            while size < _SEGMENT_BYTES and written < total_bytes:
                builder = RecordBatchBuilder(base_offset=offset, codec=case.codec)
                for number in range(case.records):
                    builder.append(case.keys(offset + number, rng), value, timestamp=_NOW + number)
                data = builder.build()
                file.write(data)
                size += len(data)
                written += len(data)
                offset += case.records
        segments.append(SourceSegment(base, size, 0, 0, _NOW))
    return segments, offset


def run(name: str, case: Case, total_bytes: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        segments, end = write_log(Path(directory), case, int(total_bytes * case.share))
        job = CleaningJob("t", 0, directory, _NOW, 0, end, tuple(segments), map_bytes=case.map_bytes)
        wall, cpu = time.perf_counter(), time.process_time()
        stats = clean(RealStorage(), job).stats
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{name:36} {stats.bytes_read / 1e6:6.0f} MB {end:9,} records | {cpu:6.2f} s CPU ({wall:.2f} s) "
        f"{stats.bytes_read / 1e6 / cpu:5.0f} MB/s {end / cpu / 1000:5.0f} k records/s | "
        f"{stats.bytes_written / 1e6:6.0f} MB left | "
        f"map {stats.map_entries:9,} keys {stats.map_bytes_used / 1e6:4.0f} MB, process {memory:4.0f} MB at most",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mb", type=int, default=200, help="size of the log (small records: a part of it)")
    parser.add_argument("name", nargs="*", help="cases; all without one")
    chosen = parser.parse_args()
    for name, case in CASES.items():
        if not chosen.name or name in chosen.name:
            run(name, case, chosen.mb * 1_000_000)


if __name__ == "__main__":
    main()
