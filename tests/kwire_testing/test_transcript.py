"""The Python door of the transcript, and `kwire transcript`, against a broker in a process of its own."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result

from broker.cli.main import cli
from kwire.api_keys import ApiKey
from kwire.messages.metadata import MetadataRequest, MetadataRequestTopic
from kwire.testing import Cluster, KwireError, WaitTimeoutError
from kwire.testing.transcript import Exchange
from tests.kwire_testing.protocol import ask


def metadata(cluster: Cluster, topic: str) -> None:
    """A Metadata request, as a client makes it."""
    request = MetadataRequest(topics=[MetadataRequestTopic(name=topic)], allow_auto_topic_creation=False)
    ask(cluster.bootstrap_servers, ApiKey.METADATA, 9, request)


def test_requests_and_assertions(cluster: Cluster) -> None:
    cluster.create_topic("there")
    transcript = cluster.transcript
    metadata(cluster, "there")
    metadata(cluster, "missing")
    first, second = transcript.requests()
    assert (first.api, first.version, first.topics, first.errors) == ("Metadata", 9, ["there"], {})
    assert second.errors == {"UNKNOWN_TOPIC_OR_PARTITION": 1}
    assert str(second) == "1 a-test -> node 1: Metadata v9 missing = UNKNOWN_TOPIC_OR_PARTITION"
    assert first.request["topics"] == [{"name": "there"}]
    assert transcript.count(api=["Metadata", "Produce"]) == 2
    assert transcript.count(where=lambda exchange: exchange.topics == ["there"]) == 1
    assert [each.sequence for each in transcript.requests(limit=1)] == [1]
    assert transcript.assert_seen(topic="missing") == [second]
    transcript.assert_seen(times=2, api="Metadata")
    transcript.assert_not_seen(api="Produce")
    with pytest.raises(AssertionError) as told:
        transcript.assert_seen(api="Produce", topic="there")
    assert str(told.value).splitlines() == [
        "expected at least one request with api='Produce', topic='there', none was seen; the last requests were:",
        "  0 a-test -> node 1: Metadata v9 there = ok",
        "  1 a-test -> node 1: Metadata v9 missing = UNKNOWN_TOPIC_OR_PARTITION",
    ]
    with pytest.raises(AssertionError, match="expected no request with error='any', there are 1:\n  1 a-test"):
        transcript.assert_not_seen(error="any")
    with pytest.raises(AssertionError, match="expected 1 request with any content, there are 2:"):
        transcript.assert_seen(times=1)


def test_since_now(cluster: Cluster) -> None:
    metadata(cluster, "before")
    with cluster.transcript.since_now() as seen:
        with pytest.raises(AssertionError, match="nothing was seen at all"):
            seen.assert_seen()
        metadata(cluster, "after")
        assert [each.topics for each in seen.requests()] == [["after"]]
        assert seen.requests(since=0)[0].topics == ["before"]
    cluster.transcript.clear()
    assert cluster.transcript.requests() == []
    assert cluster.transcript.position == 2


def test_waiting_and_following(cluster: Cluster) -> None:
    with pytest.raises(WaitTimeoutError, match=r"1 request with api='Produce': not within 0\.01 s; last: nothing was"):
        cluster.transcript.wait_for(api="Produce", timeout_s=0.01)
    followed: list[Exchange] = []

    def follow() -> None:
        for exchange in cluster.transcript.follow(api="Metadata", since=0):
            followed.append(exchange)
            if len(followed) == 2:
                return

    follower = threading.Thread(target=follow)
    follower.start()
    metadata(cluster, "a")
    metadata(cluster, "b")
    follower.join(90)
    assert [each.topics for each in followed] == [["a"], ["b"]]
    assert followed == cluster.transcript.wait_for(2, api="Metadata")


def test_off_and_on(cluster: Cluster) -> None:
    transcript = cluster.transcript
    transcript.stop()
    with pytest.raises(KwireError, match=r"is off: call transcript\.start\(\) first"):
        transcript.requests()
    transcript.start(entries=1)
    metadata(cluster, "a")
    metadata(cluster, "b")
    assert [each.topics for each in transcript.requests()] == [["b"]]


Run = Callable[..., Result]


@pytest.fixture
def run(cluster: Cluster) -> Run:
    def transcript(*arguments: str, code: int = 0) -> Result:
        options = ["transcript", "--http", cluster.http.url, "--cluster", cluster.name, *arguments]
        result = CliRunner().invoke(cli, options, catch_exceptions=False)
        assert result.exit_code == code, result.output
        return result

    return transcript


def test_the_command(cluster: Cluster, run: Run) -> None:
    assert run("--table").stderr == "nothing was seen\n"
    metadata(cluster, "there")
    line = json.loads(run().stdout)
    assert (line["api"], line["errors"]) == ("Metadata", {"UNKNOWN_TOPIC_OR_PARTITION": 1})
    assert line["request"]["topics"] == [{"name": "there"}]
    table = run("--table", "--error", "any").stdout
    assert "Metadata v9" in table
    assert "UNKNOWN_TOPIC_OR_PARTITION" in table
    bodies = run("--table", "--bodies").stdout
    assert '    request  {"topics":[{"name":"there"}]' in bodies
    assert run("--api", "Produce").stdout == ""
    refused = run("--api", "Produced", code=1)
    assert "there is no API 'Produced'" in refused.stderr
    assert "is empty" in run("--clear").stderr
    assert "is off" in run("--off").stderr
    assert "kwire transcript --on turns it on" in run().stderr
    assert "is on" in run("--on", "--samples", "2").stderr
    run("--samples", "2", code=2)
