"""Mutated message sets of magic 0 and 1 at the conversion into a batch.

What must hold: a batch that an append takes, or a refusal, soon; never another exception.
"""

from __future__ import annotations

import random
import time

from broker.personality.up_conversion import converted, magic_of
from kwire.records.compression import Codec
from kwire.records.legacy import write_message_set
from kwire.records.record import Record
from log.append_errors import RecordsRejectedError
from log.append_validation import validate_append
from log.config import LogConfig
from tests.fuzz.fuzz_codec import mutate

MAX_MESSAGE_BYTES = 1 << 20
MAX_SECONDS = 2.0


def message_sets() -> list[bytes]:
    records = [Record(at, 1_000 + at, b"key%d" % at if at % 3 else None, b"v" * (at * 7)) for at in range(12)]
    return [
        write_message_set(
            [Record(each.offset, each.timestamp if magic else -1, each.key, each.value) for each in some],
            magic=magic,
            codec=codec,
        )
        for magic in (0, 1)
        for codec in (Codec.NONE, Codec.GZIP, Codec.SNAPPY, Codec.LZ4)
        for some in (records, records[:1])
    ]


def check(data: bytes) -> bool:
    """Whether it became a batch."""
    started = time.thread_time()
    try:
        batch = converted(memoryview(data), MAX_MESSAGE_BYTES)
    except RecordsRejectedError:
        return False
    except Exception as error:
        raise AssertionError(f"{error!r} from {data.hex()}") from error
    finally:
        took = time.thread_time() - started
        assert took < MAX_SECONDS, f"{took:.1f} s for {data.hex()}"
    if batch is None:
        return False
    return refusal_of(batch) is None


def refusal_of(batch: bytearray) -> str | None:
    """What the append has against it: only what holds for batches of any magic."""
    try:
        validate_append(memoryview(batch), 7, 0, LogConfig(), 2**62, partition="fuzz-0")
    except RecordsRejectedError as error:
        code = error.code.name
    else:
        return None
    assert code in ("MESSAGE_TOO_LARGE", "INVALID_TIMESTAMP", "INVALID_RECORD"), f"{code} for {batch.hex()}"
    return code


def test_fuzz_message_sets(long_form: bool) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)  # shown when it fails
    rng = random.Random(seed)
    originals = message_sets()
    taken = sum(check(data) for data in originals)
    assert taken == len(originals)
    end = time.monotonic() + (60 if long_form else 1)
    tried = 0
    while time.monotonic() < end:
        data = mutate(rng.choice(originals), rng)
        if magic_of(memoryview(data)) not in (0, 1):
            continue
        check(data)
        check(resealed(data))
        tried += 1
    assert tried > 50


def resealed(data: bytes) -> bytes:
    """With the checksum of the first message right, so that what is behind it is looked at."""
    import zlib

    size = 12 + int.from_bytes(data[8:12], "big", signed=True)
    if not 16 <= size <= len(data):
        return data
    return data[:12] + zlib.crc32(data[16:size]).to_bytes(4, "big") + data[16:]
