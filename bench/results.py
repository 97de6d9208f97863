"""Pairs of runs, their ratios, and where results are kept."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from bench.rows import AFTER_RUNS, ROWS, Metric
from bench.targets import ROOT

RESULTS = ROOT / "docs" / "performance.json"
FIRST, SECOND = "kwire", "kafka"


@dataclass
class RowResult:
    """The runs of one row: target -> metric -> one figure a run, in the order in which they ran."""

    key: str
    runs: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    date: str = ""
    generator: str = ""
    other_work: float = 0.0  # share of the machine's processors that other work took meanwhile

    def add(self, target: str, figures: dict[str, float]) -> None:
        """One run's figures."""
        for metric, value in figures.items():
            self.runs.setdefault(target, {}).setdefault(metric, []).append(round(value, 6))

    def median(self, target: str, metric: str) -> float | None:
        """The median of the runs, None when there are none."""
        values = self.runs.get(target, {}).get(metric)
        return median(values) if values else None

    def run_count(self, metric: str) -> int:
        """How many runs gave this figure, on the target that has most."""
        return max((len(figures.get(metric, [])) for figures in self.runs.values()), default=0)

    def ratios(self, metric: str) -> list[float]:
        """kwire / Kafka for each pair of runs that followed each other."""
        first = self.runs.get(FIRST, {}).get(metric, [])
        second = self.runs.get(SECOND, {}).get(metric, [])
        return [a / b for a, b in zip(first, second, strict=False) if b]


def reached(metric: Metric, ratio: float) -> bool | None:
    """Whether the ratio meets the metric's goal; None without a goal."""
    if metric.goal is None:
        return None
    return ratio >= metric.goal if metric.higher else ratio <= metric.goal


def metrics_of(key: str) -> tuple[Metric, ...]:
    """The metrics of a row, by its key."""
    if key == "after":
        return (AFTER_RUNS,)
    return next(row.metrics for row in ROWS if row.key == key)


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    cpu = ""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    memory_kib = int(Path("/proc/meminfo").read_text().split()[1])
    return {
        "processor": f"{cpu or platform.processor()}, {os.cpu_count()} cores",
        "memory": f"{memory_kib * 1024 / 1e9:.0f} GB",
        "system": f"Linux {platform.release().partition('-')[0]}, CPython {platform.python_version()}",
    }


def now_text() -> str:
    """The date of a result."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")


def save(path: Path, results: list[RowResult], about: dict[str, str], *, merge: bool) -> list[RowResult]:
    """Write results as JSON. With `merge`, rows of the file that were not run now are kept. Returns all, in order."""
    kept = {each.key: each for each in (load(path)[0] if merge and path.exists() else [])}
    kept.update({each.key: each for each in results})
    order = [*(row.key for row in ROWS), "after"]
    all_results = [kept[key] for key in order if key in kept]
    text = json.dumps({"about": about, "rows": [asdict(each) for each in all_results]}, indent=1)
    path.write_text(text + "\n")
    return all_results


def load(path: Path) -> tuple[list[RowResult], dict[str, str]]:
    """What `save` wrote."""
    data = json.loads(path.read_text())
    return [RowResult(**row) for row in data["rows"]], data["about"]
