"""kwire's compression codecs for kafka-python where the libraries it looks for are not installed.

kafka-python packs and unpacks snappy, lz4 and zstd with python-snappy, lz4 and zstandard, which kwire does not need.
Its batches of magic 2 get kwire's own codecs instead; what is there already is left alone.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any, Final

_NAMES: Final = ("snappy", "lz4", "zstd")


def complete_codecs() -> list[str]:
    """Put in what is missing; the names of the codecs that were."""
    codec = importlib.import_module("kafka.codec")
    missing = [name for name in _NAMES if not getattr(codec, f"has_{name}")()]
    if not missing:
        return []
    from kwire.records.compression import Codec, compress, decompress

    records = importlib.import_module("kafka.record.default_records")
    producer = importlib.import_module("kafka.producer.kafka").KafkaProducer
    for name in missing:
        kind = Codec[name.upper()]
        pack: Callable[[Any], bytes] = partial(compress, kind)

        def unpack(data: Any, kind: Codec = kind) -> bytes:
            return bytes(decompress(kind, data))

        setattr(codec, f"has_{name}", _there)
        setattr(records, f"{name}_encode", pack)
        setattr(records, f"{name}_decode", unpack)
        producer._COMPRESSORS[name] = (_there, int(kind))
    return missing


def _there() -> bool:
    return True
