"""Hostile bytes: the decoder raises DecodeError, does not hang, and takes at most 64 times what it was given."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kwire import codec
from kwire.errors import DecodeError
from kwire.messages.metadata import MetadataRequest, MetadataResponse
from kwire.messages.produce import ProduceRequest
from kwire.schema import Field, Struct, info_of
from tests.fuzz.fuzz_codec import NASTY, check, mutate
from tests.kwire.samples import Filler, all_versions, message_classes

FACTOR = 64
SLACK = 65536  # what every decode may take besides: some unknown tagged fields, a traceback


# Messages whose elements may be smallest on the wire for what they are in memory.
DENSE = {"StreamsGroupTopologyValue", "CreatePartitionsRequest", "AlterClientQuotasRequest", "OffsetFetchRequest"}


@given(st.sampled_from(all_versions()), st.binary(max_size=200))
def test_any_bytes(which: tuple[type[Struct], int], data: bytes) -> None:
    check(*which, data)


@given(st.sampled_from(all_versions()), st.randoms(use_true_random=False))
def test_changed_messages(which: tuple[type[Struct], int], rng: random.Random) -> None:
    cls, version = which
    data = codec.encode(Filler(rng, small=True).message(cls, version), version)
    for _ in range(10):
        check(cls, version, mutate(data, rng))


@pytest.mark.parametrize("name", message_classes())
def test_cut_off_at_every_byte(name: str, long_form: bool) -> None:
    cls = message_classes()[name]
    versions = info_of(cls).all_versions()
    for version in versions if long_form else {versions[0], versions[-1]}:
        data = codec.encode(Filler(random.Random(name), small=True).message(cls, version), version)
        for size in range(len(data)):
            with pytest.raises(DecodeError):
                codec.decode(cls, version, data[:size])
            with pytest.raises(DecodeError):
                codec.decode(cls, version, memoryview(data)[:size])


@pytest.mark.parametrize("name", ["FetchRequest", "MetadataResponse", "ProduceRequest", "DescribeGroupsResponse"])
def test_huge_numbers_everywhere(name: str, long_form: bool) -> None:
    """A count, length or tag that claims the most, at each place of a message."""
    cls = message_classes()[name]
    for version in {info_of(cls).versions[0], info_of(cls).versions[1]}:
        data = codec.encode(Filler(random.Random(name), small=True).message(cls, version), version)
        check(cls, version, data)
        for position in range(0, len(data), 1 if long_form else 7):
            for nasty in NASTY:
                hostile = data[:position] + nasty + data[position + len(nasty) :]
                assert peak_of(cls, version, hostile) <= FACTOR * len(hostile) + SLACK


@pytest.mark.parametrize(
    ("cls", "version", "data"),
    [
        (MetadataRequest, 0, "7fffffff"),
        (MetadataRequest, 0, "00ffffff" + "00" * 100),
        (MetadataRequest, 12, "ffffffff07"),
        (MetadataRequest, 12, "ffffffff0f" + "00" * 100),
        (MetadataResponse, 12, "00000000" + "ffffffff0f"),
        (MetadataResponse, 12, "00000000" + "01" + "ffffffff0f"),
        (ProduceRequest, 9, "ffffffff0f"),
        (ProduceRequest, 9, "00 0001 00000000 ffffffff0f"),
        (ProduceRequest, 9, "00 0001 00000000 02 0161 ffffffff0f" + "00" * 100),
        (ProduceRequest, 3, "ffff 0001 00000000 7fffffff" + "00" * 100),
        (MetadataRequest, 12, "01 00 00" + "ffffffff0f" + "00" * 100),
        (MetadataRequest, 12, "01 00 00" + "01 64 ffffffff0f" + "00" * 100),
    ],
)
def test_numbers_that_lie(cls: type[Struct], version: int, data: str) -> None:
    raw = bytes.fromhex(data)
    with pytest.raises(DecodeError):
        codec.decode(cls, version, raw)
    assert peak_of(cls, version, raw) <= FACTOR * len(raw) + SLACK


def peak_of(cls: type[Struct], version: int, data: bytes) -> int:
    """The most bytes of memory a decode had in use."""
    with suppress(DecodeError):
        codec.decode(cls, version, data)  # whatever has to be compiled is not part of the measure
    tracemalloc.start()
    try:
        codec.decode(cls, version, data)
    except DecodeError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak


@pytest.mark.parametrize("tags", [False, True], ids=["plain", "tagged"])
def test_many_tiny_elements(tags: bool, long_form: bool) -> None:
    """Valid messages of the most objects a byte: arrays of the smallest structs, each with an unknown tagged field."""
    worst = []
    for cls in message_classes().values():
        if not long_form and cls.__name__ not in DENSE:
            continue
        version = info_of(cls).all_versions()[-1]
        if tags and not info_of(cls).is_flexible(version):
            continue
        for path in {path[-1]: path for path in array_paths(cls, version)}.values():
            message = smallest(cls, version, dict.fromkeys(path, 1) | {path[-1]: 3000 if long_form else 1000}, tags)
            data = codec.encode(message, version)
            peak = peak_of(cls, version, data)
            assert peak <= FACTOR * len(data) + SLACK, f"{cls.__name__} v{version}: {peak} for {len(data)}, {path}"
            worst.append((peak / len(data), cls.__name__, path[-1][1]))
    print(sorted(worst)[-5:])


Place = tuple[type[Struct], str]


def array_paths(cls: type[Struct], version: int, above: tuple[Place, ...] = ()) -> Iterator[tuple[Place, ...]]:
    """Every array of a message, as the arrays one has to go through."""
    for field in cls.struct_fields:
        if field.in_version(version) and not field.tagged_in(version):
            here = (*above, (cls, field.name)) if field.kind == "array" else above
            if field.kind == "array":
                yield here
            if isinstance(field.item, type):
                yield from array_paths(field.item, version, here)


def smallest(cls: type[Struct], version: int, counts: dict[Place, int], tags: bool) -> Struct:
    """The message of fewest bytes that has `counts` elements in the arrays named."""
    made = cls()
    for field in cls.struct_fields:
        if field.in_version(version) and not field.tagged_in(version):
            setattr(made, field.name, smallest_value(field, version, counts.get((cls, field.name), 0), counts, tags))
    if tags:
        made.unknown_tagged_fields = {100: b""}
    return made


def smallest_value(field: Field, version: int, count: int, counts: dict[Place, int], tags: bool) -> Any:
    if field.kind == "array":
        if isinstance(field.item, type):
            one = smallest(field.item, version, counts, tags)
            return [one] * count
        return [{"string": "", "bytes": b"", "uuid": bytes(16)}.get(str(field.item), -100)] * count
    if field.kind == "struct":
        assert isinstance(field.item, type)
        return None if field.nullable_in(version) else smallest(field.item, version, counts, tags)
    return {"string": "", "bytes": b"", "records": b"", "uuid": bytes(16)}.get(field.kind, 0)
