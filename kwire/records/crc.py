"""Checksums of the record formats: CRC-32C for magic 2 (and snapshots), CRC-32 for magic 0 and 1.

Both take any bytes-like object without copying it and give an unsigned 32-bit int.
"""

from zlib import crc32 as _crc32

from crc32c import crc32c as _crc32c


def crc32c(data: bytes | bytearray | memoryview) -> int:
    return _crc32c(data)


def crc32(data: bytes | bytearray | memoryview) -> int:
    return _crc32(data)
