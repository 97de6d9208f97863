"""The commands of docs/testing/http.md, as they stand there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from kwire.testing import Broker

PAGE = Path(__file__).parents[2] / "docs" / "testing" / "http.md"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not there")
def test_the_commands_of_the_page(broker: Broker) -> None:
    _, block = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)[:2]
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        env={**os.environ, "KWIRE": broker.url},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert '"value":{"total":9.5}' in done.stdout
