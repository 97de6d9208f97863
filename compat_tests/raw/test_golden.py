"""Whole answers compared with Kafka's: ApiVersions, and DescribeConfigs of everything at its default.

``compat_tests/data/configs.json`` holds what Kafka answers with the suite's server.properties; ``--target kafka
--record`` writes it anew.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from compat_tests.differences import FEATURES_NOT_YET, NOT_YET_ADVERTISED, different_defaults
from compat_tests.raw.wire import Wire
from compat_tests.targets import Broker

DATA = Path(__file__).resolve().parent.parent / "data"
CONFIGS = DATA / "configs.json"

# Addresses, directories and ids of a run, and what Kafka needs set and kwire does not: only their kind is compared.
OF_THE_RUN = {
    "advertised.listeners",
    "broker.heartbeat.interval.ms",
    "broker.id",
    "broker.session.timeout.ms",
    "controller.listener.names",
    "controller.quorum.voters",
    "inter.broker.listener.name",
    "listener.security.protocol.map",
    "listeners",
    "log.dir",
    "log.dirs",
    "node.id",
    "process.roles",
    "ssl.keystore.location",
    "ssl.keystore.type",
}

RESOURCES = {"topic": 2, "broker": 4, "broker default": 4, "client metrics": 16, "group": 32}


def known_api_versions() -> Any:
    return json.loads((DATA / "api_versions.json").read_text())


@pytest.mark.parametrize("version", range(5))
def test_api_versions_are_kafkas(wire: Wire, broker: Broker, version: int) -> None:
    answer = wire.ask("ApiVersions", version, client_software_name="raw", client_software_version="1")
    assert answer.error_code == 0
    known = known_api_versions()["advertised"]
    missing = NOT_YET_ADVERTISED if broker.kind == "kwire" else frozenset[str]()
    wanted = [tuple(known[name]) for name in known if name not in missing]
    assert [(a.api_key, a.min_version, a.max_version) for a in answer.api_keys] == sorted(wanted)


@pytest.mark.parametrize("version", [3, 4])
def test_features_are_kafkas(wire: Wire, broker: Broker, version: int) -> None:
    answer = wire.ask("ApiVersions", version, client_software_name="raw", client_software_version="1")
    known = known_api_versions()
    not_yet = FEATURES_NOT_YET if broker.kind == "kwire" else frozenset[str]()
    supported = {
        name: tuple(levels)
        for name, levels in known["supported_features"].items()
        if name not in not_yet and (version >= 4 or levels[0] > 0)
    }
    finalized = {n: tuple(levels) for n, levels in known["finalized_features"].items() if n not in not_yet}
    got = {f.name: (f.min_version, f.max_version) for f in answer.supported_features}
    assert {n: levels for n, levels in got.items() if n not in not_yet} == supported
    got = {f.name: (f.min_version_level, f.max_version_level) for f in answer.finalized_features}
    assert got == finalized
    assert answer.finalized_features_epoch >= 0
    assert not answer.zk_migration_ready


def configs(wire: Wire, resource: str, name: str) -> dict[str, Any]:
    """{key: what DescribeConfigs v4 tells}, synonyms included."""
    wanted = {"resource_type": RESOURCES[resource], "resource_name": name, "configuration_keys": None}
    (result,) = wire.ask("DescribeConfigs", 4, resources=[wanted], include_synonyms=True).results
    assert result.error_code == 0
    return {
        c.name: {
            "value": c.value,
            "source": c.config_source,
            "type": c.config_type,
            "read_only": c.read_only,
            "sensitive": c.is_sensitive,
            "synonyms": [[s.name, s.value, s.source] for s in c.synonyms],
        }
        for c in result.configs
    }


def comparable(key: str, config: dict[str, Any]) -> dict[str, Any]:
    kept = ("type", "read_only", "sensitive") if key in OF_THE_RUN else tuple(config)
    return {field: config[field] for field in kept}


@pytest.mark.parametrize("resource", list(RESOURCES))
def test_configs_are_kafkas(
    wire: Wire, broker: Broker, topic: str, resource: str, request: pytest.FixtureRequest
) -> None:
    name = {"topic": topic, "broker": "1", "broker default": ""}.get(resource, topic)
    if resource == "topic":
        wire.create(topic)
    got = {key: comparable(key, config) for key, config in configs(wire, resource, name).items()}
    stored = json.loads(CONFIGS.read_text()) if CONFIGS.exists() else {}
    if request.config.getoption("--record") and broker.kind == "kafka":
        stored[resource] = got
        lines = ",\n".join(
            f" {json.dumps(r)}: {{\n"
            + ",\n".join(f"  {json.dumps(k)}: {json.dumps(c)}" for k, c in sorted(keys.items()))
            + "\n }"
            for r, keys in sorted(stored.items())
        )
        CONFIGS.write_text(f"{{\n{lines}\n}}\n")
    wanted = stored[resource]
    differing = different_defaults() if broker.kind == "kwire" and resource == "broker" else {}
    assert sorted(got) == sorted(wanted), "the keys described"
    wrong = {}
    for key, theirs in wanted.items():
        ours, theirs = dict(got[key]), dict(theirs)
        if key in differing:
            # The default shows as the last synonym, and as the value where server.properties sets none.
            expected = [key, differing[key], 5]
            theirs["synonyms"] = [*theirs["synonyms"][:-1], expected]
            if theirs["source"] == 5:
                theirs["value"] = differing[key]
        if ours != theirs:
            wrong[key] = {field: (ours[field], theirs[field]) for field in theirs if ours[field] != theirs[field]}
    assert wrong == {}, "(this broker's, what is expected) where they differ"
