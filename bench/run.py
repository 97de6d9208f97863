"""`make bench`: kwire and Apache Kafka in turn on this machine.

    python -m bench.run [--rows a,b] [--runs 5] [--targets kwire,kafka] [--quick] [--profile] [--nice N]
                        [--json OUT] [--docs]

A full run writes docs/performance.json, docs/PERFORMANCE.md and the plot; with --docs a partial one does too, and
rows that were not run keep their last result.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from pathlib import Path

from bench import process, report, results, targets
from bench.load.programs import LoadError, program
from bench.profile import profiled
from bench.results import RowResult
from bench.rows import ROWS, Row, produce, raw_produce
from bench.targets import Target

QUICK_SCALE = 0.2
WARM_UP = 1.0  # of a run, unmeasured: mostly for the JVM


def _arguments(given: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=__doc__)
    parser.add_argument("--rows", help=f"of: {', '.join(row.key for row in ROWS)}")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--targets", default="kwire,kafka", help="kwire, kafka or host:port, comma separated")
    parser.add_argument("--quick", action="store_true", help="a fifth of the volume, two runs")
    parser.add_argument("--profile", action="store_true", help="sample kwire meanwhile and print where it was")
    parser.add_argument("--nice", type=int, default=0, help="niceness of clients and brokers, e.g. -20")
    parser.add_argument("--json", type=Path, help="write the results here")
    parser.add_argument("--docs", action="store_true", help="write the documents also after a partial run")
    arguments = parser.parse_args(given)
    known = {row.key for row in ROWS}
    wanted = arguments.rows.split(",") if arguments.rows else sorted(known)
    if unknown := set(wanted) - known:
        parser.error(f"no such rows: {', '.join(sorted(unknown))}; there are {', '.join(row.key for row in ROWS)}")
    arguments.rows = [row for row in ROWS if row.key in wanted]
    arguments.targets = arguments.targets.split(",")
    if arguments.quick and arguments.docs:
        parser.error("--quick is for trying things out, not for the documents")
    if arguments.quick:
        arguments.runs = min(arguments.runs, 2)
    return arguments


def warm(target: Target, seconds: float = 3.0) -> None:
    """Let a fresh broker see the kinds of requests to come: a JVM needs thousands of each to be itself."""
    for prepare in (raw_produce(10, 1, seconds), raw_produce(1, 1, seconds), produce(1024, 200_000)):
        with prepare(target, 1.0) as measure:
            measure()


def run_row(row: Row, running: list[Target], runs: int, scale: float, *, warm_up: bool = True) -> RowResult:
    """One row on all targets, run by run in turn. A target on which it fails is left out, and the reason printed."""
    result = RowResult(row.key, date=results.now_text(), generator=program("rdkafka_load")[0].rpartition("/")[2])
    with contextlib.ExitStack() as stack:
        measures = {}
        for target in running:
            try:
                if warm_up:
                    with row.prepare(target, scale * WARM_UP) as measure:
                        measure()
                measures[target.name] = stack.enter_context(row.prepare(target, scale))
            except (LoadError, OSError, RuntimeError, EOFError) as error:
                print(f"  {row.key}: left out: {error}", file=sys.stderr)
        for _ in range(runs):
            for name, measure in list(measures.items()):
                try:
                    result.add(name, measure())
                except (LoadError, OSError, RuntimeError, EOFError) as error:
                    print(f"  {row.key}: {name} fell out: {error}", file=sys.stderr)
                    del measures[name]
    return result


def _run_rows(rows: list[Row], arguments: argparse.Namespace, about: dict[str, str], *, tls: bool) -> list[RowResult]:
    scale = QUICK_SCALE if arguments.quick else 1.0
    done = []
    with contextlib.ExitStack() as stack:
        running = [stack.enter_context(targets.start(name, tls=tls)) for name in arguments.targets]
        for target in running:
            about.update(target.details)
            if not arguments.quick and target.name != "kwire" and any(row.key != "start" for row in rows):
                warm(target)
        for row in rows:
            began, others = time.monotonic(), process.OtherWork()
            with contextlib.ExitStack() as watched:
                if arguments.profile:
                    for target in running:
                        watched.enter_context(profiled(target, row.key))
                done.append(run_row(row, running, arguments.runs, scale, warm_up=row.key != "start"))
            done[-1].other_work = round(others.share(), 3)
            print(f"{row.key} ({time.monotonic() - began:.0f} s)", file=sys.stderr)
            print("\n".join(report.table(done[-1:]).splitlines()[2:]), flush=True)
        if not tls and len(rows) > 4:
            after = RowResult("after", date=results.now_text())
            for target in running:
                after.add(target.name, {"after_mb": target.rss_mb()})
            done.append(after)
    return done


def main(given: list[str] | None = None) -> int:
    """Run, print, write."""
    arguments = _arguments(given)
    if arguments.nice:
        process.set_niceness(arguments.nice)
    about = results.machine()
    done: list[RowResult] = []
    for tls in (False, True):
        if rows := [row for row in arguments.rows if row.tls == tls]:
            done += _run_rows(rows, arguments, about, tls=tls)
    print("\n" + report.table(done))
    if arguments.json:
        results.save(arguments.json, done, about, merge=False)
    full = len(arguments.rows) == len(ROWS) and not arguments.quick and arguments.targets == ["kwire", "kafka"]
    if arguments.docs or full:
        merged = results.save(results.RESULTS, done, about, merge=not full)
        report.write_page(merged, about)
        report.write_plot(merged)
        print(f"written: {report.PAGE}, {report.PLOT}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
