"""The codecs of record batches: none, gzip, snappy, lz4 (frame) and zstd, as Kafka's clients write and read them.

Unpacking is bounded twice: it never gives more than `limit` bytes, and never takes memory on the word of a size found
in the data beyond what the codec can make of the bytes that are there, or a few times what it has made so far.

- gzip: one or more members; what follows the last one is passed over, as java.util.zip does.
- snappy: written in the Java framing (header, blocks of 32 KiB with an int32 length); read in it or as one raw block.
- lz4: one frame of independent blocks; what follows the end mark is passed over. Message sets of magic 0 have the
  header checksum of Kafka 0.8, computed over the frame's magic number too, so it is neither trusted nor kept there.
- zstd: one or more frames.
"""

from collections.abc import Iterator
from enum import IntEnum
from struct import Struct
from zlib import compressobj, decompressobj
from zlib import error as ZlibError  # noqa: N812

import cramjam

from kwire.errors import CorruptRecordsError

Buffer = bytes | bytearray | memoryview

DEFAULT_LIMIT = 128 * 1024 * 1024
"""Bytes that unpacking one batch may give, unless told otherwise."""

_GZIP_WINDOW = 31
_INT32 = Struct(">i")
_UINT32_LE = Struct("<I")
_FIRST_GUESS = 64 * 1024
_CHUNK = 1024 * 1024
_GROWTH = 8

_XERIAL_MAGIC = b"\x82SNAPPY\x00"
_XERIAL_HEADER = _XERIAL_MAGIC + b"\x00\x00\x00\x01\x00\x00\x00\x01"
_XERIAL_MAGIC_HEAD = int.from_bytes(_XERIAL_MAGIC[:4], "big", signed=True)
_XERIAL_BLOCK = 32 * 1024
_SNAPPY_MAX_RATIO = 22
"""A copy of 64 bytes takes 3 bytes in snappy, so nothing honest grows further."""

_LZ4_MAGIC = b"\x04\x22\x4d\x18"
_LZ4_BLOCK = 64 * 1024
_LZ4_HEADER = _LZ4_MAGIC + b"\x60\x40\x82"
"""Version 1, independent blocks of at most 64 KiB, no checksums, no content size; last: the header's checksum."""
_LZ4_STORED = 0x80000000
_LZ4_DEFAULT_LEVEL = 9


class Codec(IntEnum):
    NONE = 0
    GZIP = 1
    SNAPPY = 2
    LZ4 = 3
    ZSTD = 4


class DecompressionLimitError(CorruptRecordsError):
    """The unpacked bytes would be more than the limit."""


def compress(codec: Codec, data: Buffer, level: int | None = None, *, magic: int = 2) -> bytes:
    """`data` packed. `level` is Kafka's: gzip 1-9 (-1: default), lz4 1-17 (9: the fast one), zstd to 22."""
    if codec is Codec.NONE:
        return bytes(data)
    if codec is Codec.GZIP:
        packer = compressobj(-1 if level is None else level, wbits=_GZIP_WINDOW)
        return packer.compress(data) + packer.flush()
    if codec is Codec.SNAPPY:
        return _compress_snappy(data)
    if codec is Codec.LZ4:
        return _compress_lz4(data, level, magic)
    return bytes(cramjam.zstd.compress(data, 3 if level is None else level))


def decompress(codec: Codec, data: Buffer, *, limit: int = DEFAULT_LIMIT, magic: int = 2) -> Buffer:
    """`data` unpacked.

    CorruptRecordsError: not what the codec writes, cut short, or empty; DecompressionLimitError: more than `limit`.
    """
    if codec is Codec.LZ4:
        return _decompress_lz4(data, limit, magic)
    if codec is Codec.ZSTD:
        return _decompress_zstd(data, limit)
    if codec is Codec.SNAPPY:
        return _decompress_snappy(data, limit)
    if codec is Codec.GZIP:
        return _decompress_gzip(data, limit)
    if len(data) > limit:
        raise _too_large(codec, limit)
    return data


def decompress_chunks(codec: Codec, data: Buffer, *, limit: int = DEFAULT_LIMIT) -> Iterator[Buffer]:
    """`data` unpacked piece by piece, so that little of it is in memory at a time, whatever it becomes.

    gzip, framed snappy and lz4 are unpacked as far as they are asked for, `limit` or no; zstd and a raw snappy block at
    once, within `limit`. Checksums of lz4 blocks are not compared. Errors as of `decompress`, when reached.
    """
    if codec is Codec.GZIP:
        yield from _gzip_chunks(data)
    elif codec is Codec.LZ4:
        yield from _lz4_chunks(data)
    elif codec is Codec.SNAPPY and bytes(data[:8]) == _XERIAL_MAGIC and len(data) >= 16:
        for block in _snappy_blocks(memoryview(data)):
            yield _decompress_snappy_block(block, limit)
    else:
        yield decompress(codec, data, limit=limit)


def _too_large(codec: Codec, limit: int) -> DecompressionLimitError:
    return DecompressionLimitError(f"the {codec.name.lower()} data unpacks to more than {limit} bytes")


def _corrupt(codec: Codec, why: object) -> CorruptRecordsError:
    return CorruptRecordsError(f"Failed to decompress record stream ({codec.name.lower()}: {why})")


def _decompress_gzip(data: Buffer, limit: int) -> bytes | bytearray:
    left: Buffer = data
    out: bytes | bytearray = b""
    while True:
        unpacker = decompressobj(_GZIP_WINDOW)
        try:
            part = unpacker.decompress(left, limit - len(out) + 1)
        except ZlibError as error:
            if out:
                return out  # bytes after the last member that are no member
            raise _corrupt(Codec.GZIP, error) from None
        if len(out) + len(part) > limit:
            raise _too_large(Codec.GZIP, limit)
        if not unpacker.eof:
            raise _corrupt(Codec.GZIP, "cut short")
        left = unpacker.unused_data
        if not left:
            return bytearray(out) + part if out else part
        out = bytearray(out)
        out += part
        if left[:2] != b"\x1f\x8b":
            return out


def _gzip_chunks(data: Buffer) -> Iterator[bytes]:
    left: Buffer = data
    first = True
    while first or bytes(left[:2]) == b"\x1f\x8b":
        unpacker = decompressobj(_GZIP_WINDOW)
        while not unpacker.eof:
            try:
                part = unpacker.decompress(left, _CHUNK)
            except ZlibError as error:
                if first:
                    raise _corrupt(Codec.GZIP, error) from None
                return
            left = unpacker.unconsumed_tail
            if not part and not unpacker.eof:
                raise _corrupt(Codec.GZIP, "cut short")
            yield part
        left = unpacker.unused_data
        first = False


def _compress_snappy(data: Buffer) -> bytes:
    view = memoryview(data)
    parts = [_XERIAL_HEADER]
    for start in range(0, len(view), _XERIAL_BLOCK):
        block = bytes(cramjam.snappy.compress_raw(view[start : start + _XERIAL_BLOCK]))
        parts += (_INT32.pack(len(block)), block)
    return b"".join(parts)


def _decompress_snappy(data: Buffer, limit: int) -> bytes | bytearray:
    if not len(data):
        raise _corrupt(Codec.SNAPPY, "Cannot decompress empty stream")
    view = memoryview(data)
    if len(view) < 16 or view[:8] != _XERIAL_MAGIC:
        return _decompress_snappy_block(view, limit)
    out = bytearray()
    for block in _snappy_blocks(view):
        out += _decompress_snappy_block(block, limit - len(out))
    return out


def _snappy_blocks(view: memoryview) -> Iterator[memoryview]:
    position = 16
    size = len(view)
    while size - position >= 4:
        (length,) = _INT32.unpack_from(view, position)
        if length == _XERIAL_MAGIC_HEAD:  # another stream was put after the first
            position += 16
            if position > size:
                raise _corrupt(Codec.SNAPPY, "cut short")
            continue
        position += 4
        if not 0 <= length <= size - position:
            raise _corrupt(Codec.SNAPPY, f"a block of {length} bytes, {size - position} are left")
        yield view[position : position + length]
        position += length


def _decompress_snappy_block(block: memoryview, limit: int) -> bytearray:
    try:
        size = cramjam.snappy.decompress_raw_len(block)
        if size > limit:
            raise _too_large(Codec.SNAPPY, limit)
        if size > _SNAPPY_MAX_RATIO * len(block):
            raise _corrupt(Codec.SNAPPY, f"{len(block)} bytes cannot hold {size}")
        out = bytearray(size)
        if cramjam.snappy.decompress_raw_into(block, out) != size:
            raise _corrupt(Codec.SNAPPY, "cut short")
    except cramjam.DecompressionError as error:
        raise _corrupt(Codec.SNAPPY, error) from None
    return out


def _compress_lz4(data: Buffer, level: int | None, magic: int) -> bytes:
    view = memoryview(data)
    header = _LZ4_HEADER
    if magic == 0:
        header = header[:6] + bytes((lz4_header_checksum(header[:6]),))
    parts = [header]
    fast = level is None or level == _LZ4_DEFAULT_LEVEL
    for start in range(0, len(view), _LZ4_BLOCK):
        block = view[start : start + _LZ4_BLOCK]
        if fast:
            packed = bytes(cramjam.lz4.compress_block(block, store_size=False))
        else:
            packed = bytes(
                cramjam.lz4.compress_block(block, mode="high_compression", compression=level, store_size=False)
            )
        if len(packed) < len(block):
            parts += (_UINT32_LE.pack(len(packed)), packed)
        else:
            parts += (_UINT32_LE.pack(len(block) | _LZ4_STORED), bytes(block))
    parts.append(b"\x00\x00\x00\x00")
    return b"".join(parts)


def _decompress_lz4(data: Buffer, limit: int, magic: int) -> Buffer:
    end, bound = _lz4_frame(data)
    view = memoryview(data)[:end]
    if magic == 0:
        view = memoryview(_with_lz4_header_checksum(view))
    out = bytearray(bound if bound <= max(limit, _FIRST_GUESS) else limit)
    try:
        size = cramjam.lz4.decompress_into(view, out)
    except cramjam.DecompressionError as error:
        if bound > limit and "whole buffer" in str(error):
            raise _too_large(Codec.LZ4, limit) from None
        raise _corrupt(Codec.LZ4, error) from None
    if size > limit:
        raise _too_large(Codec.LZ4, limit)
    del out[size:]
    return out


def _lz4_chunks(data: Buffer) -> Iterator[Buffer]:
    view = memoryview(data)
    _lz4_frame(view)
    flags = view[4]
    block_size = 1 << (8 + 2 * (view[5] >> 4))
    position = 7 + (8 if flags & 0x08 else 0) + (4 if flags & 0x01 else 0)
    while True:
        (length,) = _UINT32_LE.unpack_from(view, position)
        position += 4
        if length == 0:
            return
        block = view[position : position + (length & ~_LZ4_STORED)]
        position += len(block) + (4 if flags & 0x10 else 0)
        if length & _LZ4_STORED:
            yield block
        else:
            out = bytearray(block_size)
            try:
                size = cramjam.lz4.decompress_block_into(block, out, output_len=block_size)
            except cramjam.DecompressionError as error:
                raise _corrupt(Codec.LZ4, error) from None
            yield memoryview(out)[:size]


def _lz4_frame(data: Buffer) -> tuple[int, int]:
    """Where the frame at the start of `data` ends, and the most bytes its blocks can give."""
    size = len(data)
    if size < 7 or bytes(data[:4]) != _LZ4_MAGIC:
        raise _corrupt(Codec.LZ4, "no frame")
    flags = data[4]
    if flags >> 6 != 1 or flags & 0x02:
        raise _corrupt(Codec.LZ4, f"frame flags {flags:#04x}")
    if not flags & 0x20:
        raise _corrupt(Codec.LZ4, "Dependent block stream is unsupported (BLOCK_INDEPENDENCE must be set)")
    size_code = data[5] >> 4
    if not 4 <= size_code <= 7 or data[5] & 0x0F:
        raise _corrupt(Codec.LZ4, f"block descriptor {data[5]:#04x}")
    block_size = 1 << (8 + 2 * size_code)
    position = 7 + (8 if flags & 0x08 else 0) + (4 if flags & 0x01 else 0)
    checksum = 4 if flags & 0x10 else 0
    bound = 0
    while True:
        if position + 4 > size:
            raise _corrupt(Codec.LZ4, "cut short")
        (length,) = _UINT32_LE.unpack_from(data, position)
        position += 4
        if length == 0:
            position += 4 if flags & 0x04 else 0
            if position > size:
                raise _corrupt(Codec.LZ4, "cut short")
            return position, bound
        stored = length & _LZ4_STORED
        length &= ~_LZ4_STORED
        if length > block_size:
            raise _corrupt(Codec.LZ4, f"a block of {length} bytes, at most {block_size} are allowed")
        # A literal or match byte beyond the first says at most 255 bytes.
        bound += length if stored else min(block_size, 255 * length)
        position += length + checksum


def _with_lz4_header_checksum(frame: memoryview) -> bytearray:
    """The frame with the header checksum that the format asks for."""
    out = bytearray(frame)
    end = 6 + (8 if out[4] & 0x08 else 0) + (4 if out[4] & 0x01 else 0)
    out[end] = lz4_header_checksum(bytes(out[4:end]))
    return out


def lz4_header_checksum(descriptor: bytes) -> int:
    """Second byte of the xxHash32 of fewer than 16 bytes, with seed 0."""
    mask = 0xFFFFFFFF
    prime2, prime3, prime4, prime5 = 2246822519, 3266489917, 668265263, 374761393
    accumulator = (prime5 + len(descriptor)) & mask
    position = 0
    while position + 4 <= len(descriptor):
        accumulator = (accumulator + _UINT32_LE.unpack_from(descriptor, position)[0] * prime3) & mask
        accumulator = ((accumulator << 17 | accumulator >> 15) * prime4) & mask
        position += 4
    for byte in descriptor[position:]:
        accumulator = (accumulator + byte * prime5) & mask
        accumulator = ((accumulator << 11 | accumulator >> 21) * 2654435761) & mask
    accumulator = ((accumulator ^ accumulator >> 15) * prime2) & mask
    accumulator = ((accumulator ^ accumulator >> 13) * prime3) & mask
    accumulator ^= accumulator >> 16
    return accumulator >> 8 & 0xFF


def _decompress_zstd(data: Buffer, limit: int) -> Buffer:
    if not len(data):
        raise _corrupt(Codec.ZSTD, "empty")
    guess = min(limit, max(_FIRST_GUESS, _GROWTH * len(data)))
    claimed = _zstd_content_size(data)
    if claimed is not None and claimed <= guess:
        guess = claimed
    while True:
        out = bytearray(guess)
        try:
            size = cramjam.zstd.decompress_into(data, out)
        except cramjam.DecompressionError as error:
            if "whole buffer" not in str(error):
                raise _corrupt(Codec.ZSTD, error) from None
            if guess >= limit:
                raise _too_large(Codec.ZSTD, limit) from None
            guess = min(limit, max(_FIRST_GUESS, guess * _GROWTH))
        else:
            del out[size:]
            return out


def _zstd_content_size(data: Buffer) -> int | None:
    """What the first frame's header says its content is, None when it does not."""
    if len(data) < 6 or bytes(data[:4]) != b"\x28\xb5\x2f\xfd":
        return None
    descriptor = data[4]
    single_segment = descriptor & 0x20
    code = descriptor >> 6
    if code == 0 and not single_segment:
        return None
    start = 5 + (0 if single_segment else 1) + (0, 1, 2, 4)[descriptor & 0x03]
    length = (1, 2, 4, 8)[code]
    if len(data) < start + length:
        return None
    size = int.from_bytes(data[start : start + length], "little")
    return size + 256 if code == 1 else size
