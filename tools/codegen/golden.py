"""Writes `tests/kwire/data/golden.json.xz`: for every version of every message, what Kafka's own classes write.

    python -m tools.codegen.golden      needs Java and the jars named in tests/kwire/java_exchange.py

A line has a class name, a version, a message in Kafka's JSON, and its bytes in hexadecimal. Each version is there
twice: with everything set, and with nulls and empty arrays where it allows them.
"""

from __future__ import annotations

import json
import lzma
import random

from kwire.schema import info_of
from tests.kwire.java_exchange import Item, current_jars, exchange, past_jars
from tests.kwire.samples import DATA, Filler, all_versions, to_json


def main() -> None:
    filled, sparse = (Filler(random.Random(20261120), unknown_tags=False, small=True) for _ in range(2))
    sparse.null_rate, sparse.structs, sparse.arrays = 1.0, (0,), (0,)
    kept = []
    for jars, past in ((current_jars(), False), (past_jars(), True)):
        items = []
        for cls, version in all_versions():
            low, high = info_of(cls).versions
            if (low <= version <= high) != past:
                for filler in (filled, sparse):
                    items.append(Item(cls, version, to_json(filler.message(cls, version), version), None))
        for item, answer in zip(items, exchange(items, jars), strict=True):
            kept.append([item.cls.__name__, item.version, item.json, answer.filled.hex()])
    text = "\n".join(json.dumps(line, separators=(",", ":"), sort_keys=True) for line in kept)
    packed = lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME)
    (DATA / "golden.json.xz").write_bytes(packed)
    print(f"{len(kept)} messages, {len(text)} characters, {len(packed)} bytes")


if __name__ == "__main__":
    main()
