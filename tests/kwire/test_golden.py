"""What Kafka's own classes wrote for every version of every message (`python -m tools.codegen.golden`)."""

from __future__ import annotations

import json
import lzma
from collections import defaultdict
from functools import cache
from typing import Any

import pytest

from kwire import codec
from tests.kwire.samples import DATA, all_versions, from_json, message_classes


@cache
def golden() -> dict[str, list[tuple[int, dict[str, Any], bytes]]]:
    found = defaultdict(list)
    for line in lzma.decompress((DATA / "golden.json.xz").read_bytes()).decode().splitlines():
        name, version, message, written = json.loads(line)
        found[name].append((version, message, bytes.fromhex(written)))
    return found


def test_every_version_is_there() -> None:
    assert {(name, version) for name, kept in golden().items() for version, _, _ in kept} == {
        (cls.__name__, version) for cls, version in all_versions()
    }


@pytest.mark.parametrize("name", message_classes())
def test_golden_bytes(name: str) -> None:
    cls = message_classes()[name]
    for version, given, written in golden()[name]:
        message = from_json(cls, version, given)
        assert codec.encode(message, version) == written, f"{name} v{version}"
        assert codec.decode_with_end(cls, version, written) == (message, len(written)), f"{name} v{version}"
