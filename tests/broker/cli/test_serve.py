"""`kwire serve` as a process: start, ready file, log lines, stops, refusals."""

from __future__ import annotations

import re
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from broker.cli.serve import start_lines

if TYPE_CHECKING:
    from tests.broker.cli.conftest import Serve

Start = Callable[..., "Serve"]
STARTED = "[KafkaServer id=1] started"


def test_a_start_and_a_clean_stop(start: Start) -> None:
    serve = start("--port", "0")
    serve.read_until(STARTED)
    assert re.fullmatch(r"127\.0\.0\.1:\d+\n", serve.ready_file.read_text())
    assert serve.answers()
    logged = [line.partition(" INFO ")[2].strip() for line in serve.lines]
    assert [line for line in logged if line.removesuffix(" (kwire)") in start_lines(1)] == [
        f"{line} (kwire)" for line in start_lines(1)
    ]
    assert serve.stop() == 0
    assert not serve.ready_file.exists()
    data = serve.directory / "kwire-data"
    assert (data / ".kafka_cleanshutdown").exists()
    assert "cluster.id=" in (data / "meta.properties").read_text()
    assert "Traceback" not in serve.output
    assert "Warning" not in serve.output


def test_a_ready_file_of_a_killed_broker_is_gone_before_the_next_is_ready(start: Start, tmp_path: Path) -> None:
    stale = tmp_path / "stale"
    stale.write_text("127.0.0.1:1\n")
    data = tmp_path / "data"
    first = start("--port", "0", "--data-dir", str(data))
    first.read_until(STARTED)
    second = start("--port", "0", "--data-dir", str(data), "--ready-file", str(stale))
    assert second.wait() == 1, "the directory is in use"
    assert not stale.exists()


def test_a_ready_file_that_cannot_be_written_is_said_before_anything_is_made(start: Start, tmp_path: Path) -> None:
    serve = start("--port", "0", "--ready-file", str(tmp_path / "nowhere" / "ready"))
    assert serve.wait() == 1
    assert serve.output == f"kwire: cannot write the ready file {tmp_path}/nowhere/ready: No such file or directory\n"
    assert not (serve.directory / "kwire-data").exists()


def test_a_start_says_where_it_listens(start: Start) -> None:
    serve = start("--port", "0", "--ephemeral")
    serve.read_until(STARTED)
    assert f"listening on PLAINTEXT://127.0.0.1:{serve.port} " in serve.output
    assert serve.stop() == 0


def test_ctrl_c_stops_cleanly(start: Start) -> None:
    serve = start("--port", "0")
    serve.read_until(STARTED)
    serve.process.send_signal(signal.SIGINT)
    assert serve.wait() == 0
    assert (serve.directory / "kwire-data" / ".kafka_cleanshutdown").exists()


def test_a_second_start_knows_the_first(start: Start, tmp_path: Path) -> None:
    data = tmp_path / "data"
    ids = []
    for _ in range(2):
        serve = start("--port", "0", "--data-dir", str(data))
        serve.read_until(STARTED)
        assert serve.stop() == 0
        properties = (data / "meta.properties").read_text()
        ids.append([line for line in properties.splitlines() if line.startswith(("cluster.id", "directory.id"))])
    assert ids[0] == ids[1]
    assert len(ids[0]) == 2


def test_ephemeral_leaves_nothing(start: Start, tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    serve = start("--port", "0", "--ephemeral", environment={"TMPDIR": str(temporary)})
    serve.read_until(STARTED)
    assert [path.name[:6] for path in temporary.iterdir()] == ["kwire-"]
    assert serve.answers()
    assert serve.stop() == 0
    assert list(temporary.iterdir()) == []
    assert not (serve.directory / "kwire-data").exists()


def test_a_second_broker_on_the_same_directory_is_refused(start: Start, tmp_path: Path) -> None:
    data = tmp_path / "data"
    first = start("--port", "0", "--data-dir", str(data))
    first.read_until(STARTED)
    second = start("--port", "0", "--data-dir", str(data))
    assert second.wait() == 1
    assert str(data) in second.output
    assert "--data-dir" in second.output
    assert "Traceback" not in second.output
    assert not second.ready_file.exists()
    assert first.answers(), "the first one is not disturbed"
    assert first.stop() == 0


def test_a_taken_port_is_refused(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        serve = start("--port", str(port))
        assert serve.wait() == 1
    assert f"cannot listen on 127.0.0.1:{port}" in serve.output
    assert "Another program may hold the port" in serve.output
    assert "Traceback" not in serve.output


def test_an_address_of_another_machine_is_refused(start: Start) -> None:
    serve = start("--port", "0", "--host", "192.0.2.1")
    assert serve.wait() == 1
    assert "cannot listen on 192.0.2.1:0" in serve.output
    assert "Choose an address of this machine with --host" in serve.output
    assert "Another program" not in serve.output


def test_a_bad_setting_stops_with_what_is_allowed(start: Start) -> None:
    serve = start("--set", "num.partitions=0")
    assert serve.wait() == 2
    assert serve.output == "kwire: num.partitions=0: Value must be at least 1; allowed: a whole number, at least 1\n"
    assert not (serve.directory / "kwire-data").exists()


def test_tls_without_a_certificate_says_what_to_do(start: Start) -> None:
    serve = start("--set", "listeners=SSL://127.0.0.1:0")
    assert serve.wait() == 2
    assert serve.output == "kwire: ssl.keystore.type=JKS: kwire reads PEM only: set it to PEM\n"


def test_an_unknown_setting_is_warned_of(start: Start) -> None:
    serve = start("--port", "0", "--ephemeral", environment={"KAFKA_NUM_PARTITION": "3", "KAFKA_HEAP_OPTS": "-Xmx1G"})
    warning = serve.read_until("WARN")
    assert "num.partition is not a known setting and has no effect; did you mean num.partitions?" in warning
    serve.read_until(STARTED)
    assert "HEAP" not in serve.output
    assert serve.stop() == 0


def test_the_cluster_id_can_be_given(start: Start) -> None:
    serve = start("--port", "0", environment={"CLUSTER_ID": "kIJ9Q0LzT2SgT6WmM8pOeA"})
    serve.read_until(STARTED)
    assert "cluster.id=kIJ9Q0LzT2SgT6WmM8pOeA\n" in (serve.directory / "kwire-data" / "meta.properties").read_text()
    assert serve.stop() == 0


def test_a_second_signal_leaves_at_once_without_the_clean_marker(start: Start) -> None:
    serve = start("--port", "0")
    serve.read_until(STARTED)
    # While the process is stopped both signals wait for it; they are then handled before the stop is through.
    serve.process.send_signal(signal.SIGSTOP)
    serve.process.send_signal(signal.SIGTERM)
    serve.process.send_signal(signal.SIGINT)
    serve.process.send_signal(signal.SIGCONT)
    assert serve.wait() in (128 + signal.SIGINT, 128 + signal.SIGTERM)
    assert "left without a clean shutdown" in serve.output
    assert not (serve.directory / "kwire-data" / ".kafka_cleanshutdown").exists()
    again = start("--port", "0", "--data-dir", str(serve.directory / "kwire-data"))
    again.read_until(STARTED)
    assert again.stop() == 0
