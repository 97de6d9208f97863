"""Starts a cleaning worker where `broker`, `log` and `kwire` are sure to be those of the broker that starts it.

    python -I worker_main.py '["PATH", ...]'

An isolated process sees neither the current directory nor PYTHONPATH; its module path is the one the broker has.
"""

from __future__ import annotations

import importlib
import json
import sys


def main() -> None:
    sys.path[:] = json.loads(sys.argv[1])
    importlib.import_module("broker.cleaner.worker").main()


if __name__ == "__main__":
    main()
