"""A broker that compacts all the time is killed, again and again: no key's last acknowledged value is lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random

import trio

from tests.broker.cleaner.test_compacting import COMPACTED, put, read_all
from tests.broker.cluster_helpers import Client

ROOT = Path(__file__).parents[2]
START_S = 60
COMMAND = [sys.executable, "-m", "kwire", "serve", "--port", "0", "--set", "log.cleaner.backoff.ms=10"]


async def _session(port: int, last: dict[bytes, int], random: Random, writes: int) -> None:
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        client = Client(stream)
        if not last:
            await client.create_topic("t", **COMPACTED)
        found = {key: int((value or b"-1").partition(b".")[0]) for _, key, value in await read_all(client, "t")}
        for key, number in last.items():
            assert found.get(key, -1) >= number, f"{key!r}: {found.get(key)}, acknowledged {number}"
        number = max(last.values(), default=0) + 10_000
        for _ in range(writes):
            number += 1
            key = b"k%d" % random.randrange(50)
            await put(client, "t", (key, b"%d." % number + b"." * 100))
            last[key] = number


async def _port(broker: subprocess.Popen[bytes], ready: Path, log: Path) -> int:
    with trio.fail_after(START_S):
        while not ready.exists() or not ready.read_text():
            assert broker.poll() is None, log.read_text()[-2000:]
            await trio.sleep(0.02)
    return int(ready.read_text().split(":")[1])


def test_killed_again_and_again(tmp_path: Path, long_form: bool) -> None:
    random = Random(7)
    last: dict[bytes, int] = {}
    ready = tmp_path / "ready"
    for _ in range(30 if long_form else 3):
        ready.unlink(missing_ok=True)
        with (tmp_path / "log").open("ab") as log:
            broker = subprocess.Popen(
                [*COMMAND, "--data-dir", str(tmp_path / "data"), "--ready-file", str(ready)],
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )
        try:
            port = trio.run(_port, broker, ready, tmp_path / "log")
            trio.run(_session, port, last, random, random.randint(200, 1500))
        finally:
            broker.kill()
            broker.wait()
    assert "compacted t-0" in (tmp_path / "log").read_text() or not long_form
    assert not [line for line in (tmp_path / "log").read_text().splitlines() if " ERROR " in line]
