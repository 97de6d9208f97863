"""The repository's own checks, and documents that must agree with the code."""

from __future__ import annotations

import re
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from broker.cli.main import cli
from broker.config.broker_config import BASE_SETTINGS
from broker.config.definitions import BROKER_DEFAULTS, ConfigDefinition, broker_definitions
from tools import check_clock, coverage, kafka_jars

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "import os, time",
        "from time import monotonic",
        "import trio\nasync def f(): await trio.sleep(1)",
        "import trio\nwith trio.move_on_after(1): pass",
        "import trio\nwith trio.fail_at(1): pass",
        "import trio\nnow = trio.current_time()",
        "from trio import sleep_forever",
        "from datetime import datetime\nnow = datetime.now()",
    ],
)
def test_the_clock_rule_finds(source: str) -> None:
    assert list(check_clock.problems("broker/group/x.py", source))
    assert not list(check_clock.problems("broker/clock.py", source))


@pytest.mark.parametrize(
    "source",
    [
        "import trio\nevent = trio.Event()",
        "from datetime import datetime\nthen = datetime.fromtimestamp(5)",
        "def time(): pass\ntime()",
        "import timeit",
    ],
)
def test_the_clock_rule_lets_pass(source: str) -> None:
    assert not list(check_clock.problems("broker/group/x.py", source))


def test_the_reactor_may_wait() -> None:
    source = "import trio\nasync def f():\n with trio.move_on_after(1): pass"
    assert not list(check_clock.problems("broker/reactor.py", source))


def test_nothing_breaks_the_clock_rule(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_clock.main() == 0, capsys.readouterr().out


def test_the_coverage_document_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert coverage.main(["--check"]) == 0, capsys.readouterr().err


def test_every_route_is_an_api_of_kafkas() -> None:
    known = {api.key: api for api in coverage.kafka_apis()}
    for key, route in coverage.kwire_routes().items():
        assert known[key].name == route.name
        first, _, last = known[key].schema.partition("-")
        assert int(first) <= route.served.first
        assert route.served.last <= int(last or first)


def _table(document: str, heading: str) -> list[list[str]]:
    section = document.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [line for line in section.strip().split("\n\n")[0].splitlines() if line.startswith("| `")]
    return [[cell.strip().strip("`") for cell in row.strip("|").split(" | ")] for row in rows]


def test_the_differing_defaults_are_those_of_the_document() -> None:
    rows = _table((ROOT / "docs" / "DIFFERENCES.md").read_text(), "Defaults of broker settings")
    assert {row[0]: row[2] for row in rows} == dict(BROKER_DEFAULTS)
    table = (ROOT / "broker" / "config" / "data" / "broker.csv").read_text().splitlines()
    kafka = {line.split(",")[0]: line.split(",")[2] for line in table}
    assert {row[0]: row[1] for row in rows} == {name: kafka[name] for name in BROKER_DEFAULTS}
    assert all(row[3] for row in rows), "each has a reason"


def test_the_settings_kwire_starts_without_are_those_of_the_document() -> None:
    document = (ROOT / "docs" / "DIFFERENCES.md").read_text()
    for name, text in BASE_SETTINGS.items():
        assert f"| `{name}` | {text} |" in document
        definition: ConfigDefinition = broker_definitions()[name]
        assert definition.parse(text) is not None


def test_links_in_documents_lead_somewhere() -> None:
    for path in (ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_every_dependency_has_its_reason() -> None:
    reasons = (ROOT / "docs" / "DEPENDENCIES.md").read_text()
    project = (ROOT / "pyproject.toml").read_text()
    for name in re.findall(r'"([A-Za-z0-9_-]+)>=', project):
        assert re.search(rf"\b{re.escape(name)}\b", reasons), name


def test_the_ci_script_can_be_run() -> None:
    assert (ROOT / ".ci" / "run").stat().st_mode & stat.S_IXUSR


def test_the_readme_names_options_that_there_are() -> None:
    runner = CliRunner()
    known = runner.invoke(cli, ["serve", "--help"]).output + runner.invoke(cli, ["--help"]).output
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = [line for line in readme.splitlines() if line.startswith("    ") and "kwire serve" in line]
    assert commands
    for line in commands:
        for option in re.findall(r"--[a-z-]+", line.partition("kwire serve")[2]):
            assert option in known, line
    targets = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`?make ([a-z]+)`?", readme):
        assert f"\n{target}:" in targets


def test_missing_jars_are_fetched_once(tmp_path: Path) -> None:
    asked: list[str] = []

    def maven(command: Sequence[str]) -> int:
        asked.append(command[3])
        folder = Path(command[-1].partition("=")[2])
        folder.mkdir()
        for name in ("kafka_2.13-4.3.1.jar", "kafka-clients-3.9.1.jar"):
            (folder / name).touch()
        return 0

    assert kafka_jars.fetch(tmp_path, lambda name: name, maven) is None
    assert asked == ["dependency:copy-dependencies", "dependency:copy"]
    assert kafka_jars.fetch(tmp_path, lambda name: None, maven) is None
    assert len(asked) == 2


def test_jars_that_cannot_be_fetched_are_named(tmp_path: Path) -> None:
    assert "no java in PATH" in str(kafka_jars.fetch(tmp_path, lambda name: None, lambda command: 0))
    without_maven = kafka_jars.fetch(tmp_path, {"java": "/bin/java"}.get, lambda command: 0)
    assert "no mvn in PATH" in str(without_maven)
    assert "Maven could not" in str(kafka_jars.fetch(tmp_path, lambda name: name, lambda command: 1))


def test_decisions_have_a_number_each() -> None:
    numbers = [path.name[:4] for path in sorted((ROOT / "docs" / "adr").glob("*.md"))]
    assert numbers == [f"{number:04}" for number in range(1, len(numbers) + 1)]


def test_decisions_that_are_named_are_there() -> None:
    there = {path.name[:4] for path in (ROOT / "docs" / "adr").glob("*.md")}
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "broker").rglob("*.py")]:
        assert set(re.findall(r"docs/adr/(\d{4})", path.read_text(encoding="utf-8"))) <= there, path
