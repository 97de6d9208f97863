"""Command line: see the package's docstring."""

from __future__ import annotations

import argparse
import csv
import subprocess
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
TABLE: Final = ROOT / "broker/personality/data/api_versions.csv"
# Brokers that kept their metadata in ZooKeeper: up to the line before KRaft was called ready for production.
LAST_WITH_ZOOKEEPER: Final = (3, 2)

Versions = dict[str, str]
"""Release line -> versions, "3-13" or "0"."""


def release_of(jar: Path) -> tuple[int, ...]:
    """kafka-clients-2.8.2.jar -> (2, 8); kafka-clients-0.11.0.3.jar -> (0, 11)."""
    major, minor, *_ = jar.stem.removeprefix("kafka-clients-").split(".")
    return int(major), int(minor)


def ask(classes: Path, jar: Path, others: list[Path]) -> list[tuple[int, str, str]]:
    """(API key, name, versions) of one release's jar."""
    kind = "zkBroker" if release_of(jar) <= LAST_WITH_ZOOKEEPER else "broker"
    path = ":".join(map(str, (classes, jar, *others)))
    printed = subprocess.run(
        ["java", "-XX:TieredStopAtLevel=1", "-cp", path, "ApiTable", kind], check=True, capture_output=True, text=True
    )
    found = []
    for line in printed.stdout.splitlines():
        key, name, first, last = line.split()
        found.append((int(key), name, first if first == last else f"{first}-{last}"))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.releases", description=__doc__)
    parser.add_argument("--jars", type=Path, required=True)
    jars = sorted(parser.parse_args().jars.glob("kafka-clients-*.jar"), key=release_of)
    others = sorted(jars[0].parent.glob("slf4j-*.jar"))
    names: dict[int, str] = {}
    table: dict[int, Versions] = {}
    releases = []
    with tempfile.TemporaryDirectory() as directory:
        classes = Path(directory)
        subprocess.run(["javac", "-d", directory, str(Path(__file__).with_name("ApiTable.java"))], check=True)
        for jar in jars:
            release = ".".join(map(str, release_of(jar)))
            releases.append(release)
            for key, name, versions in ask(classes, jar, others):
                names[key] = "".join(word.capitalize() for word in name.split("_"))
                table.setdefault(key, {})[release] = versions
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["key", "api", *releases])
        for key in sorted(table):
            rows.writerow([key, names[key], *(table[key].get(release, "") for release in releases)])


if __name__ == "__main__":
    main()
