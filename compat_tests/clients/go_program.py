"""franz-go: the program of ``compat_tests/go``, compiled once, run for each scenario."""

import hashlib
import json
import os
import shutil
import subprocess
from typing import Any

from compat_tests.targets import REPOSITORY, TargetUnavailableError

SOURCES = REPOSITORY / "compat_tests" / "go"
BUILD_PATIENCE_S = 600
RUN_PATIENCE_S = 60


def compiled(*, build: bool) -> str:
    """The program's path; it is compiled when the sources changed.

    Raises TargetUnavailableError without Go, without its modules, or when it would have to be compiled and ``build``
    is False: Go then compiles its own library too, which takes most of a minute of two cores.
    """
    sources = [SOURCES / name for name in ("go.mod", "go.sum", "main.go")]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
    program = REPOSITORY / ".cache" / f"compat-go-{digest}"
    if program.exists():
        return str(program)
    go = shutil.which("go")
    if go is None:
        raise TargetUnavailableError("franz-go needs Go; it is not in PATH")
    if not build:
        raise TargetUnavailableError("franz-go's program is not compiled yet; a run with --long does it")
    program.parent.mkdir(exist_ok=True)
    partial = program.with_suffix(".new")
    done = subprocess.run(
        [go, "build", "-trimpath", "-o", str(partial), "."],
        cwd=SOURCES,
        env={**os.environ, "CGO_ENABLED": "0"},
        capture_output=True,
        text=True,
        check=False,
        timeout=BUILD_PATIENCE_S,
    )
    if done.returncode != 0:
        raise TargetUnavailableError(f"franz-go's program cannot be compiled: {done.stderr[-500:]}")
    partial.rename(program)
    return str(program)


def run(program: str, scenario: str, bootstrap: str, *arguments: str) -> tuple[Any, list[str]]:
    """What a scenario tells, and the lines its client logged (warnings and errors)."""
    done = subprocess.run(
        [program, scenario, bootstrap, *arguments], capture_output=True, text=True, check=False, timeout=RUN_PATIENCE_S
    )
    assert done.returncode == 0, f"{scenario}: {done.stdout}{done.stderr}"
    return json.loads(done.stdout), [f"franz-go {line}" for line in done.stderr.splitlines()]
