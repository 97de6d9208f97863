"""What validating a produced batch costs, per record: the walk in its exact and its cheap form, the whole append
validation.

    python -m bench.record_walk_bench [--json]

Needs no broker. `exact` is `log.record_walk.walk_records`, `cheap` is `log.record_runs.walk_regular`, `validate` is all
of `log.append_validation.validate_append` (header, CRC, unpacking, walk, patching), `crc` the checksum alone. The
best of seven runs counts: the machine's noise only adds.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

from kwire.records import HEADER_SIZE, BatchHeader, Codec, RecordBatchBuilder, decompress, verify_crc
from log.append_validation import validate_append
from log.config import LogConfig
from log.record_runs import walk_regular
from log.record_walk import Framing, WalkRules, walk_records

NOW = 1_700_000_000_000
MAX_INT64 = (1 << 63) - 1
HEADERS = [("trace-id", b"0123456789abcdef"), ("h", b"v")]


@dataclass
class Shape:
    """Records of a batch: how many, value bytes (a range: spread evenly), key bytes, ms from one to the next."""

    name: str
    count: int
    size: int | tuple[int, int]
    key: int = 0
    headers: bool = False
    codec: Codec = Codec.NONE
    step_ms: float = 0.05

    def build(self) -> bytearray:
        rng = random.Random(7)
        builder = RecordBatchBuilder(codec=self.codec)
        for index in range(self.count):
            size = self.size if isinstance(self.size, int) else rng.randint(*self.size)
            key = b"%0*d" % (self.key, index) if self.key else None
            value = rng.randbytes(size // 2) + bytes(size - size // 2)
            timestamp = NOW + int(index * self.step_ms)
            builder.append(key, value, timestamp=timestamp, headers=HEADERS if self.headers else ())
        return builder.build()


SHAPES = [
    Shape("1 record of 100 B", 1, 100),
    Shape("150 of 100 B (a 16 KB batch)", 150, 100),
    Shape("9000 of 100 B (a 1 MB batch)", 9000, 100),
    Shape("16 of 1 KB (a 16 KB batch)", 16, 1000),
    Shape("1000 of 1 KB (a 1 MB batch)", 1000, 1000),
    Shape("1000 of 100 B, 20 ms apart", 1000, 100, step_ms=20),
    Shape("1000 of 100 to 300 B", 1000, (100, 300)),
    Shape("1000 of 500 to 1500 B", 1000, (500, 1500)),
    Shape("1000 of 20 to 180 B", 1000, (20, 180)),
    Shape("1000 of 100 B, keys", 1000, 100, key=8),
    Shape("1000 of 100 B, keys and headers", 1000, 100, key=8, headers=True),
    Shape("1000 of 100 to 300 B, keys and headers", 1000, (100, 300), key=8, headers=True),
    Shape("9000 of 100 B, lz4", 9000, 100, codec=Codec.LZ4),
    Shape("1000 of 1 KB, lz4", 1000, 1000, codec=Codec.LZ4),
    Shape("1000 of 100 to 300 B, zstd", 1000, (100, 300), codec=Codec.ZSTD),
]


@dataclass
class Figures:
    """ns per record."""

    name: str
    exact: float
    cheap: float
    validate: float
    crc: float


def _best(function: Callable[[], object], count: int) -> float:
    """ns per record."""
    repeat = max(2, 30_000 // count)
    best = float("inf")
    for _ in range(7):
        start = time.process_time()
        for _ in range(repeat):
            function()
        best = min(best, (time.process_time() - start) / repeat)
    return best / count * 1e9


def measure(shape: Shape) -> Figures:
    data = shape.build()
    header = BatchHeader.peek(data)
    frame = memoryview(data)
    config = LogConfig()
    body = frame[HEADER_SIZE:]
    if shape.codec is not Codec.NONE:
        body = memoryview(decompress(shape.codec, body))
    rules = WalkRules("t-0", 0, header.base_timestamp, None, False, True, NOW + 5000, MAX_INT64, 3_600_000)
    framing = Framing.PLAIN if shape.codec is Codec.NONE else Framing.SKIMMED
    highest = NOW + 3_600_000

    def exact() -> object:
        return walk_records(body, shape.count, rules, framing)

    def cheap() -> int | None:
        return walk_regular(body, shape.count, header.base_timestamp, -MAX_INT64, highest, False)

    def validate() -> object:
        frame[:8] = b"\x00" * 8
        return validate_append(frame, 0, 0, config, NOW + 5000, partition="t-0")

    assert cheap() is not None, shape.name
    return Figures(
        shape.name,
        _best(exact, shape.count),
        _best(cheap, shape.count),
        _best(validate, shape.count),
        _best(lambda: verify_crc(frame, header), shape.count),
    )


def rows() -> Iterator[Figures]:
    for shape in SHAPES:
        yield measure(shape)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one line of JSON a row")
    arguments = parser.parse_args()
    if not arguments.json:
        print(f"{'ns per record':42} {'exact':>8} {'cheap':>8} {'validate':>9} {'crc':>6}")
    for row in rows():
        if arguments.json:
            print(json.dumps(asdict(row)))
        else:
            print(f"{row.name:42} {row.exact:8.0f} {row.cheap:8.0f} {row.validate:9.0f} {row.crc:6.0f}")


if __name__ == "__main__":
    main()
