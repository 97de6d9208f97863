"""Decodes and encodes the messages of `kwire.messages` and `kwire.internal`.

    request = codec.decode(ListOffsetsRequest, version, data, offset)
    body = codec.encode(response, version)

The functions are compiled for each class and version when first used, and kept: they depend on the declarations only.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, TypeAlias, TypeVar

from kwire.errors import UnsupportedVersionError
from kwire.primitives import Buffer, Records
from kwire.schema import Struct, info_of

Part: TypeAlias = Records

_StructT = TypeVar("_StructT", bound=Struct)


def decode(cls: type[_StructT], version: int, data: Buffer | bytearray, offset: int = 0) -> _StructT:
    """The message at `offset`. Bytes behind it are ignored, as in Kafka.

    `records` fields are memoryviews of `data`; everything else is copied. Raises DecodeError, UnsupportedVersionError.
    """
    message: _StructT = decoder(cls, version)(data, offset)
    return message


def decode_with_end(
    cls: type[_StructT], version: int, data: Buffer | bytearray, offset: int = 0
) -> tuple[_StructT, int]:
    """The message at `offset`, and the position behind it."""
    decoded: tuple[_StructT, int] = _decoder(cls, version, True)(data, offset)
    return decoded


def encode(message: Struct, version: int) -> bytes:
    """The bytes of `message`. Raises EncodeError, UnsupportedVersionError."""
    return encoder(type(message), version)(message)


def encode_parts(message: Struct, version: int) -> list[Part]:
    """The bytes of `message` as a list in which large `records`, and any `ExternalBytes`, are elements of their own."""
    return parts_encoder(type(message), version)(message)


@cache
def decoder(cls: type[_StructT], version: int) -> Callable[..., _StructT]:
    """The compiled `decode(data, offset=0) -> message`."""
    return _decoder(cls, version, False)


@cache
def encoder(cls: type[Struct], version: int) -> Callable[[Struct], bytes]:
    """The compiled `encode(message) -> bytes`."""
    from kwire.encode_source import compile_encoder

    _check_version(cls, version)
    return compile_encoder(cls, version)


@cache
def parts_encoder(cls: type[Struct], version: int) -> Callable[[Struct], list[Part]]:
    """The compiled `encode_parts(message) -> list`."""
    from kwire.encode_source import compile_encoder

    _check_version(cls, version)
    return compile_encoder(cls, version, parts=True)


@cache
def _decoder(cls: type[Struct], version: int, with_end: bool) -> Callable[..., Any]:
    from kwire.decode_source import compile_decoder

    _check_version(cls, version)
    return compile_decoder(cls, version, with_end=with_end)


def _check_version(cls: type[Struct], version: int) -> None:
    if not info_of(cls).has_version(version):
        raise UnsupportedVersionError(f"{cls.__name__} has no version {version}")
