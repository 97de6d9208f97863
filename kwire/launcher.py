"""Starts the command line where `log` and `broker` are sure to be kwire's.

These two names are too general for a user's site-packages: a wheel keeps them below `kwire/_server/`, and the command
runs in a process of its own that sees neither the current directory, nor PYTHONPATH, nor the user's site-packages
(`python -I`), with that folder first on the path. In the repository they are top-level packages beside `kwire`.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def main() -> None:
    """Run `kwire` with the process's arguments. Does not return."""
    server = _PACKAGE / "_server"
    if server.is_dir() and not sys.flags.isolated:
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(sys.executable, [sys.executable, "-I", str(_PACKAGE / "launcher.py"), *sys.argv[1:]])
    _run(server if server.is_dir() else _PACKAGE.parent)


def _run(server: Path) -> None:
    sys.path.insert(0, str(server))
    # kwire and what it needs may be in a place that an isolated process does not look at (pip install --user).
    site = str(_PACKAGE.parent)
    if site not in sys.path:
        sys.path.append(site)
    # By name: the library itself does not depend on the server.
    importlib.import_module("broker.cli.main").main()


if __name__ == "__main__":
    main()
