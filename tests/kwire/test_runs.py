"""Arrays long enough to be decoded as runs of equally shaped structs."""

from __future__ import annotations

import random

import pytest

from kwire import codec, reference
from kwire.errors import DecodeError
from kwire.messages.metadata import MetadataResponse, MetadataResponsePartition, MetadataResponseTopic
from kwire.messages.offset_fetch import OffsetFetchRequest, OffsetFetchRequestTopic
from kwire.runs import LEAST_RUN, MAX_SHAPES
from kwire.schema import Struct, info_of
from tests.kwire.samples import Filler, message_classes


def metadata(partitions: list[MetadataResponsePartition]) -> MetadataResponse:
    return MetadataResponse(topics=[MetadataResponseTopic(name="t", partitions=partitions)])


def partition(index: int, replicas: int = 3, isr: int = 3, offline: int = 0) -> MetadataResponsePartition:
    return MetadataResponsePartition(
        partition_index=index,
        leader_id=1,
        replica_nodes=[*range(replicas)],
        isr_nodes=[*range(isr)],
        offline_replicas=[-1] * offline,
    )


def check(message: Struct, version: int) -> None:
    encoded = codec.encode(message, version)
    assert encoded == reference.encode(message, version)
    assert codec.decode_with_end(type(message), version, encoded) == (message, len(encoded))
    assert codec.decode_with_end(type(message), version, memoryview(b"." + encoded + b".."), 1) == (
        message,
        1 + len(encoded),
    )


@pytest.mark.parametrize("version", [0, 8, 9, 12])
@pytest.mark.parametrize("odd", [None, 0, 1, 7, LEAST_RUN, 19])
def test_a_struct_of_another_shape_ends_the_run(version: int, odd: int | None) -> None:
    for count in (LEAST_RUN - 1, LEAST_RUN, LEAST_RUN + 1, 20, 300):
        partitions = [partition(index) for index in range(count)]
        if odd is not None and odd < count:
            partitions[odd] = partition(odd, isr=2, offline=1 if version >= 5 else 0)
        check(metadata(partitions), version)


def test_unknown_tagged_fields_end_the_run() -> None:
    partitions = [partition(index) for index in range(30)]
    partitions[11].unknown_tagged_fields = {5: b"x"}
    check(metadata(partitions), 12)


def test_more_shapes_than_are_kept() -> None:
    for replicas in range(12):
        for isr in range(MAX_SHAPES):
            check(metadata([partition(index, replicas, isr) for index in range(10)]), 11)


def test_long_inner_arrays() -> None:
    check(metadata([partition(index, replicas=200) for index in range(10)]), 12)


@pytest.mark.parametrize("version", [1, 12])
def test_cut_off_within_a_run(version: int) -> None:
    encoded = codec.encode(metadata([partition(index) for index in range(30)]), version)
    for size in range(len(encoded)):
        with pytest.raises(DecodeError):
            codec.decode(MetadataResponse, version, encoded[:size])


def test_lists_of_a_run_are_not_shared() -> None:
    decoded = codec.decode(MetadataResponse, 12, codec.encode(metadata([partition(i) for i in range(20)]), 12))
    first, second = decoded.topics[0].partitions[:2]
    first.offline_replicas.append(1)
    first.replica_nodes.append(2)
    assert second == partition(1)


def test_an_array_of_integers_at_the_end_of_a_run() -> None:
    topics = [OffsetFetchRequestTopic(name=f"t{i}", partition_indexes=[*range(i)]) for i in range(100)]
    check(OffsetFetchRequest(group_id="g", topics=topics), 7)


@pytest.mark.parametrize("name", message_classes())
def test_long_arrays_of_every_message(name: str) -> None:
    cls = message_classes()[name]
    filler = Filler(random.Random(name), small=True)
    for version in {info_of(cls).all_versions()[0], info_of(cls).all_versions()[-1]}:
        for arrays in ((2,), (0, 1, 2, 9)):
            filler.structs, filler.arrays = (1, 1, 1, 20), arrays
            check(filler.message(cls, version), version)
