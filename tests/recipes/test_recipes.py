"""The recipes of examples/recipes run as they stand: each starts a broker, which is gone when it ends.

What they need beside the language is kept in .cache: JUnit's jar (Maven), kafkajs (npm), the compiled Go tests. A
recipe is skipped where its toolchain is missing.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kwire.testing import wait_for

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache"
RECIPES = ROOT / "examples" / "recipes"
LIMIT_S = 180
FETCH_S = 120
COMPILE_S = 600
JUNIT = "1.13.4"
# Of so many packages that the Go cache lacks, the rest is the standard library: a minute of two cores.
MOST_PACKAGES = 20

Run = Callable[..., str]


def program(name: str) -> str:
    """Its path; skips the test where there is none."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name} in PATH")
    return found


def fetch(*command: str, cwd: Path) -> None:
    """Run what downloads something; skips the test where it cannot."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=FETCH_S, check=False)
    if done.returncode != 0:
        pytest.skip(f"{Path(command[0]).name} could not fetch what the recipe needs: {done.stderr[-300:]}")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a command that starts brokers; its output. Fails when it fails, or when a broker is left."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    def run(*command: str, cwd: Path = tmp_path) -> str:
        environment = {
            **os.environ,
            "TMPDIR": str(scratch),
            "KWIRE": f"{sys.executable} -m kwire",
            "PYTHONPATH": str(ROOT),
        }
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=LIMIT_S)
        assert done.returncode == 0, done.stdout + done.stderr
        wait_for(lambda: not list(scratch.iterdir()), what="nothing is left behind")
        return done.stdout

    return run


def test_node(run: Run, tmp_path: Path) -> None:
    node, npm = program("node"), program("npm")
    sources = RECIPES / "node"
    packages = CACHE / f"recipe-node-{_digest(sources / 'package.json')}"
    if not (packages / "node_modules").exists():
        packages.mkdir(parents=True, exist_ok=True)
        shutil.copy(sources / "package.json", packages)
        fetch(npm, "install", "--no-audit", "--no-fund", "--no-package-lock", cwd=packages)
    work = shutil.copytree(sources, tmp_path / "node", ignore=shutil.ignore_patterns("node_modules"))
    (work / "node_modules").symlink_to(packages / "node_modules")
    assert re.search(r"^# pass 2$", run(node, "--test", "--test-reporter=tap", cwd=work), re.MULTILINE)


def test_junit(run: Run, tmp_path: Path) -> None:
    java, javac = program("java"), program("javac")
    jars = [*CACHE.glob("kafka-4.3.1/kafka-clients-*.jar"), *CACHE.glob("kafka-4.3.1/slf4j-api-*.jar")]
    if len(jars) != 2:
        pytest.skip("no Kafka jars in .cache: python -m tools.kafka_jars fetches them")
    console = CACHE / f"junit-{JUNIT}" / f"junit-platform-console-standalone-{JUNIT}.jar"
    if not console.exists():
        artifact = f"-Dartifact=org.junit.platform:junit-platform-console-standalone:{JUNIT}"
        target = f"-DoutputDirectory={console.parent}"
        fetch(program("mvn"), "-q", "-B", "dependency:copy", artifact, target, cwd=ROOT / "compat_tests" / "kafka")
    classes = tmp_path / "classes"
    class_path = os.pathsep.join(map(str, [classes, console, *jars]))
    sources = sorted(map(str, RECIPES.glob("junit/src/test/java/**/*.java")))
    quick = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
    run(javac, *[f"-J{option}" for option in quick], "-proc:none", "-d", str(classes), "-cp", class_path, *sources)
    output = run(
        *[java, *quick, f"-Djava.io.tmpdir={tmp_path / 'scratch'}", "-XX:-UsePerfData", "-cp", class_path],
        *["org.junit.platform.console.ConsoleLauncher", "execute", "--disable-banner", "--details", "summary"],
        f"--scan-classpath={classes}",
    )
    assert "2 tests successful" in output


def test_go(run: Run, long_form: bool) -> None:
    sources = RECIPES / "go"
    compiled = CACHE / f"recipe-go-{_digest(*sorted(sources.iterdir()))}"
    if not compiled.exists():
        _compile(program("go"), sources, compiled, long_form)
    assert run(str(compiled), "-test.v").count("--- PASS") == 2


def _compile(go: str, sources: Path, compiled: Path, long_form: bool) -> None:
    environment = {**os.environ, "CGO_ENABLED": "0"}
    fetch(go, "mod", "download", cwd=sources)
    partial = compiled.with_suffix(".new")
    build = [go, "test", "-vet=off", "-c", "-o", str(partial), "."]
    would = [*build[:-1], "-n", "."]
    planned = subprocess.run(would, cwd=sources, env=environment, capture_output=True, text=True, timeout=FETCH_S)
    packages = planned.stderr.count("/compile ")
    if packages > MOST_PACKAGES and not long_form:
        pytest.skip(f"the recipe is not compiled yet, with {packages} packages of Go's; a run with --long does it")
    done = subprocess.run(build, cwd=sources, env=environment, capture_output=True, text=True, timeout=COMPILE_S)
    assert done.returncode == 0, done.stderr
    partial.rename(compiled)


def _digest(*paths: Path) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:12]
