"""What /proc says about a broker: CPU time and memory of a process and its children."""

from __future__ import annotations

import contextlib
import mmap
import os
import time
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def _stat_fields(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat after the command name (which may hold spaces)."""
    text = Path(f"/proc/{pid}/stat").read_text()
    return text[text.rindex(")") + 2 :].split()


def process_tree(pid: int) -> list[int]:
    """`pid` and all its living descendants."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                children.setdefault(int(_stat_fields(int(name))[1]), []).append(int(name))
            except (OSError, ValueError):
                continue
    tree, todo = [], [pid]
    while todo:
        current = todo.pop()
        tree.append(current)
        todo.extend(children.get(current, ()))
    return tree


def set_niceness(niceness: int, pid: int = 0) -> None:
    """Give a process (0: this one), and its scheduling group where the kernel has one per session, this niceness.

    Below 0 needs the right to; then a benchmark stays meaningful while the machine does something else. What this
    process starts in its own session inherits it, what it starts in a new one does not.
    """
    os.setpriority(os.PRIO_PROCESS, pid, niceness)
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid or 'self'}/autogroup").write_text(str(niceness))


def cpu_seconds(pid: int) -> float:
    """User and system time of `pid`, its threads, its children living and reaped, in seconds (10 ms steps)."""
    total = 0
    for each in process_tree(pid):
        try:
            fields = _stat_fields(each)
        except OSError:
            continue
        total += sum(int(fields[index]) for index in (11, 12, 13, 14))
    return total / _TICKS_PER_SECOND


class OtherWork:
    """How much of the machine's processors others use while we measure."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._busy, self._own = _machine_busy_seconds(), cpu_seconds(os.getpid())

    def share(self) -> float:
        """Since the start, 0.0 to 1.0: all but this process and what it started."""
        busy = _machine_busy_seconds() - self._busy - (cpu_seconds(os.getpid()) - self._own)
        return max(0.0, busy / ((time.monotonic() - self._began) * (os.cpu_count() or 1)))


def _machine_busy_seconds() -> float:
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    user, nice, system, _idle, _iowait, irq, softirq, steal = fields[:8]
    return (user + nice + system + irq + softirq + steal) / _TICKS_PER_SECOND


def touch_free_memory(wanted_mb: int) -> None:
    """Make that much free memory really there.

    The host of a virtual machine may have taken free pages back; giving them again costs up to 3 s of the writer's CPU
    time per GB of new page cache, whatever the broker. They stay for some seconds.
    """
    available_kib = next(
        int(line.split()[1])
        for line in Path("/proc/meminfo").read_text().splitlines()
        if line.startswith("MemAvailable")
    )
    size_mb = min(wanted_mb, available_kib // 1024 // 3)
    if size_mb > 0:
        mmap.mmap(-1, size_mb << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE).close()


def memory_mb(pid: int, what: str = "Rss") -> float:
    """Resident memory of the process tree in MB (10^6 bytes); `what` is "Rss" or "Pss"."""
    total_kib = 0
    for each in process_tree(pid):
        try:
            for line in Path(f"/proc/{each}/smaps_rollup").read_text().splitlines():
                if line.startswith(what + ":"):
                    total_kib += int(line.split()[1])
        except OSError:
            continue
    return total_kib * 1024 / 1e6
