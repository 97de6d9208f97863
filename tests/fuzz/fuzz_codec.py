"""Throws mutated and made-up bytes at the decoder of every message version.

    python -m tests.fuzz.fuzz_codec [--seconds 60] [--seed N]

What must hold: the decoder returns or raises DecodeError, soon, and what it returned can be encoded and decoded to the
same again. A failure prints class, version and bytes.
"""

from __future__ import annotations

import argparse
import random
import struct
import time

from kwire import codec
from kwire.errors import DecodeError
from kwire.schema import Struct
from tests.kwire.samples import Filler, all_versions

NASTY = (
    b"\xff\xff\xff\xff\x0f",
    b"\xff\xff\xff\xff\x07",
    b"\x80\x80\x80\x80\x80\x80",
    b"\xff\xff\xff\x7f",
    struct.pack(">i", -1),
    struct.pack(">i", 0x7FFFFFFF),
    struct.pack(">h", -2),
    b"\x00",
    b"\x7f",
    b"\x80",
    b"\xff",
)
MAX_SECONDS = 2.0
"""CPU time of the thread, far more than any input takes; a decoder that works through a made-up count takes longer."""


def check(cls: type[Struct], version: int, data: bytes) -> bool:
    """Decode; True if that worked. Raises AssertionError if anything else than DecodeError came of it."""
    started = time.thread_time()
    try:
        message, end = codec.decode_with_end(cls, version, data)
    except DecodeError:
        return False
    except Exception as error:
        raise AssertionError(f"{cls.__name__} v{version}: {error!r} from {data.hex()}") from error
    finally:
        took = time.thread_time() - started
        assert took < MAX_SECONDS, f"{cls.__name__} v{version}: {took:.1f} s for {data.hex()}"
    assert 0 <= end <= len(data), f"{cls.__name__} v{version}: ends at {end} of {data.hex()}"
    again = codec.encode(message, version)
    assert codec.encode(codec.decode(cls, version, again), version) == again, f"{cls.__name__} v{version}: {data.hex()}"
    return True


def mutate(data: bytes, rng: random.Random) -> bytes:
    """`data` with one to four things done to it."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at = rng.randrange(len(changed) + 1)
        what = rng.randrange(6)
        if what == 0:
            changed[at : at + 1] = rng.choice(NASTY)
        elif what == 1:
            changed[at:at] = rng.choice(NASTY)
        elif what == 2 and at < len(changed):
            changed[at] ^= 1 << rng.randrange(8)
        elif what == 3:
            del changed[at:]
        elif what == 4:
            del changed[at : at + rng.randrange(1, 5)]
        else:
            changed[at:at] = rng.randbytes(rng.randrange(1, 9))
    return bytes(changed)


def run(seconds: float, seed: int) -> tuple[int, int]:
    """Fuzz for some seconds; returns how many inputs there were and how many of them could be decoded."""
    rng = random.Random(seed)
    filler = Filler(rng, small=True)
    tried = decoded = 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        cls, version = rng.choice(all_versions())
        data = codec.encode(filler.message(cls, version), version)
        for _ in range(20):
            mutated = rng.randbytes(rng.randrange(64)) if rng.random() < 0.1 else mutate(data, rng)
            decoded += check(cls, version, mutated)
            tried += 1
    return tried, decoded


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.fuzz_codec")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.randrange(1 << 32)
    print(f"seed {seed}")
    tried, decoded = run(options.seconds, seed)
    print(f"{tried} inputs, {decoded} of them decoded")


if __name__ == "__main__":
    main()
