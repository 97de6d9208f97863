"""Where a Python broker spends its time, sampled from outside by py-spy (optional: `pip install py-spy`)."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from bench.targets import Target

TOP = 25


def sampler() -> str | None:
    """The py-spy executable beside this Python or on the PATH."""
    beside = Path(sys.executable).with_name("py-spy")
    return str(beside) if beside.exists() else shutil.which("py-spy")


@contextlib.contextmanager
def profiled(target: Target, title: str) -> Iterator[None]:
    """Sample `target` during the block, 200 times a second, native frames left out; print its hottest functions.

    Only for kwire; a note is printed where py-spy is missing or may not attach. Figures measured meanwhile are a few
    percent lower.
    """
    executable = sampler()
    if target.name != "kwire" or target.pid is None:
        yield
        return
    if executable is None:
        print("no profile: py-spy is not installed", file=sys.stderr)
        yield
        return
    with tempfile.TemporaryDirectory(prefix="bench-profile-") as folder:
        stacks = Path(folder) / "stacks"
        command = [executable, "record", "--subprocesses", "--nonblocking", "--rate", "200", "--duration", "3600"]
        command += ["--format", "raw", "--output", str(stacks), "--pid", str(target.pid)]
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            yield
        finally:
            if running.poll() is None:
                running.send_signal(signal.SIGINT)
            _, errors = running.communicate(timeout=60)
        if stacks.exists():
            print(_summary(stacks.read_text(), title), file=sys.stderr)
        else:
            print(f"no profile: {errors.strip()[-500:]}", file=sys.stderr)


def _function(frame: str) -> str:
    """`name (path:line)` as `name folder/file.py`: the samples of one function together."""
    name, _, place = frame.partition(" (")
    return f"{name} {'/'.join(place.rstrip(')').rpartition(':')[0].split('/')[-2:])}"


def _summary(raw_stacks: str, title: str) -> str:
    """The functions with most samples of their own, with what they called as the second figure; percent of all."""
    own: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    total = 0
    for line in raw_stacks.splitlines():
        stack, _, count = line.rpartition(" ")
        functions = [_function(frame) for frame in stack.split(";")]
        total += int(count)
        own[functions[-1]] += int(count)
        for function in set(functions):
            whole[function] += int(count)
    lines = [f"profile of {title}: {total} samples; own %, with callees %"]
    lines += [
        f"  {100 * count / total:5.1f} {100 * whole[function] / total:5.1f}  {function}"
        for function, count in own.most_common(TOP)
    ]
    return "\n".join(lines)
