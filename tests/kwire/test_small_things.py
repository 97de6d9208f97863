"""Uuids, error codes, errors, and what a struct class can do."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kwire import uuids
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError, DecodeError, FrameError, KwireError
from kwire.messages.list_offsets import ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic
from kwire.messages.metadata import MetadataRequest
from kwire.schema import info_of, parse_versions


@given(st.binary(min_size=16, max_size=16))
def test_uuid_text(uuid: bytes) -> None:
    text = uuids.to_string(uuid)
    assert len(text) == 22
    assert uuids.from_string(text) == uuid


def test_uuid_text_as_kafka_prints_it() -> None:
    assert uuids.to_string(uuids.ZERO) == "AAAAAAAAAAAAAAAAAAAAAA"
    assert uuids.to_string(uuids.METADATA_TOPIC_ID) == "AAAAAAAAAAAAAAAAAAAAAQ"
    assert uuids.to_string(b"\xfb\xff" * 8) == "-__7__v_-__7__v_-__7_w"


@pytest.mark.parametrize("text", ["", "abc", "AAAAAAAAAAAAAAAAAAAAAAA", "ä" * 22, "A" * 24])
def test_not_a_uuid(text: str) -> None:
    with pytest.raises(ValueError, match="uuid"):
        uuids.from_string(text)


def test_reserved_uuids() -> None:
    assert uuids.is_reserved(uuids.ZERO)
    assert uuids.is_reserved(uuids.METADATA_TOPIC_ID)
    assert uuids.is_reserved(uuids.LOST_DIRECTORY)
    assert uuids.is_reserved(uuids.from_string("-AAAAAAAAAAAAAAAAAAAAA"))
    assert not uuids.is_reserved(uuids.from_string("AAAAAAAAAAAAAAAAAAAAZA"))
    assert not uuids.is_reserved(uuids.from_string("A-AAAAAAAAAAAAAAAAAAAA"))


def test_error_codes() -> None:
    assert len(ErrorCode) == 135
    assert ErrorCode(3) is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert ErrorCode.UNKNOWN_TOPIC_OR_PARTITION.retriable
    assert not ErrorCode.NONE.retriable
    assert not ErrorCode.OFFSET_OUT_OF_RANGE.retriable
    assert ErrorCode.of(9999) is ErrorCode.UNKNOWN_SERVER_ERROR
    assert ErrorCode.of(-1) is ErrorCode.UNKNOWN_SERVER_ERROR


def test_errors() -> None:
    error = ApiError(ErrorCode.INVALID_REQUEST, "no")
    assert (error.code, error.message, str(error)) == (42, "no", "INVALID_REQUEST: no")
    assert str(ApiError(ErrorCode.INVALID_REQUEST)) == "INVALID_REQUEST"
    assert issubclass(FrameError, DecodeError)
    assert issubclass(DecodeError, KwireError)


def test_structs_are_values() -> None:
    def made() -> ListOffsetsRequest:
        partitions = [ListOffsetsPartition(partition_index=1)]
        return ListOffsetsRequest(replica_id=3, topics=[ListOffsetsTopic(name="t", partitions=partitions)])

    assert made() == made()
    assert made() != ListOffsetsRequest(replica_id=3)
    assert made() != "something else"
    assert copy.deepcopy(made()) == made()
    assert repr(ListOffsetsPartition()) == (
        "ListOffsetsPartition(partition_index=0, current_leader_epoch=-1, timestamp=0, max_num_offsets=1)"
    )
    assert ListOffsetsRequest(unknown_tagged_fields={1: b""}) != ListOffsetsRequest()
    assert "unknown_tagged_fields={1: b''}" in repr(ListOffsetsRequest(unknown_tagged_fields={1: b""}))
    with pytest.raises(AttributeError):
        made().no_such_field = 1  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        ListOffsetsRequest(no_such_field=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        hash(made())


def test_lists_are_not_shared_between_objects() -> None:
    one, other = ListOffsetsRequest(), ListOffsetsRequest()
    one.topics.append(ListOffsetsTopic())
    assert other.topics == []
    assert MetadataRequest().topics == []


def test_attrs_functions_work_on_structs() -> None:
    topic = ListOffsetsTopic(name="t", partitions=[ListOffsetsPartition()])
    assert [field.name for field in attrs.fields(ListOffsetsTopic)] == ["name", "partitions", "unknown_tagged_fields"]
    assert attrs.asdict(topic)["partitions"][0]["current_leader_epoch"] == -1
    assert attrs.evolve(topic, name="u") == ListOffsetsTopic(name="u", partitions=topic.partitions)  # type: ignore[misc]


def test_declared_versions() -> None:
    assert [parse_versions(text) for text in ("0+", "3-7", "2", "none")] == [(0, 0x7FFF), (3, 7), (2, 2), (1, 0)]
    assert info_of(ListOffsetsRequest).all_versions() == [*range(12)]
    with pytest.raises(TypeError, match="ListOffsetsTopic is no message"):
        info_of(ListOffsetsTopic)


def test_importing_kwire_imports_little() -> None:
    code = "import sys, kwire, kwire.codec, kwire.messages; print(*sys.modules)"
    root = Path(__file__).parents[2]
    modules = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True).stdout
    loaded = {name for name in modules.split() if name.startswith(("attr", "trio", "kwire."))}
    assert not {name for name in loaded if name.startswith(("attr", "trio", "kwire.messages."))}
    assert "kwire.compiler" not in loaded
