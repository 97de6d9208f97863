"""Declarations in YAML and JSON files: lines of mistakes, bounds, what is no YAML."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.contents import files
from broker.contents.files import parse_text, read_contents
from broker.contents.model import Contents, ContentsError

SHOP = """\
# What a shop begins with.
defaults: &small {partitions: 2}
topics: &topics
  on: 1
  customers:
    <<: *small
    configs: {cleanup.policy: compact}
    records:
      - {key: c-1, value: {since: 2026-01-01, note: no}, timestamp: 2026-01-31T12:00:00Z}
      - key: c-2
        value: !!binary AAE=
"""


def mistakes(text: str, *, as_json: bool = False) -> str:
    with pytest.raises(ContentsError) as caught:
        parse_text(text, "shop.yaml", as_json=as_json)
    return str(caught.value)


def test_yaml() -> None:
    contents = parse_text(SHOP.replace("defaults: &small {partitions: 2}\n", "").replace("<<: *small", "partitions: 2"))
    assert [topic.name for topic in contents.topics] == ["on", "customers"]
    first, second = contents.topics[1].records
    assert first.value == b'{"since":"2026-01-01","note":"no"}'
    assert first.timestamp_ms == 1769860800000
    assert second.value == b"\0\1"


def test_anchors_and_merges() -> None:
    text = (
        "topics:\n  a: &small {partitions: 2, configs: {x: 1}}\n  b:\n    <<: *small\n    partitions: 3\n  c: *small\n"
    )
    assert [(topic.partitions, topic.configs) for topic in parse_text(text).topics] == [
        (2, {"x": "1"}),
        (3, {"x": "1"}),
        (2, {"x": "1"}),
    ]


def test_places_of_mistakes() -> None:
    assert mistakes(SHOP) == ("shop.yaml: line 2, column 1 (defaults): is not known here; there are topics, groups")
    text = "topics:\n  a:\n    records:\n      - x\n      - {partition: -1, value: y}\n  b: none\n"
    assert mistakes(text).splitlines() == [
        "shop.yaml: line 5, column 10 (topics.a.records[1].partition): "
        "a partition must be from 0 to 2147483647, not -1",
        "shop.yaml: line 6, column 3 (topics.b): must be a number of partitions or a mapping, not 'none'",
    ]
    text = '{\n "topics": {\n  "a": 0\n }\n}'
    assert "line 3, column 3 (topics.a): partitions must be" in mistakes(text, as_json=True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("topics: [a", "line 2, column 1: no YAML"),
        ("topics:\n\ta: 1", "line 2, column 1: no YAML"),
        ("topics:\n  a: 1\n  a: 2\n", "line 3, column 3: no YAML: the name 'a' stands twice in one mapping"),
        ("? [x]\n: 1", "a name must be text"),
        ("topics: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
        ("topics: *nowhere", "found undefined alias"),
        ("a: 1\n---\nb: 2", "expected a single document"),
        ("[" * 100_000, "nested more than 100 deep"),
        ("{a: " * 100_000, "nested more than 100 deep"),
        ("topics: &t [*t]", "deep"),
        ("topics: !!int abc", "no YAML"),
        ("topics: !!timestamp 5", "no YAML"),
        ("\x00", "no YAML"),
    ],
)
def test_what_is_no_yaml(text: str, said: str) -> None:
    assert said in mistakes(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"topics": {"a": 1,}}', "line 1, column 20: no JSON"),
        ('{"topics": {"a": 1, "a": 2}}', "the name 'a' stands twice"),
        ('{"topics": {"a": NaN}}', "NaN is no JSON"),
        ("[" * 100_000, "nested too deep"),
        ("", "no JSON"),
        ('{"topics": {"a": ' + "9" * 5000 + "}}", "no JSON"),
    ],
)
def test_what_is_no_json(text: str, said: str) -> None:
    assert said in mistakes(text, as_json=True)


def test_bombs() -> None:
    lists = "a: &a0 [x]\n" + "".join(f"b{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 40))
    assert "more than 20000000 values" in mistakes(lists)
    merges = "a: &a0 {x: 1}\n" + "".join(
        f"b{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}], y{n}: 1}}\n" for n in range(1, 40)
    )
    assert "names are merged" in mistakes(merges)
    wide = "a: &a {x: 1}\nb: {<<: [" + ", ".join(["*a"] * 200) + "]}\n"
    assert "more than 100 mappings are merged" in mistakes(wide)


def test_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.yaml").write_bytes("\ufefftopics: {größe: 1}".encode())
    with pytest.raises(ContentsError, match="Topic name is invalid"):
        read_contents(tmp_path / "a.yaml")
    (tmp_path / "a.json").write_text('{"topics": {"a": 2}}')
    assert read_contents(tmp_path / "a.json").topics[0].partitions == 2
    (tmp_path / "empty.yml").write_text("# nothing\n")
    assert read_contents(tmp_path / "empty.yml") == Contents()
    with pytest.raises(ContentsError, match=r"none\.yaml: cannot be read: No such file"):
        read_contents(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ContentsError, match="is no UTF-8"):
        read_contents(tmp_path / "bad.yaml")
    monkeypatch.setattr(files, "MAX_YAML_BYTES", 5)
    with pytest.raises(ContentsError, match=r"is larger than 0 MiB; a \.json file may have 64 MiB"):
        read_contents(tmp_path / "a.yaml")


@given(st.text(st.sampled_from("topics:{}[]&*<!|>-?#'\"\n \t,0ab\\%@\x00"), max_size=60))
def test_any_text_is_understood_or_refused(text: str) -> None:
    for as_json in (False, True):
        with suppress(ContentsError):
            parse_text(text, as_json=as_json)


TAGS = ["str", "int", "float", "bool", "null", "binary", "timestamp", "set", "omap", "pairs", "seq", "map", "merge"]


@given(
    st.sampled_from([*TAGS, "value", "yaml", "nothing"]),
    st.sampled_from(["", "x", "5", "''", "[1]", "{a: 1}", "[{a: 1}]", "~", "<<", "="]),
)
def test_any_tag_is_understood_or_refused(tag: str, value: str) -> None:
    for text in (f"topics: !!{tag} {value}", f"topics: {{a: {{records: [!!{tag} {value}]}}}}", f"!!{tag} {value}: 1"):
        with suppress(ContentsError):
            parse_text(text)
