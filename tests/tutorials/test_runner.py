"""The runner finds what is wrong with a page."""

from pathlib import Path

import pytest

from tests.tutorials.runner import Command, File, Reader, matches, steps

PAGE = """
Text.

```console
$ echo one
one
$ echo two \\
> three
```

```python file=a/b.py
print("hello")
```

```console
$ python a/b.py
hello
```

```python
only read
```
"""


def test_a_page_is_files_and_commands() -> None:
    assert list(steps(PAGE)) == [
        Command("echo one", "one"),
        Command("echo two \\\nthree", None),
        File("a/b.py", 'print("hello")\n'),
        Command("python a/b.py", "hello"),
    ]


@pytest.mark.parametrize(
    ("expected", "got", "same"),
    [
        ("a", "a\n", True),
        ("a", "b\n", False),
        ("a", "a\nb\n", False),
        ("a\n...", "a\nb\nc\n", True),
        ("...\nc", "a\nb\nc\n", True),
        ("took ... ms", "took 12 ms\n", True),
        ("took ... ms", "took 12 s\n", False),
        ("1+1", "11\n", False),
        ("a  b", "a  b   \n", True),
    ],
)
def test_what_is_printed_is_compared(expected: str, got: str, same: bool) -> None:
    assert matches(expected, got) is same


def test_it_does_what_the_page_says(tmp_path: Path) -> None:
    with Reader(tmp_path, {}) as reader:
        assert reader.follow(PAGE) == 3


@pytest.mark.parametrize("page", ["```console\n$ echo one\ntwo\n```\n", "```console\n$ false\n```\n"])
def test_it_says_what_is_not_as_the_page_says(tmp_path: Path, page: str) -> None:
    with Reader(tmp_path, {}) as reader, pytest.raises(AssertionError):
        reader.follow(page)


def test_its_ports_are_not_those_of_the_page(tmp_path: Path) -> None:
    with Reader(tmp_path, {}) as reader:
        reader.follow("```console\n$ echo kwire serve --http 127.0.0.1:9092 > said\n```\n")
        said = (tmp_path / "said").read_text()
        assert said == f"kwire serve --port {reader.ports['9092']} --http 127.0.0.1:{reader.ports['9092']}\n"
        reader.follow("```console\n$ echo kwire serve --http > said\n```\n")
        assert (tmp_path / "said").read_text().endswith(f"--http {reader.ports['9380']}\n")
