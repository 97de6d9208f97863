"""Loading a group coordinator: a million commits in one partition of __consumer_offsets, kwire beside Apache Kafka

1,000,000 single-record commits over 1,000 keys that nobody compacted, and over 1,000,000 keys. kwire writes them, then
each broker starts on a copy of that directory; until the partition's groups are ready they are answered with
COORDINATOR_LOAD_IN_PROGRESS, and a commit to the other partition is timed over and over.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import java, process, wire
from bench.scenarios.common import Outcome
from bench.targets import ROOT, free_port
from broker.group.ids import partition_for
from broker.group.record_codec import encode_batches
from broker.group.records import OffsetAndMetadata, OffsetRecord
from log.append_validation import AppendOrigin
from log.config import LogConfig
from log.partition_log import PartitionLog
from log.storage import RealStorage

_PARTITIONS = 2
_READY_LIMIT_S = 5.0
_GIVE_UP_S = 120.0
_LOADING = (14, 15, 16)
_TOPIC = "load"


def _name_in(partition: int, stem: str, number: int) -> str:
    """A group id that lives in this partition."""
    return next(
        name for tail in range(1000) if partition_for(name := f"{stem}-{number}-{tail}", _PARTITIONS) == partition
    )


def _string(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()


def _commit(group: str, offset: int) -> bytes:
    """OffsetCommit v2 of one partition, without a generation."""
    body = _string(group) + struct.pack(">i", -1) + _string("") + struct.pack(">qi", -1, 1) + _string(_TOPIC)
    return wire.frame(8, 2, body + struct.pack(">iiq", 1, 0, offset) + _string(""))


def _commit_error(answer: bytes) -> int:
    return int(struct.unpack_from(">h", answer, len(answer) - 2)[0])


def _fetch(group: str) -> bytes:
    """OffsetFetch v2 of one partition."""
    return wire.frame(9, 2, _string(group) + struct.pack(">i", 1) + _string(_TOPIC) + struct.pack(">ii", 1, 0))


def _fetched(answer: bytes) -> tuple[int, int]:
    """(error of the whole, offset)"""
    error = struct.unpack_from(">h", answer, len(answer) - 2)[0]
    at = 8 + 4 + 2 + len(_TOPIC) + 4 + 4
    offset = struct.unpack_from(">q", answer, at)[0] if len(answer) > at + 8 else -1
    return error, offset


class _Broker:
    """kwire or Kafka on a directory that outlives it."""

    def __init__(self, kind: str, directory: Path) -> None:
        self.kind = kind
        port, controller_port = free_port(), free_port()
        settings = {
            "node.id": "1",
            "log.dirs": str(directory / "data"),
            "offsets.topic.num.partitions": str(_PARTITIONS),
            "offsets.topic.replication.factor": "1",
            "log.cleaner.enable": "false",
        }
        listeners = f"PLAINTEXT://127.0.0.1:{port}"
        if kind == "kafka":
            listeners += f",CONTROLLER://127.0.0.1:{controller_port}"
            settings |= {
                "process.roles": "broker,controller",
                "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
                "controller.listener.names": "CONTROLLER",
            }
        settings["listeners"] = listeners
        config = directory / f"{kind}.properties"
        config.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        if kind == "kafka":
            command = [java.find_java(), *java.JVM_FLAGS, "-cp", java.class_path(), "kafka.Kafka", str(config)]
        else:
            command = [sys.executable, "-m", "kwire", "serve", "--config", str(config)]
        self.bootstrap = f"127.0.0.1:{port}"
        with open(directory / f"{kind}.log", "ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        while not wire.is_ready(self.bootstrap):
            if self.process.poll() is not None:
                raise RuntimeError((directory / f"{kind}.log").read_text()[-2000:])
            time.sleep(0.002)
        self.ready_at = time.monotonic()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()

    def figures(self) -> dict[str, float]:
        return {"rss_mb": round(process.memory_mb(self.process.pid), 1)}


def _until_committed(broker: _Broker, group: str) -> None:
    deadline = time.monotonic() + _GIVE_UP_S
    wire.ask(broker.bootstrap, wire.frame(10, 0, _string(group)))  # FindCoordinator: what makes the internal topic
    while _commit_error(wire.ask(broker.bootstrap, _commit(group, 1))) != 0:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{group} cannot commit")
        time.sleep(0.05)


def _fill(directory: Path, partition: int, commits: int, keys: int) -> str:
    """Append the commits, one record a batch; the group committed last."""
    log = PartitionLog.open(
        RealStorage(),
        str(directory / "data" / f"__consumer_offsets-{partition}"),
        "__consumer_offsets",
        partition,
        LogConfig(cleanup_policy=("compact",), segment_bytes=104857600),
        now_ms=int(time.time() * 1000),
    )
    now_ms = int(time.time() * 1000)
    groups = [_name_in(partition, "group", number) for number in range(max(keys // 1000, 1))]
    a_group = keys // len(groups)
    batches = []
    for key in range(keys):
        value = OffsetAndMetadata(key, commit_timestamp_ms=now_ms)
        record = OffsetRecord(groups[key // a_group % len(groups)], _TOPIC, key % a_group, value)
        found = encode_batches([record], now_ms, 1 << 20, splittable=False)
        assert found is not None
        batches.append(bytes(found[0]))
    for number in range(commits):
        batch = memoryview(bytearray(batches[number % keys]))
        log.append_as_leader(batch, leader_epoch=0, now_ms=now_ms, origin=AppendOrigin.COORDINATOR)
    log.flush(now_ms)
    log.close(now_ms)
    return groups[-1]


def _load(kind: str, directory: Path, loaded: str, other: str) -> dict[str, float]:
    broker = _Broker(kind, directory)
    try:
        slowest_ms, refused, other_ready = 0.0, 0, None
        with wire.connect(broker.bootstrap, 60) as sock, wire.connect(broker.bootstrap, 60) as second:
            ready = None
            while ready is None:
                now = time.monotonic()
                if now - broker.ready_at > _GIVE_UP_S:
                    raise RuntimeError(f"{kind}: not loaded after {_GIVE_UP_S} s")
                began = time.monotonic()
                second.sendall(_commit(other, 7))
                error = _commit_error(wire.read_frame(second))
                if error == 0:
                    other_ready = other_ready or now - broker.ready_at
                    slowest_ms = max(slowest_ms, (time.monotonic() - began) * 1e3)
                sock.sendall(_fetch(loaded))
                error, offset = _fetched(wire.read_frame(sock))
                if error == 0 and offset >= 0:
                    ready = time.monotonic() - broker.ready_at
                elif error in _LOADING:
                    refused += 1
                    time.sleep(0.002)
                else:
                    raise RuntimeError(f"{kind}: error {error}, offset {offset}")
        return {
            "ready_s": round(ready, 2),
            "answered_loading": refused,
            "other_partition_ready_s": round(other_ready or -1.0, 3),
            "slowest_commit_beside_ms": round(slowest_ms, 1),
            **broker.figures(),
        }
    finally:
        broker.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commits", type=int, default=1_000_000)
    parser.add_argument("--targets", default="kwire,kafka")
    arguments = parser.parse_args()
    outcome = Outcome({"commits": arguments.commits})
    other = _name_in(1, "beside", 0)
    for keys in (1000, arguments.commits):
        with tempfile.TemporaryDirectory(prefix="kwire-load-") as name:
            directory = Path(name)
            broker = _Broker("kwire", directory)
            wire.create_topic(broker.bootstrap, _TOPIC, 1000)
            _until_committed(broker, _name_in(0, "first", 0))
            _until_committed(broker, other)
            broker.stop()
            loaded = _fill(directory, 0, arguments.commits, keys)
            kept = directory / "kept"
            shutil.copytree(directory / "data", kept)
            for kind in arguments.targets.split(","):
                shutil.rmtree(directory / "data")
                shutil.copytree(kept, directory / "data")
                figures = _load(kind, directory, loaded, other)
                outcome.figures[f"{keys} keys, {kind}"] = figures
                if kind == "kwire" and keys == 1000:
                    outcome.at_most("ready_s", figures["ready_s"], _READY_LIMIT_S)
    print(json.dumps({"passed": not outcome.missed, "missed": outcome.missed, **outcome.figures}, indent=1))
    return 1 if outcome.missed else 0


if __name__ == "__main__":
    sys.exit(main())
