"""The OpenAPI document, and schemathesis against the whole control plane in a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from broker.control.root import openapi
from broker.control.table import table
from kwire.testing import Broker


def test_the_document_has_every_endpoint() -> None:
    document = openapi(with_token=True)
    assert document["openapi"] == "3.1.0"
    listed = {(method.upper(), path) for path, each in document["paths"].items() for method in each}
    assert listed == {(each.method, re.sub(r"\{(\w+):int\}", r"{\1}", each.path)) for each in table()}
    identifiers = [operation["operationId"] for each in document["paths"].values() for operation in each.values()]
    assert len(set(identifiers)) == len(identifiers)


def test_every_endpoint_says_what_it_is() -> None:
    for each in table():
        assert each.summary, each.path
        assert each.tag, each.path


def test_references_lead_somewhere() -> None:
    document = openapi(with_token=False)
    schemas = document["components"]["schemas"]

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            reference = value.get("$ref")
            if isinstance(reference, str):
                assert reference.startswith("#/components/schemas/"), reference
                assert reference.rpartition("/")[2] in schemas, reference
            for each in value.values():
                walk(each)
        elif isinstance(value, list):
            for each in value:
                walk(each)

    walk(document)


def test_parameters_of_a_path_are_declared() -> None:
    for path, operations in openapi(with_token=False)["paths"].items():
        for operation in operations.values():
            named = [each["name"] for each in operation.get("parameters", ()) if each["in"] == "path"]
            assert named == re.findall(r"\{(\w+)\}", path), path


# What a run is about: a cluster of two nodes with a topic, whose records are read without waiting. Without these nearly
# all requests would end at 404.
_CONFIG = """
[parameters]
"path.cluster" = "t"
"path.topic" = "orders"
"path.partition" = 0
"path.node" = 1
"path.group" = "g"
"query.timeout_ms" = 0

# What takes away leaders and disks from those that come after it, which is a 503, has a cluster of its own.
[[operations]]
include-path-regex = "/(faults|stop|isolate)$"
parameters = { "path.cluster" = "u" }
"""
# Streams have no end; exports write where they are told.
_LEFT_OUT = r"(events|export|import)$"
# Left out are checks of what no schema says: that a host exists, that a rule has an action, that times are in order.
_CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "allow_header_conformance",
)


def test_schemathesis(tmp_path: Path, long_form: bool) -> None:
    """Requests made from the document, good and bad: none is answered 500, every answer is what the document says."""
    config = tmp_path / "schemathesis.toml"
    config.write_text(_CONFIG)
    phases = ["--phases", "coverage,fuzzing,stateful", "-n", "50"] if long_form else ["--phases", "coverage"]
    with Broker.start() as broker:
        for name in ("t", "u"):
            broker.create_cluster(name=name, nodes=2, topics={"orders": 1})
        command = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"]
        command += ["--config-file", str(config), "run", f"{broker.url}/openapi.json", *phases]
        command += ["--exclude-path-regex", _LEFT_OUT, "-c", ",".join(_CHECKS), "--continue-on-failure", "--no-color"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, f"{done.stdout[-8000:]}\n{done.stderr[-2000:]}\n{broker.log_text()}"
