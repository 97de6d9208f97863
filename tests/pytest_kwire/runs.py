"""Runs of pytest within a test: with the plugin, however it is installed."""

from __future__ import annotations

from importlib.metadata import entry_points

# Where the package is installed with its entry point, naming the plugin as well would load it twice.
PLUGIN: tuple[str, ...] = (
    ()
    if any(each.value == "pytest_kwire.plugin" for each in entry_points(group="pytest11"))
    else ("-p", "pytest_kwire.plugin")
)
# What our own environment has, and a run of ours must not be shuffled or spread by.
QUIET: tuple[str, ...] = ("-p", "no:randomly", "-p", "no:cacheprovider", *PLUGIN)
