"""`kwire produce` and `kwire consume` against a broker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

from tests.broker.cli.conftest import ROOT, STOCK_CLIENT, Command

pytestmark = STOCK_CLIENT

_numbers = count()


@pytest.fixture
def topic(command: Command) -> str:
    """A topic of its own with two partitions."""
    name = f"orders-{next(_numbers)}"
    command.run("topics", "create", name, "-p", "2")
    return name


def test_lines(command: Command, topic: str) -> None:
    (said,) = command.rows("produce", topic, "-p", "0", input="one\ntwo\n\nfour")
    assert said == {"topic": topic, "records": 4, "bytes": 10, "partitions": {"0": 4}}
    rows = command.rows("consume", topic, "-e")
    assert [(row["offset"], row["key"], row["value"]) for row in rows] == [
        (0, None, "one"),
        (1, None, "two"),
        (2, None, ""),
        (3, None, "four"),
    ]
    assert command.run("consume", topic, "-e", "-f", "%s\\n").stdout == "one\ntwo\n\nfour\n"
    wrote = command.run("produce", topic, "--table", input="x\n").stdout
    assert wrote == f"Wrote 1 record (1 B) to {topic}.\n"
    assert command.run("produce", topic, "-q", input="x\n").stdout == ""


def test_keys_headers_tombstones_and_timestamps(command: Command, topic: str) -> None:
    options = ["-p", "1", "-H", "source=test", "-H", "trace:7", "--timestamp", "12345"]
    command.run("produce", topic, "-K", ":", "-T", "-z", "zstd", *options, input="a:1\nb:\nplain\n", code=0)
    rows = command.rows("consume", topic, "-e", "-p", "1")
    assert [(row["key"], row["value"]) for row in rows] == [("a", "1"), ("b", None), (None, "plain")]
    assert rows[0]["headers"] == {"source": "test", "trace": "7"}
    assert {row["timestamp_ms"] for row in rows} == {12345}
    command.run("produce", topic, "-k", "all", "-p", "0", input="x\n")
    assert command.rows("consume", topic, "-e", "-p", "0")[0]["key"] == "all"
    said = command.refused("produce", topic, "-T", input="\n")
    assert "record 1: has neither key nor value" in said


def test_files_and_delimiters(command: Command, topic: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1;2;3\n")
    (tmp_path / "b").write_bytes(bytes(range(256)))
    command.run("produce", topic, "-p", "0", "-D", ";", str(tmp_path / "a"))
    assert [row["value"] for row in command.rows("consume", topic, "-e")] == ["1", "2", "3\n"]
    command.run("produce", topic, "-p", "1", "--whole", str(tmp_path / "b"), str(tmp_path / "a"))
    first, second = command.rows("consume", topic, "-e", "-p", "1")
    assert first["value_base64"].startswith("AAECAwQF")
    assert second["value"] == "1;2;3\n"
    assert command.run("consume", topic, "-c", "1", "-p", "1", "-f", "%s").stdout_bytes == bytes(range(256))


def test_json_goes_round(command: Command, topic: str) -> None:
    lines = [
        {"key": "k", "value": {"a": [1, None]}, "headers": {"h": "1"}, "partition": 0, "timestamp_ms": 5},
        {"key_base64": "/w==", "value_base64": "AAE=", "headers": [["h", "1"], ["h", "2"]], "partition": 0},
        {"key": "gone", "value": None, "partition": 0},
    ]
    command.run("produce", topic, "-J", input="".join(json.dumps(line) + "\n" for line in lines))
    printed = command.run("consume", topic, "-e", "--json").stdout
    command.run("topics", "create", f"{topic}-copy", "-p", "2")
    command.run("produce", f"{topic}-copy", "-J", input=printed)
    copied = command.run("consume", f"{topic}-copy", "-e").stdout
    assert copied == printed.replace(f'"{topic}"', f'"{topic}-copy"')
    rows = [json.loads(line) for line in printed.splitlines()]
    assert rows[0]["value"] == '{"a":[1,null]}'
    assert rows[1]["headers"] == [["h", "1"], ["h", "2"]]
    kcat = command.run("consume", topic, "-o", "0:1", "-J").stdout
    assert json.loads(kcat) == {
        "topic": topic,
        "partition": 0,
        "offset": 0,
        "tstype": "create",
        "ts": 5,
        "headers": ["h", "1"],
        "key": "k",
        "payload": '{"a":[1,null]}',
    }
    command.run("produce", topic, "-J", "-p", "1", input=kcat)


def test_a_format_both_ways(command: Command, topic: str) -> None:
    command.run("produce", topic, "-f", "%p %T %k=%s\\n", input="1 7 a=x y=z\n0 8 =\n")
    text = command.run("consume", topic, "-e", "-f", "%t/%p@%o %T [%K %k] [%S %s]\\n").stdout.splitlines()
    assert sorted(text) == [f"{topic}/0@0 8 [0 ] [0 ]", f"{topic}/1@0 7 [1 a] [5 x y=z]"]


@pytest.fixture
def ten(command: Command, topic: str) -> str:
    """Ten records in the first partition, at 1000 ms, 2000 ms, ..."""
    lines = "".join(f"{1000 * number} {number - 1}\n" for number in range(1, 11))
    command.run("produce", topic, "-p", "0", "-f", "%T %s", input=lines)
    return topic


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (["-e"], range(10)),
        (["-o", "beginning", "-e"], range(10)),
        (["-o", "end", "-e"], []),
        (["-o", "7", "-e"], range(7, 10)),
        (["-o", "-2", "-e"], range(8, 10)),
        (["-o", "+8", "-e"], range(8, 10)),
        (["-o", "2:5"], range(2, 5)),
        (["-o", ":end"], range(10)),
        (["-o", "s@3000", "-e"], range(2, 10)),
        (["-o", "s@3000", "-o", "e@6000"], range(2, 5)),
        (["-o", "@3000:6000"], range(2, 5)),
        (["-o", "@3000:end"], range(2, 10)),
        (["-o", "@1970-01-01T00:00:03:1970-01-01T00:00:06"], range(2, 5)),
        (["-o", "100", "-e"], []),
        (["-c", "3"], range(3)),
        (["-o", "-5", "-c", "2"], range(5, 7)),
    ],
)
def test_ranges(command: Command, ten: str, where: list[str], expected: list[int]) -> None:
    rows = command.rows("consume", ten, *where)
    assert [int(row["value"]) for row in rows] == list(expected)


def test_as_a_member_of_a_group(command: Command, ten: str) -> None:
    group = f"group-of-{ten}"
    assert [row["value"] for row in command.rows("consume", ten, "-g", group, "-c", "4")] == ["0", "1", "2", "3"]
    # It committed what it printed, no more.
    assert [row["value"] for row in command.rows("consume", ten, "-g", group, "-c", "1")] == ["4"]
    assert len(command.rows("consume", ten, "-g", group, "-e", "--no-commit")) == 5
    assert len(command.rows("consume", ten, "-g", group, "-e")) == 5
    assert command.rows("consume", ten, "-g", group, "-e") == []
    assert sum(row["lag"] for row in command.rows("lag", group)) == 0


def test_transactions(command: Command, topic: str) -> None:
    command.run("produce", topic, "-p", "0", "--transactional-id", f"tx-{topic}", input="a\nb\n")
    # A record that cannot be read ends the transaction without it.
    said = command.refused(
        "produce", topic, "-p", "0", "-f", "%k:%s", "--transactional-id", f"tx-{topic}", input="c:d\nno key\n"
    )
    assert "record 2: does not look like '%k:%s'" in said
    committed = command.rows("consume", topic, "-e", "--read-committed", "-p", "0")
    assert [row["value"] for row in committed] == ["a", "b"]
    uncommitted = command.rows("consume", topic, "-e", "-p", "0")
    assert [row["value"] for row in uncommitted][:2] == ["a", "b"]


def test_several_topics_and_patterns(command: Command, topic: str) -> None:
    command.run("topics", "create", f"{topic}.more")
    command.run("produce", topic, input="a\n")
    command.run("produce", f"{topic}.more", input="b\n")
    both = {row["topic"]: row["value"] for row in command.rows("consume", topic, f"{topic}.more", "-e")}
    assert both == {topic: "a", f"{topic}.more": "b"}
    assert {row["topic"] for row in command.rows("consume", f"{topic}.*", "-r", "-e")} == set(both)


def test_for_a_person(command: Command, topic: str) -> None:
    command.run("produce", topic, "-p", "0", "-K", ":", "-T", "-H", "h=1", input="k:v\x1b[31m\nk:\n")
    shown = command.run("consume", topic, "-e", "--table").stdout
    assert shown == f"{topic}-0@0  k: v\\x1b[31m  h=1\n{topic}-0@1  k: NULL  h=1\n"
    assert command.run("consume", topic, "-e", "-K", "|", "-D", ";").stdout == "k|v\x1b[31m;k|;"


def test_a_missing_topic_can_be_created(command: Command) -> None:
    said = command.refused("produce", "never-made", input="x\n")
    assert "kwire topics create never-made, or give --create" in said
    command.run("produce", "never-made", "--create", input="x\n")
    assert len(command.rows("consume", "never-made", "-e")) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["produce"], "name a topic"),
        (["produce", "t", "no-such-file"], "no-such-file is no file"),
        (["produce", "t", "-J", "-K", ":"], "exclude each other"),
        (["produce", "t", "-f", "%k%s"], "between %k and %s"),
        (["produce", "t", "-f", "%x %s"], "%x cannot be written"),
        (["produce", "t", "-f", "%k"], "the format needs %s"),
        (["produce", "t", "-D", ""], "must not be empty"),
        (["produce", "t", "-H", "=x"], "must be NAME=VALUE"),
        (["produce", "t", "--timestamp", "soon"], "'soon' is no time"),
        (["consume"], "name a topic"),
        (["consume", "t", "-o", "middle"], "'middle' is no offset"),
        (["consume", "t", "-o", "1", "-o", "2"], "says again where to begin"),
        (["consume", "t", "-o", "1:2", "-e"], "exclude each other"),
        (["consume", "t", "-f", "%z"], "%z is no field"),
        (["consume", "t", "-f", "%s", "-J"], "exclude each other"),
        (["consume", "t", "-g", "g", "-p", "0"], "takes what it is assigned"),
    ],
)
def test_wrong_usage(command: Command, arguments: list[str], said: str) -> None:
    assert said in command.refused(*arguments, code=2)


def test_what_is_refused(command: Command, topic: str) -> None:
    assert f"{topic} has partitions 0 to 1, not 5" in command.refused("produce", topic, "-p", "5", input="x\n")
    assert f"{topic} has partitions 0 to 1, not 5" in command.refused("consume", topic, "-p", "5", "-e")
    assert "MESSAGE_TOO_LARGE" in command.refused("produce", topic, input="x" * 2_000_000)
    for line, said in [
        ("nonsense", "record 1: is no JSON"),
        ("[1]", "record 1: is no object with a value"),
        ('{"value": 1, "vaule": 2}', "record 1: 'vaule' is not known"),
        ('{"value": 1, "partition": "x"}', "record 1: partition must be a number"),
        ('{"value_base64": "?"}', "record 1: value_base64 is no base64"),
        ('{"value": 1, "headers": 5}', "record 1: headers must be"),
        ('{"value": 1, "headers": {"h": null}}', "record 1: header 'h' has no value"),
    ]:
        assert said in command.refused("produce", topic, "-J", input=line)
    assert command.rows("consume", topic, "-e") == []


def test_codecs_whose_libraries_are_not_there(command: Command, topic: str) -> None:
    """In a process of its own: kafka-python looks for them once."""
    code = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(['snappy', 'zstandard', 'lz4', 'lz4.frame', 'lz4f', 'lz4framed']))\n"
        "from click.testing import CliRunner\n"
        "from broker.cli.main import cli\n"
        "for codec in ['snappy', 'lz4', 'zstd', 'gzip']:\n"
        "    lines = f'{codec}\\n' * 1000\n"
        f"    done = CliRunner().invoke(cli, ['produce', {topic!r}, '-p', '0', '-z', codec], input=lines)\n"
        "    assert done.exit_code == 0, done.output\n"
        f"print(CliRunner().invoke(cli, ['consume', {topic!r}, '-e', '-f', '%s ']).output)\n"
        "from broker.cli.codecs import complete_codecs\n"
        "assert complete_codecs() == []\n"
    )
    environment = {**os.environ, "KWIRE_BOOTSTRAP": command.address}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    words = done.stdout.split()
    assert words == ["snappy"] * 1000 + ["lz4"] * 1000 + ["zstd"] * 1000 + ["gzip"] * 1000
    # With the libraries kafka-python reads the same.
    assert command.run("consume", topic, "-e", "-f", "%s ").stdout.split() == words
