"""Checksums of the record formats: CRC-32C for magic 2 (and snapshots), CRC-32 for magic 0 and 1.

Both take any bytes-like object without copying it and give an unsigned 32-bit int.
"""

from collections.abc import Callable
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from zlib import crc32 as _crc32


def _load() -> Callable[[bytes | bytearray | memoryview], int]:
    """The C function. The package around it reads its own metadata when imported, which takes 20 times as long as all
    the rest and a tenth of a broker's start: its extension is loaded without it where that can be found."""
    package = PathFinder.find_spec("crc32c")
    places = package.submodule_search_locations if package is not None else None
    extension = PathFinder.find_spec("_crc32c", places) if places else None
    if extension is not None and extension.loader is not None:
        module = module_from_spec(extension)
        extension.loader.exec_module(module)
        function: Callable[[bytes | bytearray | memoryview], int] = module.crc32c
        return function
    from crc32c import crc32c as from_package

    return from_package


_crc32c = _load()


def crc32c(data: bytes | bytearray | memoryview) -> int:
    return _crc32c(data)


def crc32(data: bytes | bytearray | memoryview) -> int:
    return _crc32(data)
