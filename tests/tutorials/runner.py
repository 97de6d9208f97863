"""Runs a tutorial as its reader would: files are written, commands are typed into one shell, output is compared.

What a page may hold:

- a block ``console``: lines that begin with ``$ `` are commands (``> `` goes on with the one before), the lines below
  one are what it prints; a line ``...`` stands for any lines, ``...`` within a line for any text. Nothing below a
  command: its output is not looked at.
- a block with a name, ``python file=test_orders.py``: the file.
- any other block is only read.

The ports of the page (9092, 9380) may be taken on the machine that tests it: they are replaced, in commands, in files
and in what is expected.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from attrs import define, field

from tools.free_ports import free_ports

PORTS = ("9092", "9380")
_FENCE = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_STOP_S = 10
_END = "__kwire_tutorial_done__"


@define
class Command:
    """What is typed, and what is shown below it; None: nothing is."""

    text: str
    expected: str | None


@define
class File:
    name: str
    content: str


def steps(page: str) -> Iterator[Command | File]:
    """Files and commands of a page, in its order."""
    for language, info, content in _FENCE.findall(page):
        name = re.search(r"\bfile=(\S+)", info)
        if name is not None:
            yield File(name[1], content)
        elif language == "console":
            yield from _commands(content)


def _commands(content: str) -> Iterator[Command]:
    text: str | None = None
    shown: list[str] = []
    for line in content.splitlines():
        if line.startswith("$ "):
            if text is not None:
                yield Command(text, "\n".join(shown).strip("\n") or None)
            text, shown = line[2:], []
        elif line.startswith("> ") and text is not None and not shown:
            text += "\n" + line[2:]
        else:
            shown.append(line)
    if text is not None:
        yield Command(text, "\n".join(shown).strip("\n") or None)


def matches(expected: str, got: str) -> bool:
    """Whether what was printed is what the page shows."""
    pattern = ""
    for line in expected.splitlines():
        if line.strip() == "...":
            pattern += r"(?:.*\n)*?"
        else:
            pattern += r"[^\n]*?".join(re.escape(part.rstrip()) for part in line.split("...")) + r"[ \t]*\n"
    return re.fullmatch(pattern, got.rstrip("\n") + "\n" if got.strip() else "") is not None


@define
class Reader:
    """One person at one shell, in a directory of their own."""

    directory: Path
    environment: Mapping[str, str]
    ports: dict[str, int] = field(factory=lambda: dict(zip(PORTS, free_ports(len(PORTS)), strict=True)))
    _shell: subprocess.Popen[str] = field(init=False)

    def __enter__(self) -> Reader:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        self._shell = subprocess.Popen(
            ["bash", "--norc"],
            cwd=self.directory,
            env={
                **os.environ,
                "PATH": path,
                "COLUMNS": "100",
                "NO_COLOR": "1",
                "KWIRE_BOOTSTRAP": f"127.0.0.1:{self.ports['9092']}",
                "KWIRE_HTTP": f"http://127.0.0.1:{self.ports['9380']}",
                **self.environment,
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        # What runs in the background stops by itself and removes what it kept; only what does not is killed.
        with suppress(OSError):
            self._shell.stdin.write("kill $(jobs -p) 2>/dev/null; wait\n")
            self._shell.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._shell.wait(_STOP_S)
        with suppress(ProcessLookupError):
            os.killpg(self._shell.pid, signal.SIGKILL)
        self._shell.wait()
        self._shell.stdout.close()

    def follow(self, page: str) -> int:
        """Do what the page says; how many commands were run. AssertionError where it is not as the page says."""
        count = 0
        for step in steps(self._own_ports(page)):
            if isinstance(step, File):
                path = self.directory / step.name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(step.content)
                continue
            count += 1
            code, got = self._type(step.text)
            if step.expected is not None:
                assert matches(step.expected, got), (
                    f"$ {step.text}\n--- the page shows\n{step.expected}\n--- it printed\n{got}"
                )
            else:
                assert code == 0, f"$ {step.text}\nexit code {code}\n{got}"
        return count

    def _own_ports(self, page: str) -> str:
        for port, own in self.ports.items():
            page = page.replace(port, str(own))
        # What the page leaves to the defaults has to be said here.
        page = re.sub(r"(\bkwire serve\b)(?![^\n]*--port)", rf"\1 --port {self.ports['9092']}", page)
        return re.sub(r"--http(?= |$)(?! *(?:http|\d))", f"--http {self.ports['9380']}", page, flags=re.MULTILINE)

    def _type(self, text: str) -> tuple[int, str]:
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        # A command in the background keeps its output to itself: on a terminal it would come in between.
        if text.rstrip().endswith("&"):
            text = f"{text.rstrip()[:-1]} >>background.log 2>&1 &"
        self._shell.stdin.write(f"{text}\necho {_END} $?\n")
        self._shell.stdin.flush()
        lines: list[str] = []
        for line in self._shell.stdout:
            before, found, code = line.partition(_END)
            if found:
                lines.append(before)
                return int(code), "".join(lines)
            lines.append(line)
        raise AssertionError(f"$ {text}\nended the shell\n{''.join(lines)}")
