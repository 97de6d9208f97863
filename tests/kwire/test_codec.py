"""The compiled codec against the interpreter, for every version of every message."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kwire import codec, reference
from kwire.errors import EncodeError, UnsupportedVersionError
from kwire.messages.api_versions import ApiVersionsRequest
from kwire.messages.fetch import FetchableTopicResponse, FetchResponse, PartitionData
from kwire.messages.list_offsets import ListOffsetsRequest, ListOffsetsTopic
from kwire.messages.metadata import MetadataRequest, MetadataRequestTopic
from kwire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from kwire.schema import Struct, info_of
from tests.kwire.samples import all_versions, fill, message_classes


def check(cls: type[Struct], version: int, message: Struct) -> None:
    encoded = codec.encode(message, version)
    assert encoded == reference.encode(message, version), f"{cls.__name__} v{version}: {message}"
    assert b"".join(codec.encode_parts(message, version)) == encoded  # type: ignore[arg-type]
    decoded = codec.decode(cls, version, encoded)
    assert decoded == message
    assert reference.decode(cls, version, encoded) == (message, len(encoded))
    assert codec.decode_with_end(cls, version, memoryview(b"xyz" + encoded + b"after"), 3) == (
        message,
        3 + len(encoded),
    )
    assert codec.encode(decoded, version) == encoded


@pytest.mark.parametrize("name", message_classes())
def test_every_version_agrees_with_the_reference(name: str, long_form: bool) -> None:
    cls = message_classes()[name]
    rng = random.Random(name)
    for version in info_of(cls).all_versions():
        check(cls, version, cls())
        for _ in range(50 if long_form else 3):
            check(cls, version, fill(cls, version, rng))


@given(st.sampled_from(all_versions()), st.randoms(use_true_random=False))
def test_random_messages_agree_with_the_reference(which: tuple[type[Struct], int], rng: random.Random) -> None:
    check(*which, fill(*which, rng))


def test_decoded_objects_are_whole() -> None:
    """A decoded object has every slot, also those of fields its version lacks."""
    for cls, version in all_versions():
        decoded = codec.decode(cls, version, codec.encode(cls(), version))
        assert repr(decoded) == repr(cls())


def test_unknown_version() -> None:
    for version in (-1, 5, 100):
        with pytest.raises(UnsupportedVersionError, match=f"ApiVersionsRequest has no version {version}"):
            codec.decode(ApiVersionsRequest, version, b"")
        with pytest.raises(UnsupportedVersionError):
            codec.encode(ApiVersionsRequest(), version)


def test_a_set_field_the_version_lacks_is_refused_unless_ignorable() -> None:
    assert codec.encode(ListOffsetsRequest(timeout_ms=5), 1) == codec.encode(ListOffsetsRequest(), 1)
    with pytest.raises(UnsupportedVersionError, match=r"ListOffsetsRequest\.isolation_level is set, and version 1"):
        codec.encode(ListOffsetsRequest(isolation_level=1), 1)


def test_unknown_tagged_fields_need_a_flexible_version() -> None:
    request = ListOffsetsRequest(unknown_tagged_fields={7: b"x"})
    assert codec.decode(ListOffsetsRequest, 6, codec.encode(request, 6)) == request
    with pytest.raises(UnsupportedVersionError):
        codec.encode(request, 5)


def test_an_unknown_tagged_field_may_not_have_a_known_tag() -> None:
    response = FetchResponse(unknown_tagged_fields={0: b"x"}, node_endpoints=[])
    response.node_endpoints = [type(response).struct_fields[-1].item()]  # type: ignore[operator, union-attr, misc]
    with pytest.raises(EncodeError, match="tagged field 0"):
        codec.encode(response, 16)


@pytest.mark.parametrize(
    ("message", "version"),
    [
        (ListOffsetsRequest(replica_id=1 << 31), 1),
        (ListOffsetsRequest(replica_id=None), 1),  # type: ignore[arg-type]
        (ListOffsetsRequest(topics=None), 1),  # type: ignore[arg-type]
        (ListOffsetsRequest(topics=None), 6),  # type: ignore[arg-type]
        (ListOffsetsRequest(topics=[None]), 6),  # type: ignore[list-item]
        (ListOffsetsRequest(topics=[ListOffsetsTopic(name=None)]), 6),  # type: ignore[arg-type]
        (ListOffsetsRequest(topics=[ListOffsetsTopic(name="x" * 32768)]), 6),
        (ListOffsetsRequest(topics=[ListOffsetsTopic(name="x" * 32768)]), 1),
        (ListOffsetsRequest(topics=[ListOffsetsTopic(name="\ud800")]), 1),
        (ListOffsetsRequest(topics=[ListOffsetsTopic(name=b"bytes")]), 1),  # type: ignore[arg-type]
        (MetadataRequest(topics=None), 0),
        (MetadataRequest(topics=[MetadataRequestTopic(topic_id=b"short")]), 12),
        (MetadataRequest(topics=[MetadataRequestTopic(topic_id="0123456789abcdef")]), 12),  # type: ignore[arg-type]
    ],
)
def test_values_the_wire_cannot_carry(message: Struct, version: int) -> None:
    with pytest.raises(EncodeError):
        codec.encode(message, version)
    with pytest.raises(EncodeError):
        codec.encode_parts(message, version)


def test_an_error_names_the_field() -> None:
    with pytest.raises(EncodeError, match=r"ListOffsetsRequest v1: ListOffsetsTopic\.name is None"):
        codec.encode(ListOffsetsRequest(topics=[ListOffsetsTopic(name=None)]), 1)  # type: ignore[arg-type]
    with pytest.raises(EncodeError, match=r"ListOffsetsRequest v1: ListOffsetsRequest\.replica_id is 2147483648"):
        codec.encode(ListOffsetsRequest(replica_id=1 << 31), 1)


class FileRange:
    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size


def fetched(*records: object) -> FetchResponse:
    partitions = [PartitionData(partition_index=i, records=one) for i, one in enumerate(records)]  # type: ignore[arg-type]
    return FetchResponse(responses=[FetchableTopicResponse(topic_id=bytes(range(16)), partitions=partitions)])


def test_external_bytes_stay_apart() -> None:
    first, second = FileRange(5000), FileRange(3)
    parts = codec.encode_parts(fetched(first, b"tiny", second), 16)
    assert [part for part in parts if isinstance(part, FileRange)] == [first, second]
    assert len(parts) == 5
    filled = b"".join(bytes(len(part)) if isinstance(part, FileRange) else part for part in parts)  # type: ignore[misc]
    assert filled == codec.encode(fetched(bytes(5000), b"tiny", bytes(3)), 16)
    with pytest.raises(EncodeError):
        codec.encode(fetched(first), 16)


def test_large_records_are_not_copied() -> None:
    payload = memoryview(bytearray(100_000))
    parts = codec.encode_parts(fetched(payload), 16)
    assert [part for part in parts if part is payload] == [payload]
    assert b"".join(parts) == codec.encode(fetched(payload), 16)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [10, 3000, 5000, 100_000])
def test_decoded_records_are_views_of_the_frame(size: int) -> None:
    partition = PartitionProduceData(records=bytes(size))
    request = ProduceRequest(topic_data=[TopicProduceData(name="topic", partition_data=[partition])])
    frame = bytearray(codec.encode(request, 9))
    decoded = codec.decode(ProduceRequest, 9, memoryview(frame))
    records = decoded.topic_data[0].partition_data[0].records
    assert isinstance(records, memoryview)
    assert len(records) == size
    records[0] = 77
    assert frame.count(77) == 1
    assert decoded.topic_data[0].name == "topic"


def test_malformed_utf8_is_replaced_as_in_java() -> None:
    encoded = codec.encode(ListOffsetsRequest(topics=[ListOffsetsTopic(name="abc")]), 1)
    decoded = codec.decode(ListOffsetsRequest, 1, encoded.replace(b"abc", b"a\xffc"))
    assert decoded.topics[0].name == "a\ufffdc"
    assert codec.decode_with_end(ListOffsetsRequest, 1, encoded.replace(b"abc", b"a\xffc"))[1] == len(encoded)
