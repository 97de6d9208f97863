"""A client that never asks ApiVersions and speaks what it was built for, as ruby-kafka's and poseidon's kind do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from compat_tests.old_clients.message_sets import fetch, message_set, produce, records_of
from compat_tests.raw.wire import Wire, eventually
from compat_tests.targets import OwnBroker
from kwire.records.compression import Codec

LOADING = (14, 15, 16)
# The versions of Metadata, Produce, Fetch, OffsetCommit, OffsetFetch, JoinGroup that a client speaks.
KINDS = {
    "0.8": {"Metadata": 0, "Produce": 0, "Fetch": 0, "OffsetCommit": 0, "OffsetFetch": 0},
    "0.9": {"Metadata": 0, "Produce": 1, "Fetch": 1, "OffsetCommit": 2, "OffsetFetch": 1, "JoinGroup": 0},
    "0.10": {"Metadata": 1, "Produce": 2, "Fetch": 2, "OffsetCommit": 2, "OffsetFetch": 1, "JoinGroup": 1},
    "0.10.1": {"Metadata": 2, "Produce": 2, "Fetch": 3, "OffsetCommit": 2, "OffsetFetch": 2, "JoinGroup": 1},
}


class OldClient:
    """Its requests. `speaks`: the version of each API."""

    def __init__(self, wire: Wire, speaks: dict[str, int]) -> None:
        self.wire = wire
        self.speaks = speaks

    def leader_of(self, topic: str) -> int:
        """As such clients do: ask, be told that there is no leader yet, ask again."""
        codes = []

        def ask() -> Any:
            answer = self.wire.ask("Metadata", self.speaks["Metadata"], topics=[{"name": topic}]).topics[0]
            codes.append(answer.error_code)
            return answer

        found = eventually(ask, lambda answer: answer.error_code == 0, f"a leader of {topic}")
        assert codes[0] == 5, f"LEADER_NOT_AVAILABLE comes first, here {codes}"
        return int(found.partitions[0].leader_id)

    def coordinator(self, group: str) -> None:
        """Until there is one and it has loaded."""
        eventually(
            lambda: self.wire.ask("FindCoordinator", 0, key=group), lambda answer: answer.error_code == 0, "coordinator"
        )
        topics = [{"name": "offsets-nowhere", "partition_indexes": [0]}]
        eventually(
            lambda: self.wire.ask("OffsetFetch", 1, group_id=group, topics=topics).topics[0].partitions[0],
            lambda answer: answer.error_code not in LOADING,
            "a loaded coordinator",
        )

    def member(self, group: str) -> tuple[str, int]:
        """Join alone, sync: (member id, generation). The id is given at once, without being asked for first."""
        self.coordinator(group)
        fields: dict[str, Any] = {"group_id": group, "session_timeout_ms": 10_000, "member_id": ""}
        if self.speaks["JoinGroup"] >= 1:
            fields["rebalance_timeout_ms"] = 10_000
        protocols = [{"name": "range", "metadata": b"subscription"}]
        joined = eventually(
            lambda: self.wire.ask(
                "JoinGroup", self.speaks["JoinGroup"], protocol_type="consumer", protocols=protocols, **fields
            ),
            lambda answer: answer.error_code not in LOADING,
            "JoinGroup",
        )
        assert joined.error_code == 0
        assert joined.leader == joined.member_id
        synced = self.wire.ask(
            "SyncGroup",
            0,
            group_id=group,
            generation_id=joined.generation_id,
            member_id=joined.member_id,
            assignments=[{"member_id": joined.member_id, "assignment": b"all"}],
        )
        assert (synced.error_code, bytes(synced.assignment)) == (0, b"all")
        return joined.member_id, joined.generation_id

    def commit(self, group: str, topic: str, offset: int, member: tuple[str, int]) -> int:
        version = self.speaks["OffsetCommit"]
        fields: dict[str, Any] = {}
        if version >= 1:
            fields = {"member_id": member[0], "generation_id_or_member_epoch": member[1]}
        if version >= 2:
            fields["retention_time_ms"] = -1
        partition = {"partition_index": 0, "committed_offset": offset, "committed_metadata": ""}
        topics = [{"name": topic, "partitions": [partition]}]
        answer = self.wire.ask("OffsetCommit", version, group_id=group, topics=topics, **fields)
        return int(answer.topics[0].partitions[0].error_code)

    def committed(self, group: str, topic: str) -> int:
        topics = [{"name": topic, "partition_indexes": [0]}]
        answer = self.wire.ask("OffsetFetch", self.speaks["OffsetFetch"], group_id=group, topics=topics)
        return int(answer.topics[0].partitions[0].committed_offset)


@pytest.mark.parametrize("release", ["0.11", "2.8"])
@pytest.mark.parametrize("kind", list(KINDS))
def test_its_day(as_version: Callable[[str], OwnBroker], topic: str, group: str, kind: str, release: str) -> None:
    broker = as_version(release)
    speaks = KINDS[kind]
    magic = int(speaks["Produce"] >= 2)
    with Wire(broker.address) as wire:
        client = OldClient(wire, speaks)
        assert client.leader_of(topic) == 1
        plain = message_set(b"a", b"b", magic=magic)
        packed = message_set(b"c", b"d", magic=magic, codec=Codec.GZIP)
        assert produce(wire, topic, plain, speaks["Produce"]) == (0, 0)
        assert produce(wire, topic, packed, speaks["Produce"]) == (0, 2)
        time = 5 if magic else -1
        told = records_of(fetch(wire, topic, 0, speaks["Fetch"]))
        assert told == [(at, time, b"k", value) for at, value in enumerate((b"a", b"b", b"c", b"d"))]
        if "JoinGroup" not in speaks:  # groups came with 0.9
            client.coordinator(group)
            assert client.commit(group, topic, 3, ("", -1)) == 0
            assert client.committed(group, topic) == 3
            return
        member = client.member(group)
        assert client.commit(group, topic, 3, member) == 0
        assert client.committed(group, topic) == 3
        beat = wire.ask("Heartbeat", 0, group_id=group, member_id=member[0], generation_id=member[1])
        assert beat.error_code == 0
        assert wire.ask("LeaveGroup", 0, group_id=group, member_id=member[0]).error_code == 0
