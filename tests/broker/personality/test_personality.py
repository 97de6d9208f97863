"""The table of releases, and what follows from it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from broker.config.broker_config import BrokerConfig
from broker.config.values import InvalidConfigError
from broker.personality.personality import Personality
from broker.personality.releases import CURRENT, RELEASES, UnknownReleaseError, release_line
from broker.routes import Route, routes
from broker.versions import SUPPORTED_FEATURES
from kwire import codec
from kwire.api_keys import ApiKey
from kwire.errors import ApiError
from kwire.messages import response_class
from kwire.messages.api_versions import ApiVersionsRequest
from kwire.messages.create_topics import CreatableTopic, CreateTopicsRequest
from kwire.messages.metadata import MetadataRequest, MetadataRequestTopic
from tests.broker.cluster_helpers import running_server
from tools.releases.__main__ import release_of

OLDER = [release for release in RELEASES if release != CURRENT]


def personality(release: str) -> Personality:
    found = Personality.of(release)
    assert found is not None
    return found


def test_names_of_releases() -> None:
    assert [release_line(text) for text in ("2.8", "2.8.1", " 0.11.0.3", "4.3.1")] == ["2.8", "2.8", "0.11", "4.3"]
    for text in ("0.10", "0.10.2.1", "2.9", "5.0", "", "new", "2", "2.8.x.y" * 0):
        with pytest.raises(UnknownReleaseError, match=r"there are 0\.11, 1\.0"):
            release_line(text)


def test_the_current_release_is_no_personality() -> None:
    assert Personality.of(None) is None
    assert Personality.of("4.3") is None
    assert Personality.of("4.3.1") is None


def test_the_setting_names_what_is_allowed() -> None:
    with pytest.raises(InvalidConfigError, match=r"must be one of: 0\.11, 1\.0.*4\.3"):
        BrokerConfig({"kwire.as.version": "0.10"})


@pytest.mark.parametrize("release", OLDER)
def test_versions_only_grow_until_4(release: str) -> None:
    """From one line to the next nothing is lost but what 4.0 removed, and the APIs between brokers."""
    following = RELEASES[RELEASES.index(release) + 1]
    if following == CURRENT:
        return
    before, after = personality(release).ranges, personality(following).ranges
    between_brokers = {4, 5, 6, 7, 56, 67}
    # Brokers with KRaft could not keep these before 3.6 and 3.5.
    not_with_kraft_yet = {38, 39, 40, 41, 50, 51} if following == "3.3" else set()
    lost = set(before) - set(after)
    assert lost <= between_brokers | not_with_kraft_yet
    for key in set(before) & set(after) - between_brokers:
        assert after[key].last >= before[key].last, ApiKey(key).name
        if following != "4.0":
            assert after[key].first <= before[key].first, ApiKey(key).name


def advertised(lines: list[Route]) -> dict[int, tuple[int, int]]:
    return {int(line.api_key): (line.advertised.first, line.advertised.last) for line in lines if line.advertised}


def test_each_release_advertises_what_it_and_kwire_speak(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_server(tmp_path) as running:
            services = running.add().services
            today = advertised(routes(services))
            for release in OLDER:
                table = personality(release).ranges
                told = advertised(personality(release).narrowed(routes(services), services))
                assert set(told) == set(table) & set(today), release
                for key, (first, last) in told.items():
                    assert last == min(table[key].last, today[key][1]), (release, key)
                    assert first == (today[key][0] if release >= "4" else table[key].first), (release, key)

    trio.run(main)


@pytest.mark.parametrize("release", ["0.11", "3.9"])
def test_all_that_is_advertised_has_messages_and_handlers(tmp_path: Path, release: str) -> None:
    async def main() -> None:
        async with running_server(tmp_path) as running:
            services = running.add(kwire_as_version=release).services
            for line in personality(release).narrowed(routes(services), services):
                for version in {line.served.first, line.served.last}:
                    bound = line.bind(version)
                    assert (bound.api_key, bound.api_version) == (line.api_key, version)
                    codec.encoder(response_class(line.api_key), version)

    trio.run(main)


@pytest.mark.parametrize(
    ("release", "version", "supported", "finalized"),
    [
        ("2.8", 3, {}, {}),
        ("3.2", 3, {}, {}),
        ("3.3", 3, {"metadata.version": (1, 7)}, {"metadata.version": 7}),
        ("3.9", 3, {"metadata.version": (1, 21)}, {"metadata.version": 21}),
        ("3.9", 4, {"kraft.version": (0, 1), "metadata.version": (1, 21)}, {"metadata.version": 21}),
        (
            "4.0",
            3,
            {"metadata.version": (7, 25)},
            {"transaction.version": 2, "eligible.leader.replicas.version": 1, "metadata.version": 25},
        ),
    ],
)
def test_features(
    tmp_path: Path, release: str, version: int, supported: dict[str, Any], finalized: dict[str, int]
) -> None:
    async def main() -> None:
        async with running_server(tmp_path) as running:
            client = await running.connect(running.add(kwire_as_version=release))
            request = ApiVersionsRequest(client_software_name="x", client_software_version="1")
            answer = await client.send(request, version)
            told = {each.name: (each.min_version, each.max_version) for each in answer.supported_features}
            assert told == supported
            assert {each.name: each.max_version_level for each in answer.finalized_features} == finalized
            assert (answer.finalized_features_epoch >= 0) == bool(supported)

    trio.run(main)


def test_features_are_known_by_todays_names() -> None:
    for release in OLDER:
        assert set(personality(release).supported_features()) <= set(SUPPORTED_FEATURES)


@pytest.mark.parametrize(("release", "own"), [("2.3", []), ("2.4", [(18, 0, 3)]), ("3.9", [(18, 0, 4)])])
@pytest.mark.parametrize("asked", [2, 5, 99])
def test_an_unknown_version_of_api_versions(tmp_path: Path, release: str, own: list[Any], asked: int) -> None:
    if asked == 2:
        asked = 3 if release == "2.3" else 5

    async def main() -> None:
        async with running_server(tmp_path) as running:
            client = await running.connect(running.add(kwire_as_version=release))
            head = b"\x00\x12" + asked.to_bytes(2, "big") + b"\x00\x00\x00\x07\x00\x01x\x00\x02x\x02y\x00"
            await client.stream.send_all(len(head).to_bytes(4, "big") + head)
            size = int.from_bytes(await client._exactly(4), "big")
            frame = await client._exactly(size)
            assert frame[:4] == b"\x00\x00\x00\x07"
            answer = codec.decode(response_class(ApiKey.API_VERSIONS), 0, frame, 4)
            assert answer.error_code == 35
            assert [(each.api_key, each.min_version, each.max_version) for each in answer.api_keys] == own
            assert (await client.send(ApiVersionsRequest(), 0)).error_code == 0

    trio.run(main)


def test_a_version_without_a_body_that_is_unknown(tmp_path: Path) -> None:
    """Clients of 2.0 and later ask for v2 first, in a header without tagged fields."""

    async def main() -> None:
        async with running_server(tmp_path) as running:
            client = await running.connect(running.add(kwire_as_version="0.11"))
            await client.send_only(ApiVersionsRequest(), 2)
            size = int.from_bytes(await client._exactly(4), "big")
            answer = codec.decode(response_class(ApiKey.API_VERSIONS), 0, await client._exactly(size), 4)
            assert (answer.error_code, answer.api_keys) == (35, [])

    trio.run(main)


@pytest.mark.parametrize(("release", "code"), [("0.11", 5), ("2.8", 5), ("3.2", 5), ("3.3", 3), ("4.2", 3)])
def test_metadata_of_a_topic_that_it_makes(tmp_path: Path, release: str, code: int) -> None:
    async def main() -> None:
        async with running_server(tmp_path) as running:
            client = await running.connect(running.add(kwire_as_version=release))
            wanted = MetadataRequest(topics=[MetadataRequestTopic(name="t"), MetadataRequestTopic(name="a b")])
            for version in range(4):
                first = await client.send(wanted, version)
                assert {topic.name: topic.error_code for topic in first.topics} == {
                    "t": code if version == 0 else 0,
                    "a b": 17,
                }

    trio.run(main)


def test_versions_the_release_did_not_have_close_the_connection(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_server(tmp_path) as running:
            cluster = running.add(kwire_as_version="0.11")
            for request, version in ((MetadataRequest(topics=[]), 5), (CreateTopicsRequest(), 3)):
                client = await running.connect(cluster)
                with pytest.raises(EOFError):
                    await client.send(request, version)

    trio.run(main)


def test_removed_versions_are_refused_by_the_current_release(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_server(tmp_path) as running:
            for name, settings in (
                ("today", {}),
                ("current", {"kwire_as_version": "4.3"}),
                ("4", {"kwire_as_version": "4.0"}),
            ):
                cluster = running.add(name, **settings)
                client = await running.connect(cluster)
                topic = CreatableTopic(name="t", num_partitions=1, replication_factor=1)
                with pytest.raises(EOFError):
                    await client.send(CreateTopicsRequest(topics=[topic]), 1)

    trio.run(main)


def test_nothing_of_it_is_loaded_without_need(tmp_path: Path) -> None:
    code = f"""
import sys
from random import Random
from broker.clock import ManualClock
from broker.cluster import Cluster
from broker.config.broker_config import BrokerConfig
from broker.deferred import Deferred
config = BrokerConfig({{"log.dirs": {str(tmp_path / "data")!r}}})
Cluster(config, ManualClock(), Random(1), lambda work: Deferred()).open()
assert not [name for name in sys.modules if "personality" in name]
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_topic_settings_follow_the_release() -> None:
    def names(version: str | None) -> set[str]:
        return set(BrokerConfig({} if version is None else {"kwire.as.version": version}).topic_definitions)

    today = names(None)
    assert names("4.0") == today
    assert names("3.9") - today == {
        "message.downconversion.enable",
        "message.format.version",
        "message.timestamp.difference.max.ms",
    }
    assert names("1.1") - today == {"message.format.version", "message.timestamp.difference.max.ms"}
    defaults = {
        release: BrokerConfig({"kwire.as.version": release}).topic_defaults() for release in ("0.11", "2.8", "3.9")
    }
    assert [each["message.format.version"] for each in defaults.values()] == ["0.11.0-IV2", "2.8-IV1", "3.0-IV1"]


def test_the_older_distance_of_timestamps_holds_where_the_newer_are_not_set() -> None:
    config = BrokerConfig({"kwire.as.version": "3.9"})
    before, after = "message.timestamp.before.max.ms", "message.timestamp.after.max.ms"
    old = {"message.timestamp.difference.max.ms": "1000"}
    assert [config.topic_config()[name] for name in (before, after)] == [2**63 - 1] * 2
    assert [config.topic_config(old)[name] for name in (before, after)] == [1000, 1000]
    assert [config.topic_config({**old, after: "5"})[name] for name in (before, after)] == [1000, 5]
    assert BrokerConfig({}).topic_config(old)[before] == 2**63 - 1


def test_an_unknown_topic_setting_is_still_refused() -> None:
    from broker.config.rules import Rules
    from broker.controller.ports import RESOURCE_TOPIC, ConfigResource

    rules = Rules(BrokerConfig({"kwire.as.version": "2.8"}))
    topic = ConfigResource(RESOURCE_TOPIC, "t")
    rules.validate(topic, {"message.downconversion.enable": "false"}, {})
    with pytest.raises(ApiError, match="Unknown topic config name: nonsense"):
        rules.validate(topic, {"nonsense": "1"}, {})


def test_the_tables_are_of_all_releases() -> None:
    data = Path(__file__).parents[3] / "broker/personality/data"
    assert (data / "api_versions.csv").read_text().splitlines()[0].split(",") == ["key", "api", *RELEASES]
    with_features = (data / "features.csv").read_text().splitlines()[0].split(",")[1:]
    assert with_features == [release for release in OLDER if release not in RELEASES[: RELEASES.index("3.3")]]


def test_a_jar_tells_its_release() -> None:
    assert release_of(Path("kafka-clients-0.11.0.3.jar")) == (0, 11)
    assert release_of(Path("kafka-clients-2.8.2.jar")) == (2, 8)
