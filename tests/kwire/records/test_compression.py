"""Codecs: framings in the wild, and bytes that claim or become too much."""

from __future__ import annotations

import gzip
import os
import tracemalloc
from contextlib import suppress

import cramjam
import lz4.frame
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from kwire.errors import CorruptRecordsError
from kwire.records import Codec, compress, decompress
from kwire.records.compression import DecompressionLimitError, decompress_chunks, lz4_header_checksum

CODECS = [codec for codec in Codec if codec is not Codec.NONE]
DATA = b"hello, " * 40_000 + os.urandom(70_000)


@pytest.mark.parametrize("codec", list(Codec))
@given(data=st.binary(min_size=1, max_size=3000), times=st.sampled_from([1, 1, 100]))
def test_round_trip(codec: Codec, data: bytes, times: int) -> None:
    data *= times
    for given_as in (data, bytearray(data), memoryview(data)):
        packed = compress(codec, given_as)
        assert bytes(decompress(codec, packed)) == data
        assert bytes(decompress(codec, memoryview(packed), limit=len(data))) == data


@pytest.mark.parametrize("codec", list(Codec))
@given(data=st.binary(min_size=1, max_size=300), times=st.sampled_from([1, 1, 700, 15_000]))
def test_piece_by_piece(codec: Codec, data: bytes, times: int) -> None:
    data *= times
    pieces = [bytes(piece) for piece in decompress_chunks(codec, compress(codec, data))]
    assert b"".join(pieces) == data
    if codec not in (Codec.NONE, Codec.ZSTD):
        assert max(len(piece) for piece in pieces) <= 1 << 20


@pytest.mark.parametrize("codec", CODECS)
def test_piece_by_piece_cut_short(codec: Codec) -> None:
    packed = compress(codec, DATA)
    for size in [*range(1, 16), len(packed) // 2, *range(len(packed) - 12, len(packed))]:
        with pytest.raises(CorruptRecordsError):
            list(decompress_chunks(codec, packed[:size]))


@pytest.mark.parametrize("codec", CODECS)
def test_limit(codec: Codec) -> None:
    for data in (DATA, bytes(1_000_000)):
        packed = compress(codec, data)
        assert len(decompress(codec, packed, limit=len(data))) == len(data)
        for limit in (0, 1, 65_536, len(data) - 1):
            with pytest.raises(DecompressionLimitError):
                decompress(codec, packed, limit=limit)


@pytest.mark.parametrize("codec", CODECS)
def test_cut_short(codec: Codec) -> None:
    packed = compress(codec, DATA)
    for size in [*range(40), len(packed) // 2, *range(len(packed) - 12, len(packed))]:
        if codec is Codec.SNAPPY and 16 <= size < 20:
            assert decompress(codec, packed[:size]) == b""  # its framing has no end mark
            continue
        with pytest.raises(CorruptRecordsError):
            decompress(codec, packed[:size])


@pytest.mark.parametrize("codec", CODECS)
@given(data=st.data())
def test_damage(codec: Codec, data: st.DataObject) -> None:
    packed = bytearray(compress(codec, b"some text, some text, " * 30))
    for _ in range(data.draw(st.integers(1, 3))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    with suppress(CorruptRecordsError):
        assert len(decompress(codec, packed, limit=100_000)) <= 100_000


@pytest.mark.parametrize("codec", CODECS)
@given(data=st.binary(max_size=100))
def test_noise(codec: Codec, data: bytes) -> None:
    with suppress(CorruptRecordsError):
        assert len(decompress(codec, data, limit=10_000)) <= 10_000


@pytest.mark.parametrize(
    ("codec", "data"),
    [
        (Codec.SNAPPY, b"\xff\xff\xff\xff\x0f" + bytes(20)),
        (Codec.SNAPPY, b"\x82SNAPPY\x00" + bytes(8) + b"\x00\x00\x00\x10" + b"\xff\xff\xff\xff\x0f" + bytes(11)),
        (
            Codec.ZSTD,
            zstandard.ZstdCompressor()
            .compress(b"x" * 100)
            .replace(b"\x20\x64", b"\xe0\xff\xff\xff\x7f\x00\x00\x00\x00", 1),
        ),
        (
            Codec.LZ4,
            lz4.frame.compress(b"x" * 100, store_size=True).replace(b"\x64\x00\x00\x00", b"\xff\xff\xff\x7f", 1),
        ),
    ],
)
def test_a_claimed_size_takes_no_memory(codec: Codec, data: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(CorruptRecordsError):
            decompress(codec, data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


class TestGzip:
    def test_several_members(self) -> None:
        data = gzip.compress(b"one ") + gzip.compress(b"") + gzip.compress(b"two")
        assert decompress(Codec.GZIP, data) == b"one two"
        with pytest.raises(DecompressionLimitError):
            decompress(Codec.GZIP, data, limit=6)
        with pytest.raises(CorruptRecordsError):
            decompress(Codec.GZIP, data[:-1])

    def test_what_follows_is_passed_over(self) -> None:
        assert decompress(Codec.GZIP, gzip.compress(b"one") + b"rest") == b"one"

    def test_empty(self) -> None:
        assert decompress(Codec.GZIP, gzip.compress(b"")) == b""

    def test_levels(self) -> None:
        packed = [compress(Codec.GZIP, DATA, level) for level in (-1, 1, 6, 9)]
        assert packed[0] == packed[2]
        assert len(set(packed)) > 1
        assert {bytes(decompress(Codec.GZIP, one)) for one in packed} == {DATA}


class TestSnappy:
    def test_raw_block(self) -> None:
        assert decompress(Codec.SNAPPY, bytes(cramjam.snappy.compress_raw(DATA))) == DATA

    def test_framing_is_the_java_client_s(self) -> None:
        packed = compress(Codec.SNAPPY, DATA)
        assert packed[:16] == b"\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01"
        first = int.from_bytes(packed[16:20], "big")
        assert len(bytes(cramjam.snappy.decompress_raw(packed[20 : 20 + first]))) == 32 * 1024

    def test_streams_put_together(self) -> None:
        assert decompress(Codec.SNAPPY, compress(Codec.SNAPPY, b"a") + compress(Codec.SNAPPY, b"b")) == b"ab"


class TestLz4:
    @pytest.mark.parametrize("size", [0, 4, 5, 6, 7])
    @pytest.mark.parametrize("checksums", [False, True])
    def test_frames_of_others(self, size: int, checksums: bool) -> None:
        packed = lz4.frame.compress(
            DATA,
            block_size=size,
            block_linked=False,
            store_size=checksums,
            content_checksum=checksums,
            block_checksum=checksums,
        )
        assert decompress(Codec.LZ4, packed) == DATA
        assert decompress(Codec.LZ4, packed + b"rest") == DATA

    def test_linked_blocks_are_refused(self) -> None:
        with pytest.raises(CorruptRecordsError, match="Dependent block"):
            decompress(Codec.LZ4, lz4.frame.compress(DATA, block_linked=True))

    def test_read_by_others(self) -> None:
        for level in (None, 1, 9, 12, 17):
            assert lz4.frame.decompress(compress(Codec.LZ4, DATA, level)) == DATA

    def test_header_checksum_of_magic_0(self) -> None:
        assert lz4_header_checksum(b"\x60\x40") == 0x82
        packed = compress(Codec.LZ4, DATA, magic=0)
        with pytest.raises(CorruptRecordsError):
            decompress(Codec.LZ4, packed)
        assert decompress(Codec.LZ4, packed, magic=0) == DATA


class TestZstd:
    def test_frames_of_others(self) -> None:
        for options in ({"write_content_size": False}, {"write_checksum": True}, {"level": 19}):
            packed = zstandard.ZstdCompressor(**options).compress(DATA)
            assert decompress(Codec.ZSTD, packed) == DATA
            assert decompress(Codec.ZSTD, packed + packed) == DATA + DATA

    def test_a_bomb_stops_at_the_limit(self) -> None:
        packed = compress(Codec.ZSTD, bytes(50_000_000))
        assert len(packed) < 10_000
        with pytest.raises(DecompressionLimitError):
            decompress(Codec.ZSTD, packed, limit=20_000_000)
