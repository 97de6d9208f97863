"""`kwire dump` and `kwire check` as commands: options, exit codes, what is printed where."""

from __future__ import annotations

import fcntl
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from broker.cli.check import in_use
from broker.cli.main import cli
from log.filenames import CLEAN_SHUTDOWN, LOCK
from tests.broker.cli.conftest import ROOT
from tests.broker.inspect.data import batches, copy, fill_partition, flip, make_data_dir, segments


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_data_dir(tmp_path_factory.mktemp("cli"), clean=True)


@pytest.fixture
def data(original: Path, tmp_path: Path) -> Path:
    return copy(original, tmp_path / "kwire-data")


def test_check_of_a_sound_directory(data: Path) -> None:
    done = CliRunner().invoke(cli, ["check", str(data)])
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1].startswith("clean: 0 errors, 0 warnings")
    done = CliRunner().invoke(cli, ["check", "--json", str(data)])
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {line["type"] for line in lines[:-1]} <= {"finding"}
    assert lines[-1].items() >= {"type": "summary", "errors": 0, "warnings": 0}.items()
    assert lines[-1]["records"] > 300


def test_check_of_a_damaged_directory(data: Path) -> None:
    flip(segments(data / "rich-0")[1], 100)
    (data / CLEAN_SHUTDOWN).unlink()
    done = CliRunner().invoke(cli, ["check", str(data)])
    assert done.exit_code == 1
    assert "ERROR   crc: the batch" in done.stdout
    position = next(header.position for header in batches(segments(data / "rich-0")[1]) if header.end > 100)
    assert f"byte {position}, offset" in done.stdout
    assert "why it matters:" in done.stdout
    assert "repair: the next start" in done.stdout
    assert "NOT CLEAN: " in done.stdout
    done = CliRunner().invoke(cli, ["check", "--json", str(data)])
    assert done.exit_code == 1
    found = [json.loads(line) for line in done.stdout.splitlines()]
    crc = next(line for line in found if line.get("code") == "crc")
    assert crc["severity"] == "error"
    assert crc["position"] == position
    assert {"file", "offset", "what", "why", "repair"} <= crc.keys()


def test_check_without_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli, ["check"])
    assert done.exit_code == 2
    assert "./kwire-data" in done.output
    assert CliRunner().invoke(cli, ["check", "nowhere"]).exit_code == 2
    done = CliRunner().invoke(cli, ["check", "."])
    assert done.exit_code == 2
    assert "no data directory" in done.output


def test_check_of_the_default_directory(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(data.parent)
    done = CliRunner().invoke(cli, ["check", "-q"])
    assert done.exit_code == 0, done.output


def test_a_directory_in_use_is_refused(data: Path) -> None:
    assert not in_use(str(data)), "there is no lock file"
    with (data / LOCK).open("w") as lock:
        assert not in_use(str(data)), "nobody holds it"
        fcntl.flock(lock, fcntl.LOCK_EX)
        for path in (data, data / "rich-0"):
            done = CliRunner().invoke(cli, ["check", str(path)])
            assert done.exit_code == 2
            assert "in use" in done.output
            assert "--live" in done.output
        assert CliRunner().invoke(cli, ["check", "--live", str(data)]).exit_code == 0


def test_a_directory_that_kafka_uses_is_refused(data: Path) -> None:
    """Java locks by fcntl, which a process never sees of itself."""
    (data / LOCK).touch()
    script = (
        "import fcntl, sys; file = open(sys.argv[1], 'r+'); fcntl.lockf(file, fcntl.LOCK_EX); "
        "print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(data / LOCK)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == b"locked\n"
        assert in_use(str(data))
        holder.stdin.close()
        holder.wait()
    assert not in_use(str(data))


def test_the_lock_that_looks_is_gone_afterwards(data: Path) -> None:
    (data / LOCK).touch()
    assert not in_use(str(data))
    with (data / LOCK).open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_dump_as_text_and_as_json(data: Path) -> None:
    done = CliRunner().invoke(cli, ["dump", str(data / "plain-0"), "--records"])
    assert done.exit_code == 0, done.output
    assert "batch 0..1" in done.stdout
    assert "value=a0" in done.stdout
    assert "\x1b[" not in done.stdout
    done = CliRunner().invoke(cli, ["dump", "plain", "--data-dir", str(data), "--records", "--json"])
    found = [json.loads(line) for line in done.stdout.splitlines()]
    values = [line["value"] for line in found if line["type"] == "record"]
    assert values == [value for _ in range(2) for number in range(5) for value in (f"a{number}", "b")]


def test_dump_of_damage(data: Path) -> None:
    flip(segments(data / "rich-0")[1], 100)
    done = CliRunner().invoke(cli, ["dump", str(data / "rich-0")])
    assert done.exit_code == 1
    assert "CRC WRONG" in done.stdout


@pytest.mark.parametrize("arguments", [["nowhere"], [".", "--offset", "x"], [], [".", "--max", "-1"]])
def test_wrong_usage_of_dump(arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli, ["dump", *arguments])
    assert done.exit_code == 2, done.output


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    fill_partition(tmp_path / "rich-0")
    read, write = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "kwire", "dump", str(tmp_path / "rich-0"), "--records", "--raw"],
        cwd=ROOT,
        stdout=write,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    os.close(write)
    os.read(read, 10)
    os.close(read)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, b"")


@pytest.mark.parametrize("command", ["dump", "check"])
def test_the_help_teaches(command: str) -> None:
    done = CliRunner().invoke(cli, [command, "--help"])
    assert done.exit_code == 0
    assert "Examples:" in done.output
    assert done.output.count(f"  kwire {command}") >= 5


def test_serve_loads_none_of_it() -> None:
    """The commands' modules are loaded when they run."""
    script = (
        "import sys; import broker.cli.main, broker.cli.serve, broker.server; "
        "ours = ('broker.inspect', 'broker.cli.dump', 'broker.cli.check', 'rich'); "
        "print([name for name in sys.modules if name.startswith(ours)])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_layout_of_the_lock_is_that_of_the_system() -> None:
    assert struct.calcsize("hhqqi4x") == 32


def test_dump_of_what_is_no_brokers_says_so(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    for path, message in (
        (tmp_path, f"{tmp_path} holds nothing that a broker writes"),
        (tmp_path / "notes.txt", f"{tmp_path}/notes.txt is none of a broker's files"),
    ):
        done = CliRunner().invoke(cli, ["dump", str(path)])
        assert (done.exit_code, done.stdout) == (2, "")
        assert message in done.stderr
    done = CliRunner().invoke(cli, ["dump", "orders-7", "--data-dir", "a", "--data-dir", "b"])
    assert "orders-7 is no file or directory, and no topic or partition below a or b" in done.stderr
