"""`kwire version`: what it prints."""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path
from typing import Final

import click

KAFKA_VERSION: Final = "4.3.1"


def kwire_version() -> str:
    """The installed distribution's version; in a checkout that is not installed, the project file's."""
    try:
        return metadata.version("kwire")
    except metadata.PackageNotFoundError:
        import tomllib

        project = Path(__file__).parents[2] / "pyproject.toml"
        return str(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"])


def version_text() -> str:
    """`kwire 0.1.0 (compatible with Apache Kafka 4.3.1), CPython 3.11.9`."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"kwire {kwire_version()} (compatible with Apache Kafka {KAFKA_VERSION}), {python}"


@click.command(short_help="Print the version.")
def version() -> None:
    """Print kwire's version, and that of the Kafka it is compatible with."""
    click.echo(version_text())
