"""The wheel, installed beside a project that has its own `log.py` and `broker/`: each sees its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIMIT_S = 120

# A project whose names are those that kwire's server uses inside.
PROJECT = {
    "log.py": "WHOSE = 'the project'\n",
    "broker/__init__.py": "WHOSE = 'the project'\n",
    "click.py": "raise SystemExit('the project is imported by kwire')\n",
    "main.py": "import broker, log, kwire.records\nprint(log.WHOSE, broker.WHOSE, broker.__file__)\n",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(out)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=LIMIT_S,
    )
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh environment with the wheel; what it depends on is taken from this environment."""
    home = tmp_path_factory.mktemp("venv")
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--quiet", str(wheel)],
        check=True,
        capture_output=True,
        timeout=LIMIT_S,
    )
    (site,) = home.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in PROJECT.items():
        path = tmp_path / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "project"


def _run(project: Path, *command: str) -> str:
    done = subprocess.run(
        command,
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project)},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_only_kwire_and_its_plugin_are_at_the_top(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"kwire", "pytest_kwire"}
    for name in (
        "kwire/launcher.py",
        "kwire/_server/log/__init__.py",
        "kwire/_server/broker/cli/main.py",
        "kwire/_server/broker/cleaner/worker_main.py",
        "kwire/_server/broker/config/data/broker.csv",
    ):
        assert name in names


def test_the_project_sees_its_own_modules(python: Path, project: Path) -> None:
    assert _run(project, str(python), "main.py").split() == [
        "the", "project", "the", "project", str(project / "broker" / "__init__.py")
    ]  # fmt: skip


@pytest.mark.parametrize("how", ["script", "module"])
def test_kwire_sees_its_own_modules(python: Path, project: Path, how: str) -> None:
    command = [str(python.with_name("kwire"))] if how == "script" else [str(python), "-P", "-m", "kwire"]
    assert _run(project, *command, "version").startswith("kwire ")


def test_a_broker_runs_beside_the_project(python: Path, project: Path) -> None:
    ready = project / "ready"
    with subprocess.Popen(
        [str(python.with_name("kwire")), "serve", "--port", "0", "--ephemeral", "--ready-file", str(ready)],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "[KafkaServer id=1] started" in line:
                break
        try:
            assert ready.read_text().startswith("127.0.0.1:"), "".join(lines)
        finally:
            process.send_signal(signal.SIGTERM)
            lines.append(process.communicate(timeout=LIMIT_S)[0])
    assert process.returncode == 0, "".join(lines)


def test_a_test_of_the_project_starts_a_broker_and_keeps_its_own_modules(python: Path, project: Path) -> None:
    (project / "test_it.py").write_text(
        "import broker, log\n"
        "def test_it(kafka_cluster):\n"
        "    kafka_cluster.produce('orders', 'a')\n"
        "    assert kafka_cluster.consume_until('orders', 1)[0].text == 'a'\n"
        "    assert (log.WHOSE, broker.WHOSE) == ('the project', 'the project')\n"
    )
    environment = ["env", "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1"]
    command = [str(python), "-m", "pytest", "-q", "-p", "pytest_kwire.plugin", "-p", "no:cacheprovider", "test_it.py"]
    assert "1 passed" in _run(project, *environment, *command)
