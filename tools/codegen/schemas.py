"""Reads Kafka's message schemas out of its jars and keeps what the codec needs of them.

A reduced schema is a dict: name, type, apiKey, validVersions, flexibleVersions, latestVersionUnstable, fields, and
structs (the shared ones). A reduced field has name, type, versions, and where they say something: nullableVersions,
tag, taggedVersions, default, ignorable, fields. No documentation text is kept.
"""

from __future__ import annotations

import json
import lzma
import zipfile
from pathlib import Path
from typing import Any

JARS = (
    "kafka-clients",
    "kafka-group-coordinator",
    "kafka-transaction-coordinator",
    "kafka-share-coordinator",
    "kafka-metadata",
    "kafka-storage",
)
# Not on the wire and not in a log: JSON files, or Streams' own business.
SKIPPED = {"QuorumStateData", "SubscriptionInfoData"}

_FIELD_KEYS = (
    "name",
    "type",
    "versions",
    "nullableVersions",
    "tag",
    "taggedVersions",
    "default",
    "ignorable",
    "flexibleVersions",
)


def read_jar(path: Path) -> dict[str, dict[str, Any]]:
    """The reduced schemas in one jar, by name."""
    found = {}
    with zipfile.ZipFile(path) as jar:
        for entry in jar.namelist():
            if entry.startswith(("common/", "message/")) and entry.endswith(".json"):
                schema = reduce_schema(json.loads(strip_comments(jar.read(entry).decode())))
                if schema["name"] not in SKIPPED:
                    found[schema["name"]] = schema
    return found


def read_release(directory: Path, version: str) -> dict[str, dict[str, Any]]:
    """The reduced schemas of a release, from those of its jars that are in `directory`."""
    found: dict[str, dict[str, Any]] = {}
    for jar in JARS:
        path = directory / f"{jar}-{version}.jar"
        if path.exists():
            found |= read_jar(path)
    return found


def strip_comments(text: str) -> str:
    """The schema files are JSON with // and /* */ comments."""
    out, index, in_string = [], 0, False
    while index < len(text):
        char = text[index]
        if in_string:
            out.append(char)
            if char == "\\":
                index += 1
                out.append(text[index])
            elif char == '"':
                in_string = False
        elif text.startswith("//", index):
            index = text.find("\n", index)
            continue
        elif text.startswith("/*", index):
            index = text.index("*/", index) + 2
            continue
        else:
            in_string = char == '"'
            out.append(char)
        index += 1
    return "".join(out)


def reduce_schema(schema: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {"name": schema["name"], "type": schema["type"], "validVersions": schema["validVersions"]}
    if "apiKey" in schema:
        kept["apiKey"] = schema["apiKey"]
    kept["flexibleVersions"] = schema.get("flexibleVersions", "none")
    if schema.get("latestVersionUnstable"):
        kept["latestVersionUnstable"] = True
    kept["fields"] = [reduce_field(field) for field in schema.get("fields", [])]
    shared = schema.get("commonStructs", [])
    if shared:
        kept["structs"] = [
            {"name": s["name"], "versions": s["versions"], "fields": [reduce_field(f) for f in s["fields"]]}
            for s in shared
        ]
    return kept


def reduce_field(field: dict[str, Any]) -> dict[str, Any]:
    kept = {key: field[key] for key in _FIELD_KEYS if field.get(key) is not None}
    kept.setdefault("versions", field.get("taggedVersions"))
    if kept.get("ignorable") is False:
        del kept["ignorable"]
    if "fields" in field:
        kept["fields"] = [reduce_field(inner) for inner in field["fields"]]
    return kept


def save(path: Path, releases: dict[str, dict[str, dict[str, Any]]]) -> None:
    text = json.dumps(releases, separators=(",", ":"), sort_keys=True)
    path.write_bytes(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))


def load(path: Path) -> dict[str, dict[str, dict[str, Any]]]:
    releases: dict[str, dict[str, dict[str, Any]]] = json.loads(lzma.decompress(path.read_bytes()))
    return releases
