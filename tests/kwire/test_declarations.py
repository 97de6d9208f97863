"""The declared messages against Kafka's schemas, field by field and version by version."""

from __future__ import annotations

from typing import Any

import pytest

from kwire.api_keys import ApiKey
from kwire.messages import request_class, response_class
from kwire.reference import default_of
from kwire.schema import MAX_VERSION, NO_VERSIONS, Field, Struct, info_of, parse_versions
from tests.kwire.samples import CURRENT, PAST, message_classes, schema_of, schemas

RENAMED = {"ListClientMetricsResourcesRequest", "ListClientMetricsResourcesResponse"}
HEADERS = {"RequestHeader", "ResponseHeader"}  # kwire.headers


def test_every_schema_has_its_class() -> None:
    assert {*schemas()[CURRENT]} - HEADERS == {*message_classes()}
    assert {*schemas()[PAST]} - {*schemas()[CURRENT]} == RENAMED


@pytest.mark.parametrize("name", message_classes())
def test_declaration(name: str) -> None:
    cls = message_classes()[name]
    info, current, past = info_of(cls), schemas()[CURRENT][name], schemas()[PAST].get(name)
    assert info.kind == current["type"]
    assert info.number == current.get("apiKey")
    assert info.versions == parse_versions(current["validVersions"])
    assert (info.unstable != NO_VERSIONS) == current.get("latestVersionUnstable", False)
    assert info.unstable in (NO_VERSIONS, (info.versions[1], info.versions[1]))
    removed = set()
    if past is not None:
        low, high = parse_versions(past["validVersions"])
        first = info.versions[0] if info.versions != NO_VERSIONS else MAX_VERSION
        removed = {version for version in range(low, high + 1) if version < first}
    assert {*info.all_versions()} == removed | {*range(info.versions[0], info.versions[1] + 1)}
    for version in info.all_versions():
        schema = schema_of(cls, version)
        assert schema is not None
        low, high = parse_versions(schema["flexibleVersions"])
        assert info.is_flexible(version) == (low <= version <= high)
        shared = {one["name"]: one["fields"] for one in schema.get("structs", [])}
        compare(f"{name} v{version}", cls, version, schema["fields"], shared)


def compare(where: str, cls: type[Struct], version: int, wanted: list[dict[str, Any]], shared: dict[str, Any]) -> None:
    declared = [field for field in cls.struct_fields if field.in_version(version)]
    expected = [field for field in wanted if contains(field["versions"], version)]
    assert [spelled(field.name) for field in declared] == [field["name"].lower() for field in expected], where
    for ours, theirs in zip(declared, expected, strict=True):
        compare_field(f"{where}: {cls.__name__}.{ours.name}", ours, theirs, version, shared)
    tags = [field.tag for field in declared if field.tagged_in(version)]
    assert len(tags) == len(set(tags)), where


def compare_field(where: str, ours: Field, theirs: dict[str, Any], version: int, shared: dict[str, Any]) -> None:
    kind = theirs["type"]
    assert ours.nullable_in(version) == contains(theirs.get("nullableVersions"), version), where
    assert ours.tagged_in(version) == contains(theirs.get("taggedVersions"), version), where
    if ours.tagged_in(version):
        assert ours.tag == int(theirs["tag"]), where
    if contains(schemas_versions(where), version):
        assert ours.ignorable == theirs.get("ignorable", False), where
        assert default_of(ours) == expected_default(ours, theirs), where
    if isinstance(ours.item, type):
        struct = kind.removeprefix("[]")
        assert ours.kind == ("array" if kind.startswith("[]") else "struct"), where
        assert ours.item.__name__.endswith(struct), where
        compare(where, ours.item, version, theirs.get("fields") or shared[struct], shared)
    elif ours.kind == "array":
        assert f"[]{ours.item}" == kind, where
    else:
        assert ours.kind == kind, where


def schemas_versions(where: str) -> str:
    """The versions of 4.3.1, whose defaults and ignorability hold for the merged declaration."""
    versions: str = schemas()[CURRENT][where.split()[0]]["validVersions"]
    return versions


def expected_default(ours: Field, theirs: dict[str, Any]) -> Any:
    given = theirs.get("default")
    if given == "null" or ours.kind == "records":
        return None
    if ours.kind == "array":
        return []
    if ours.kind == "struct":
        assert isinstance(ours.item, type)
        return ours.item()
    if ours.kind == "bool":
        return given in (True, "true")
    if ours.kind == "string":
        return given or ""
    if ours.kind in ("bytes", "uuid"):
        assert not given
        return b"" if ours.kind == "bytes" else bytes(16)
    return float(given or 0) if ours.kind == "float64" else int(str(given or 0), 0)


def contains(text: str | None, version: int) -> bool:
    low, high = parse_versions(text or "none")
    return low <= version <= high


def spelled(name: str) -> str:
    return name.rstrip("_").replace("_", "")


def test_api_keys_and_first_flexible_versions() -> None:
    requests = {s["apiKey"]: s for s in schemas()[CURRENT].values() if s["type"] == "request"}
    assert {*requests} == {*map(int, ApiKey)}
    for key in ApiKey:
        request, response = request_class(key), response_class(key)
        assert (request.message_info and request.message_info.kind) == "request"
        assert (response.message_info and response.message_info.kind) == "response"
        for cls in (request, response):
            info = info_of(cls)
            assert info.number == key
            assert info.all_versions() == info_of(request).all_versions()
            for version in info.all_versions():
                flexible = key.first_flexible is not None and version >= key.first_flexible
                assert info.is_flexible(version) == flexible, (cls, version)
