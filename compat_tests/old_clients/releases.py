"""Releases of clients from their registries, each kept in a folder of `.cache`; programs that use them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from compat_tests.targets import REPOSITORY, TargetUnavailableError

CACHE: Final = REPOSITORY / ".cache"
PROGRAMS: Final = Path(__file__).parent / "programs"
SARAMA: Final = Path(__file__).parent / "sarama"
FETCH_PATIENCE_S: Final = 300
RUN_PATIENCE_S: Final = 60
_POM: Final = """<project>
<modelVersion>4.0.0</modelVersion><groupId>kwire.compat</groupId><artifactId>old-clients</artifactId><version>1</version>
<dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-clients</artifactId><version>{release}</version></dependency>
</dependencies></project>
"""


def kafka_python(release: str, *, fetch: bool) -> Path:
    """The folder to put on PYTHONPATH. Raises TargetUnavailableError, so do the others."""
    folder = CACHE / f"kafka-python-{release}"

    def install(partial: Path) -> Sequence[str]:
        return [
            sys.executable,
            "-m",
            "pip",
            "install",
            "-q",
            "--no-deps",
            "--target",
            str(partial),
            f"kafka-python=={release}",
        ]

    _fetched(folder, install, fetch)
    return folder


def kafkajs(release: str, *, fetch: bool) -> Path:
    """The module's folder."""
    if shutil.which("node") is None:
        raise TargetUnavailableError("kafkajs needs Node; it is not in PATH")
    folder = CACHE / f"kafkajs-{release}"

    def install(partial: Path) -> Sequence[str]:
        npm = shutil.which("npm")
        if npm is None:
            raise TargetUnavailableError("kafkajs comes through npm; it is not in PATH")
        return [npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(partial), f"kafkajs@{release}"]

    _fetched(folder, install, fetch)
    return folder / "node_modules" / "kafkajs"


def java_client(release: str, *, fetch: bool) -> Path:
    """The folder with the jars: the client and what it logs with."""
    if shutil.which("java") is None:
        raise TargetUnavailableError("the Java clients need Java; it is not in PATH")
    folder = CACHE / f"kafka-clients-{release}"

    def install(partial: Path) -> Sequence[str]:
        maven = shutil.which("mvn")
        if maven is None:
            raise TargetUnavailableError("the Java clients come from Maven Central; mvn is not in PATH")
        (partial / "pom.xml").write_text(_POM.format(release=release))
        return [maven, "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={partial}"]

    _fetched(folder, install, fetch)
    return folder


def sarama(*, fetch: bool) -> Path:
    """The program of `sarama/`, compiled when its sources changed."""
    sources = [SARAMA / name for name in ("go.mod", "go.sum", "main.go")]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
    program = CACHE / f"compat-sarama-{digest}"
    if program.exists():
        return program
    go = shutil.which("go")
    if go is None:
        raise TargetUnavailableError("sarama needs Go; it is not in PATH")
    if not fetch:
        raise TargetUnavailableError("sarama's program is not compiled yet; a run with --long does it")
    partial = program.with_suffix(".new")
    _run([go, "build", "-trimpath", "-o", str(partial), "."], SARAMA, {"CGO_ENABLED": "0"})
    partial.rename(program)
    return program


def tell(command: Sequence[str], **environment: str) -> Any:
    """Run a program and give what its last line of JSON tells."""
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_PATIENCE_S,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return json.loads(done.stdout.splitlines()[-1])


def _fetched(folder: Path, install: Any, fetch: bool) -> None:
    if folder.exists():
        return
    if not fetch:
        raise TargetUnavailableError(f"{folder.name} is not in .cache; a run with --long fetches it")
    partial = folder.with_name(folder.name + ".new")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    _run(install(partial), partial, {})
    partial.rename(folder)


def _run(command: Sequence[str], where: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        command,
        cwd=where,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=FETCH_PATIENCE_S,
    )
    if done.returncode != 0:
        raise TargetUnavailableError(f"{command[0]} failed: {done.stderr[-500:]}")
