"""Why a broker could not start, for the person who started it."""

from __future__ import annotations


class StartError(Exception):
    """The broker cannot start: the port is taken, the directory is in use or of another cluster, ...

    The text says what stands in the way and what to do; the command line prints it without a traceback.
    """
