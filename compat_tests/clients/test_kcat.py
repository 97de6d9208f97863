"""kcat (librdkafka's command line)."""

import json
import shutil
import subprocess
import time
from collections.abc import Callable

import pytest

from compat_tests.clients.support import Endpoint, until
from compat_tests.clients.warnings_log import WarningsLog
from compat_tests.raw.wire import Wire
from compat_tests.targets import Broker

KCAT = shutil.which("kcat") or shutil.which("kafkacat")
capability = pytest.mark.capability
pytestmark = pytest.mark.skipif(KCAT is None, reason="kcat is not installed")

Kcat = Callable[..., str]


@pytest.fixture
def topic(broker: Broker, fresh_name: Callable[[str], str]) -> str:
    """A topic of four partitions: librdkafka looks for a new one once a second only."""
    name = fresh_name("topic")
    with Wire(broker.address) as wire:
        wire.create(name, 4)
    return name


@pytest.fixture
def kcat(client_log: WarningsLog) -> Kcat:
    """Runs kcat: ``kcat(endpoint, "-C", "-t", topic, input="...") -> stdout``. Its warnings are watched."""

    def run(endpoint: Endpoint, *arguments: str, stdin: str = "", timeout_s: float = 20) -> str:
        assert KCAT is not None
        security = []
        if endpoint.ca is not None:
            security = ["-X", "security.protocol=SSL", "-X", f"ssl.ca.location={endpoint.ca}"]
        quick = ["-X", "fetch.wait.max.ms=20"] if {"-C", "-G"}.intersection(arguments) else []
        command = [KCAT, "-b", endpoint.bootstrap, *security, *quick, *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout_s, check=False)
        for line in done.stderr.splitlines():
            # librdkafka's lines are "%LEVEL|TIME|FACILITY|CLIENT| text"; 4 is warning. Kcat's own start with "%".
            if line.startswith("%") and (line[1:2] in "01234" or "ERROR" in line):
                client_log.add("kcat " + ("|".join(line.split("|")[2:]) if "|" in line else line))
        assert done.returncode == 0, f"{command} ended with {done.returncode}: {done.stderr}"
        return done.stdout

    return run


@capability("produce: acks")
@pytest.mark.parametrize("acks", ["0", "1", "all"])
def test_acks(kcat: Kcat, any_endpoint: Endpoint, topic: str, acks: str) -> None:
    kcat(any_endpoint, "-P", "-t", topic, "-X", f"acks={acks}", stdin="".join(f"{i}\n" for i in range(20)))
    out = kcat(any_endpoint, "-C", "-t", topic, "-o", "beginning", "-e", "-q")
    assert sorted(map(int, out.split())) == list(range(20))


@capability("produce: codecs")
@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_codecs(kcat: Kcat, endpoint: Endpoint, topic: str, codec: str) -> None:
    lines = ["compressible " * 20 + str(i) for i in range(50)]
    kcat(endpoint, "-P", "-t", topic, "-p", "0", "-z", codec, stdin="\n".join(lines) + "\n")
    assert kcat(endpoint, "-C", "-t", topic, "-p", "0", "-o", "beginning", "-e", "-q").splitlines() == lines


@capability("produce: keys, nulls, headers, timestamps")
def test_record_parts(kcat: Kcat, endpoint: Endpoint, topic: str) -> None:
    kcat(endpoint, "-P", "-t", topic, "-p", "0", "-K", ":", "-Z", "-H", "a=1", "-H", "b=2", stdin="k:v\nonly:\n")
    out = kcat(endpoint, "-C", "-t", topic, "-p", "0", "-o", "beginning", "-e", "-q", "-J")
    first, second = (json.loads(line) for line in out.splitlines())
    assert (first["key"], first["payload"], first["headers"]) == ("k", "v", ["a", "1", "b", "2"])
    assert (second["key"], second["payload"]) == ("only", None)
    assert abs(first["ts"] - time.time() * 1000) < 60_000


@capability("produce: idempotent")
def test_idempotent(kcat: Kcat, any_endpoint: Endpoint, topic: str) -> None:
    lines = [str(i) for i in range(1000)]
    idempotent = ("-X", "enable.idempotence=true")
    kcat(any_endpoint, "-P", "-t", topic, "-p", "2", *idempotent, stdin="\n".join(lines) + "\n")
    assert kcat(any_endpoint, "-C", "-t", topic, "-p", "2", "-o", "beginning", "-e", "-q").splitlines() == lines


@capability("consume: from any position")
def test_positions(kcat: Kcat, endpoint: Endpoint, topic: str) -> None:
    kcat(endpoint, "-P", "-t", topic, "-p", "0", stdin="".join(f"{i}\n" for i in range(10)))
    for start, count, expected in (("beginning", 2, [0, 1]), ("7", 3, [7, 8, 9]), ("-2", 2, [8, 9])):
        out = kcat(endpoint, "-C", "-t", topic, "-p", "0", "-o", start, "-c", str(count), "-q")
        assert list(map(int, out.split())) == expected, start


@capability("consume: by time")
def test_by_time(kcat: Kcat, endpoint: Endpoint, topic: str) -> None:
    kcat(endpoint, "-P", "-t", topic, "-p", "0", stdin="early\n")
    early = int(time.time() * 1000)
    between = until(lambda: int(time.time() * 1000), lambda now: now > early + 5, "a later millisecond")
    kcat(endpoint, "-P", "-t", topic, "-p", "0", stdin="late\n")
    assert kcat(endpoint, "-C", "-t", topic, "-p", "0", "-o", f"s@{between}", "-e", "-q").split() == ["late"]
    assert kcat(endpoint, "-Q", "-t", f"{topic}:0:{between}").split() == [topic, "[0]", "offset", "1"]


@capability("group: join and leave")
def test_group(kcat: Kcat, any_endpoint: Endpoint, topic: str, group: str) -> None:
    kcat(any_endpoint, "-P", "-t", topic, stdin="".join(f"{i}\n" for i in range(20)))
    options = ("-X", "auto.offset.reset=earliest", "-c", "20", "-q")
    out = kcat(any_endpoint, *options, "-G", group, topic)
    assert sorted(map(int, out.split())) == list(range(20))


@capability("offsets: commit, resume, lag")
def test_commit(kcat: Kcat, endpoint: Endpoint, topic: str, group: str) -> None:
    kcat(endpoint, "-P", "-t", topic, "-p", "0", stdin="".join(f"{i}\n" for i in range(20)))
    options = ("-X", "auto.offset.reset=earliest", "-c", "10", "-q")
    first = kcat(endpoint, *options, "-G", group, topic)
    second = kcat(endpoint, *options, "-G", group, topic)
    assert (first + second).split() == [str(i) for i in range(20)]


@capability("admin: cluster")
def test_metadata(kcat: Kcat, any_endpoint: Endpoint, fresh_name: Callable[[str], str]) -> None:
    topic = fresh_name("created-by-use")
    kcat(any_endpoint, "-P", "-t", topic, stdin="x\n")
    found = json.loads(kcat(any_endpoint, "-L", "-J", "-t", topic))
    assert [b["id"] for b in found["brokers"]] == [1]
    (described,) = found["topics"]
    assert (described["topic"], len(described["partitions"])) == (topic, 4)
