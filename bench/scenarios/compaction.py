"""A topic of 2 GB is compacted while records are produced one at a time: their p99 stays within twice that of idle.

Each record is 1 KB with a key of its own in its half of the topic, so that one half of the bytes stays. The compaction
begins when min.compaction.lag.ms is lowered, and ends with its entry in cleaner-offset-checkpoint.
"""

from __future__ import annotations

import argparse
import socket
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import crc32c

from bench import wire
from bench.load import programs
from bench.load.programs import Result
from bench.rows import random_values, topic
from bench.scenarios import common
from bench.targets import Target
from kwire import codec
from kwire.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
)
from kwire.records import RecordBatchBuilder

VALUE_BYTES = 1024
RECORDS_IN_BATCH = 500
KEY = struct.Struct(">Q")
SLICE_S = 4.0
_CRC_AT = 17
_TOPIC_SETTINGS = {
    "cleanup.policy": "compact",
    "min.cleanable.dirty.ratio": "0.01",
    "min.compaction.lag.ms": "3600000",
    "segment.bytes": str(256 * 1024 * 1024),
}
_BROKER_SETTINGS = {"log.cleaner.backoff.ms": "100"}


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--megabytes", type=int, default=2000)
    parser.add_argument("--interval-us", type=int, default=0, help="between two records; 0: one after the other")
    parser.add_argument("--seconds", type=float, default=8.0, help="for how long idle is measured")


class Batches:
    """Batches of records whose keys count up: one is encoded, the others are it with other keys and checksum."""

    def __init__(self) -> None:
        builder = RecordBatchBuilder()
        marks = []
        for number, value in enumerate(random_values(VALUE_BYTES, RECORDS_IN_BATCH)):
            mark = b"key%05d" % number
            marks.append(mark)
            builder.append(mark, value, timestamp=int(time.time() * 1000) - 60_000)
        self._batch = bytearray(builder.build())
        self._places = [self._batch.index(mark) for mark in marks]

    def of(self, first_key: int) -> bytes:
        batch = self._batch
        for number, place in enumerate(self._places):
            KEY.pack_into(batch, place, first_key + number)
        struct.pack_into(">I", batch, _CRC_AT, crc32c.crc32c(memoryview(batch)[_CRC_AT + 4 :]))
        return bytes(batch)


def fill(target: Target, name: str, size_bytes: int) -> int:
    """Write the topic; how many records it has. Every key is written twice, half a topic apart."""
    batches = Batches()
    count = size_bytes // len(batches.of(0))
    with wire.connect(target.bootstrap, 60.0) as sock:
        for number in range(count):
            first_key = number % (count // 2) * RECORDS_IN_BATCH
            _acknowledged(sock, wire.produce_frame(name, 0, batches.of(first_key)), name)
        # one more segment: the active one is never compacted
        later = RecordBatchBuilder()
        later.append(b"last", b"", timestamp=int(time.time() * 1000))
        _acknowledged(sock, wire.produce_frame(name, 0, bytes(later.build())), name)
    return count * RECORDS_IN_BATCH


def _acknowledged(sock: socket.socket, frame: bytes, name: str) -> None:
    sock.sendall(frame)
    answer = wire.read_frame(sock)
    code = struct.unpack_from(">h", answer, wire.produce_error_offset(name) - 4)[0]
    if code:
        raise RuntimeError(f"produce was refused with {code}")


def alter(target: Target, name: str, **settings: str) -> None:
    """Set settings of a topic."""
    configs = [AlterableConfig(name=key.replace("_", "."), value=value) for key, value in settings.items()]
    resource = AlterConfigsResource(resource_type=2, resource_name=name, configs=configs)
    body = codec.encode(IncrementalAlterConfigsRequest(resources=[resource]), 0)
    wire.ask(target.bootstrap, wire.frame(44, 0, body))


def checkpoint(directory: Path, name: str) -> int:
    """Up to which offset the topic is compacted."""
    for path in directory.rglob("cleaner-offset-checkpoint"):
        for line in path.read_text().splitlines():
            if line.startswith(f"{name} 0 "):
                return int(line.rpartition(" ")[2])
    return 0


def size_of(directory: Path, name: str) -> int:
    """Bytes of the topic's segments."""
    sizes = []
    for path in directory.rglob(f"{name}-0/*.log"):
        try:
            sizes.append(path.stat().st_size)
        except FileNotFoundError:
            continue
    return sum(sizes)


def _produce(target: Target, name: str, seconds: float, interval_us: int) -> Result:
    frame = wire.produce_frame(name, 0, wire.record_batch(random_values(100, 1)))
    offset = wire.produce_error_offset(name)
    with programs.raw(target, frame, seconds=seconds, interval_us=interval_us, error_offset=offset) as load:
        load.begin()
        return load.finish()


def _while_compacting(target: Target, probed: str, name: str, arguments: argparse.Namespace) -> Iterator[Result]:
    deadline = time.monotonic() + 600
    while not checkpoint(target.directory, name):
        if time.monotonic() > deadline:
            raise RuntimeError("not compacted within 600 s")
        yield _produce(target, probed, SLICE_S, arguments.interval_us)


def _scenario(target: Target, arguments: argparse.Namespace, outcome: common.Outcome) -> None:
    figures = outcome.figures
    with topic(target, "probed") as probed:
        name = f"compacted-{time.time_ns()}"
        wire.create_topic(target.bootstrap, name, 1, _TOPIC_SETTINGS)
        records = fill(target, name, arguments.megabytes * 1_000_000)
        before = size_of(target.directory, name)
        time.sleep(3.0)  # what was written is on its way to the disk; the last segments are synced
        idle = _produce(target, probed, arguments.seconds, arguments.interval_us)
        alter(target, name, min_compaction_lag_ms="0")
        began = time.monotonic()
        busy = list(_while_compacting(target, probed, name, arguments))
        took = time.monotonic() - began
        figures["records"] = records
        figures["compacted_to"] = checkpoint(target.directory, name)
        figures["mb_before"] = round(before / 1e6)
        figures["mb_after"] = round(size_of(target.directory, name) / 1e6)
        figures["compaction_s"] = round(took, 1)
        figures["compaction_mb_per_s"] = round(before / 1e6 / took, 1)
        # the last slice ends after the compaction
        whole = busy[:-1] or busy
        for key in ("p50_ms", "p99_ms", "max_ms"):
            figures[f"idle_{key}"] = round(idle[key], 4)
            figures[f"busy_{key}"] = [round(result[key], 4) for result in whole]
        figures["idle_per_s"] = round(idle["requests"] / arguments.seconds)
        figures["busy_per_s"] = [round(result["requests"] / SLICE_S) for result in whole]
        outcome.holds("half_of_it_is_gone", figures["mb_after"] < 0.7 * figures["mb_before"])
        middle = sorted(result["p99_ms"] for result in whole)[len(whole) // 2]
        outcome.at_most("p99_ratio", middle / idle["p99_ms"], 2.0)
        wire.delete_topic(target.bootstrap, name)


if __name__ == "__main__":
    sys.exit(common.run(__doc__, _scenario, settings=_BROKER_SETTINGS, options=_options))
