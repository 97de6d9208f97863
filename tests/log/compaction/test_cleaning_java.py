"""The same directories cleaned by Kafka's own cleaner and by ours: the same batches, in the same segments."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from attrs import define

from log.compaction.cleanable import LogToClean
from log.compaction.job import CleaningJob
from log.config import LogConfig
from tests.kwire.java_records import JARS, skip_without_java
from tests.log.compaction.histories import History, batches_of

pytestmark = pytest.mark.java

_LOGGING_OFF = '<Configuration status="OFF"><Loggers><Root level="OFF"/></Loggers></Configuration>'


def kafka_cleans(questions: list[dict[str, Any]], tmp_path: Path) -> list[dict[str, Any]]:
    """Kafka's answers, in one process."""
    logging = tmp_path / "log4j2.xml"
    logging.write_text(_LOGGING_OFF)
    command = [
        "java",
        "-Xmx512m",
        "-XX:TieredStopAtLevel=1",
        f"-Dlog4j2.configurationFile={logging}",
        f"-Djava.io.tmpdir={tmp_path}",
        "-cp",
        ":".join(str(jar) for jar in sorted(JARS.glob("*.jar"))),
        str(Path(__file__).parent / "java/Clean.java"),
    ]
    lines = "\n".join(json.dumps(question) for question in questions)
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(questions)
    return answers


@define
class Round:
    """One cleaning: Kafka's copy of the directory as it was before, and ours as it was after."""

    where: str
    before: Path
    after: Path
    question: dict[str, Any]
    candidate: LogToClean
    delay_ms: int
    job: CleaningJob | None
    end_offset: int


def random_rounds(seed: int, root: Path, rounds: int) -> list[Round]:
    rng = random.Random(seed)
    topic = {
        "cleanup.policy": rng.choice(["compact", "compact,delete"]),
        "internal.segment.bytes": str(rng.choice([1500, 6000, 20000])),
        "index.interval.bytes": str(rng.choice([50, 600])),
        "segment.index.bytes": str(rng.choice([240, 10_000])),
        "delete.retention.ms": str(rng.choice([0, 1000, 50_000])),
        "min.compaction.lag.ms": str(rng.choice([0, 0, 0, 300])),
        "max.compaction.lag.ms": str(rng.choice([1000, 1 << 62])),
        "message.timestamp.type": rng.choice(["CreateTime", "CreateTime", "LogAppendTime"]),
        "retention.ms": "-1",
        "max.message.bytes": "2000000",
    }
    here = root / f"{seed}"
    here.mkdir()
    history = History(here / "topic-0", rng, LogConfig.from_strings(topic), rng.choice([3, 12, 200]))
    map_bytes = rng.choice([24 * 5, 24 * 40, 1 << 20, 1 << 20])
    found = []
    for number in range(rounds):
        history.append(rng.choice([0, 5, 40, 40]))
        history.now_ms += rng.choice([0, 500, 2000, 60_000])
        io_buffer = rng.choice([100, 4096, 100_000])
        checkpoint = history.checkpoint
        job = history.job(map_bytes=map_bytes, io_buffer_bytes=io_buffer)
        before = here / f"kafka{number}/topic-0"
        shutil.copytree(history.directory, before)
        end_offset = history.clean(job).end_offset if job is not None else -1
        after = here / f"ours{number}/topic-0"
        shutil.copytree(history.directory, after)
        question = {
            "dir": str(before),
            "now": history.now_ms,
            "checkpoint": -1 if checkpoint is None else checkpoint,
            "mapBytes": map_bytes,
            "loadFactor": 0.9,
            "ioBuffer": io_buffer,
            "config": topic,
        }
        where = f"seed {seed}, round {number}: {question}"
        found.append(Round(where, before, after, question, history.candidate, history.delay_ms, job, end_offset))
    return found


def test_same_as_kafka(tmp_path: Path, long_form: bool) -> None:
    skip_without_java()
    first = int(os.environ.get("SEED", random.randrange(1 << 32)))
    cleanings = [one for seed in range(100 if long_form else 4) for one in random_rounds(first + seed, tmp_path, 5)]
    answers = kafka_cleans([one.question for one in cleanings], tmp_path)
    for one, answer in zip(cleanings, answers, strict=True):
        if "Attempt to append to a full" in answer.get("error", ""):
            continue  # Kafka's cleaner gives up where indexes are too small; ours indexes less
        assert "error" not in answer, f"{one.where}: {answer}"
        mine = {
            "firstDirty": one.candidate.first_dirty_offset,
            "firstUncleanable": one.candidate.first_uncleanable_offset,
            "cleanBytes": one.candidate.clean_bytes,
            "cleanableBytes": one.candidate.cleanable_bytes,
            "delay": one.delay_ms,
        }
        assert mine == {name: answer[name] for name in mine}, one.where
        if one.job is None:
            assert "endOffset" not in answer, one.where
            continue
        if kafka_takes_committed_for_aborted(one.job):
            continue
        assert one.end_offset == answer["endOffset"], one.where
        same_files(one)


def kafka_takes_committed_for_aborted(job: CleaningJob) -> bool:
    """Where the dirty part begins within a segment, Kafka counts transactions that were aborted in that segment before
    as open, so it leaves what the producer committed next out of the offset map (docs/DIFFERENCES.md)."""
    start = max(one.base_offset for one in job.segments if one.base_offset <= job.first_dirty_offset)
    return any(start <= one.last_offset < job.first_dirty_offset for one in job.aborted_transactions)


def same_files(one: Round) -> None:
    ours, kafkas = batches_of(one.after), batches_of(one.before)
    assert list(ours) == list(kafkas), one.where
    for name, batches in ours.items():
        assert batches == kafkas[name], f"{one.where}: {name}"
        if int(name[:20]) < one.end_offset:
            modified = [(directory / name).stat().st_mtime_ns // 1_000_000 for directory in (one.after, one.before)]
            assert modified[0] == modified[1], f"{one.where}: {name}"
        index = name.replace(".log", ".txnindex")
        mine, theirs = (directory / index for directory in (one.after, one.before))
        assert (mine.read_bytes() if mine.exists() else b"") == (theirs.read_bytes() if theirs.exists() else b""), (
            f"{one.where}: {index}"
        )
