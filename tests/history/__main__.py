"""One history, or several, by hand: `python -m tests.history machine --seed 7`."""

from __future__ import annotations

import argparse
import logging
import sys
import time

from attrs import evolve

from tests.history.checker import check, report
from tests.history.world import KINDS, SimulatedWorld


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.history", description=__doc__)
    parser.add_argument("kind", choices=KINDS, help="what the world may do, and what is promised in it")
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--count", type=int, default=1, help="how many seeds")
    parser.add_argument("--operations", type=int, default=KINDS["process"].operations)
    options = parser.parse_args()
    logging.basicConfig(handlers=[logging.NullHandler()], level=logging.ERROR)
    failed = 0
    for seed in range(options.seed, options.seed + options.count):
        shape = evolve(KINDS[options.kind], operations=options.operations)
        began = time.perf_counter()
        result = SimulatedWorld(seed, shape).run()
        lived = time.perf_counter()
        found = check(result.history)
        checked = time.perf_counter()
        print(
            f"seed {seed}: {len(result.history.operations)} operations in {lived - began:.2f} s, checked in "
            f"{checked - lived:.2f} s, {result.requests} requests, {result.dropped} dropped, {result.starts} starts, "
            f"faults {dict(result.faults)}"
        )
        if found:
            failed += 1
            print(report(result.history, found))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
