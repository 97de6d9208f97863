"""The record walk, made cheap for the batches that clients send.

Answers what `log.record_walk.walk_records` answers, or None where that has to be asked: wherever a record could be
refused, or is not written as clients write it. So everything here may be stricter than the exact walk, never laxer.

Three means:

- Runs. Records of one size, one after the other, have each field at the same distance from their start. Read the first,
  then take every byte that steers the reading (lengths, counts) out of all the others by slices with a step, and
  compare each slice with the first one's byte, repeated; the offset deltas with a table; the timestamp deltas with
  the set of bytes that are no larger than the last one. That is about ten slices for thousands of records.
- Shapes. Where sizes differ but the other varints have as many bytes as before, one compiled `struct` reads all of a
  record's at once, and tables turn the bytes of its sizes into numbers.
- A loop with the varint reading written out, for all else.
"""

from collections.abc import Callable
from functools import lru_cache
from struct import Struct
from struct import error as StructError  # noqa: N812
from sys import byteorder
from typing import TYPE_CHECKING, Final

from kwire.records.varint import read_varint, read_varlong
from log.record_walk import NO_TIMESTAMP

if TYPE_CHECKING:
    from array import array

_MIN_RUN: Final = 6
"""Records of one shape that make a run worth its start."""
_SHORT: Final = 14
"""Records below which a run costs more to start than it saves."""
_MAX_SHAPE: Final = 256
"""Records taken by shape before sizes are looked at again, that may have become equal."""
_MAX_RUN: Final = 4096
"""Records taken at once, so that a run that ends early has not cost a look at the whole batch."""
_FIRST_PAUSE: Final = 16
"""Records walked one by one after a run that came to nothing; doubles each time."""
_COPY_BELOW: Final = 2048
"""Average bytes a record up to which reading from a copy is cheaper than reading through a memoryview."""
_TABLE: Final = 8192
_MANY_HEADERS: Final = 4096
"""More headers of one record than are looked at here; the exact walk counts them."""
_MOST_HEADERS: Final = 1 << 18
"""The same of a whole batch, headers of runs and shapes not counted."""

_BYTES: Final = tuple(bytes((byte,)) for byte in range(256))

# Offset deltas 0 to 8191 as zigzag varints: of one byte up to 63, of two beyond.
_OFFSETS_1: Final = bytes(range(0, 128, 2))
_OFFSETS_2_LOW: Final = bytes(range(128, 256, 2)) * 128
_OFFSETS_2_HIGH: Final = b"".join(bytes((high,)) * 64 for high in range(128))
_OFFSETS_3_MIDDLE: Final = b"".join(bytes((high,)) * 64 for high in range(128, 256))


def _interleaved(low: bytes, high: bytes) -> memoryview:
    """Pairs of bytes as numbers in native order, as the loop over shapes reads them."""
    both = bytearray(2 * len(low))
    both[::2] = low
    both[1::2] = high
    return memoryview(bytes(both)).cast("H")


_OFFSETS_2: Final = _interleaved(_OFFSETS_2_LOW, _OFFSETS_2_HIGH)


_NO_SIZE: Final = 60_000
"""Stands for bytes that are no size: too far from all sizes for the difference to one to be right."""


@lru_cache(maxsize=1)
def _size_tables() -> "tuple[array[int], array[int], array[int]]":
    """Made when first needed. By one byte, and by two as a little-endian number: the size that a zigzag varint of so
    many bytes says. By the first two bytes of a field: how many it takes, its size of one or two bytes included, or
    null.
    """
    from array import array  # an extension of its own: not before it is needed

    one = array("H", (_NO_SIZE if byte & 0x81 else byte >> 1 for byte in range(256)))
    two = array("H", (_NO_SIZE,)) * 65536
    field = array("H", (_NO_SIZE,)) * 65536
    for high in range(128):
        long = slice(high << 8 | 0x80, high + 1 << 8, 2)
        two[long] = array("H", range(high * 64, high * 64 + 64))
        field[long] = array("H", range(high * 64 + 2, high * 64 + 66))
    for byte in range(0, 128, 2):
        field[byte::256] = array("H", ((byte >> 1) + 1,)) * 256
    field[1::256] = array("H", (1,)) * 256
    return one, two, field


_LITTLE_ENDIAN: Final = byteorder == "little"

# For timestamp deltas, whose zigzag form is even when they are not negative: the last byte of a varint (below 0x80) and
# the first of a longer one (from 0x80), each up to a certain byte.
_EVEN_UP_TO: Final = tuple(bytes(range(0, byte + 1, 2)) for byte in range(128))
_UP_TO: Final = tuple(bytes(range(byte + 1)) for byte in range(128))
_EVEN_CONTINUED_UP_TO: Final = tuple(bytes(range(128, byte + 1, 2)) for byte in range(256))
_CONTINUED: Final = bytes(range(128, 256))


def walk_regular(
    data: bytes | bytearray | memoryview,
    count: int,
    base_timestamp: int,
    lowest: int,
    highest: int,
    require_keys: bool,
) -> int | None:
    """Walk `count` records that fill `data`; the largest timestamp, or None where anything is out of the ordinary.

    Not None means: `walk_records` finds nothing to object to, this largest timestamp, and each offset delta to be the
    record's index. `lowest` and `highest` are the bounds of the timestamps.
    """
    if not lowest <= base_timestamp <= highest or count < 1:
        return None
    size = len(data)
    if isinstance(data, memoryview) and size < count * _COPY_BELOW:
        data = bytes(data)
    try:
        bounds = _walk(data, size, count, require_keys)
    except (IndexError, ValueError):
        return None
    if bounds is None:
        return None
    smallest, largest = bounds
    if base_timestamp + smallest < lowest or base_timestamp + largest > highest:
        return None
    largest += base_timestamp
    return largest if largest > NO_TIMESTAMP else NO_TIMESTAMP


def _walk(data: bytes | bytearray | memoryview, size: int, count: int, require_keys: bool) -> tuple[int, int] | None:
    """The smallest timestamp delta (0 if none is negative) and the largest. None, IndexError, ValueError: ask
    elsewhere."""
    largest = -1  # in zigzag form, of those that are not negative
    negative = -1  # the same of the others
    position = 0
    index = 0
    pause = _FIRST_PAUSE
    run_from = 1
    headers = 0
    while index < count:
        start = position
        # The record's length
        byte = data[position]
        if byte < 0x80:
            length = byte
            position += 1
        else:
            second = data[position + 1]
            if second < 0x80:
                length = byte & 0x7F | second << 7
                position += 2
            else:
                length, position = read_varint(data, position)
                length <<= 1
        if length & 1:
            return None
        body = position
        end = position + (length >> 1)
        # The timestamp's delta, behind the attributes
        byte = data[position + 1]
        if byte < 0x80:
            position += 2
        else:
            second = data[position + 2]
            if second < 0x80:
                byte = byte & 0x7F | second << 7
                position += 3
            else:
                delta, position = read_varlong(data, position + 1)
                byte = delta << 1 if delta >= 0 else ~delta << 1 | 1
        if byte & 1:
            if byte > negative:
                negative = byte
        elif byte > largest:
            largest = byte
        # The offset's delta
        offset_at = position
        byte = data[position]
        if byte < 0x80:
            if byte != index << 1:
                return None
            position += 1
        else:
            second = data[position + 1]
            if second < 0x80:
                if byte & 0x7F | second << 7 != index << 1:
                    return None
                position += 2
            else:
                offset, position = read_varint(data, position)
                if offset != index:
                    return None
        # Key, value, headers
        key_at = position
        byte = data[position]
        if byte == 1:
            if require_keys:
                return None
            position += 1
        elif byte < 0x80:
            if byte & 1:
                return None
            position += 1 + (byte >> 1)
        else:
            skip, position = read_varint(data, position)
            if skip < 0:
                return None
            position += skip
        value_at = position
        byte = data[position]
        if byte < 0x80:
            if byte & 1:
                if byte != 1:
                    return None
                position += 1
            else:
                position += 1 + (byte >> 1)
        else:
            second = data[position + 1]
            if second < 0x80:
                if byte & 1:
                    return None
                position += 2 + ((byte & 0x7F | second << 7) >> 1)
            else:
                skip, position = read_varint(data, position)
                if skip < 0:
                    return None
                position += skip
        headers_at = position
        position += 1
        byte = data[headers_at]
        if byte:
            headers += byte >> 1 if byte < 0x80 else _MANY_HEADERS
            if headers > _MOST_HEADERS:
                return None
            position = _skip_headers(data, headers_at, end, None)
        if position != end:
            return None
        index += 1

        left = count - index
        if index < run_from or left < _MIN_RUN:
            continue
        # This record may be the model of the next ones: of their size, or at least of the width of their varints.
        step = end - start
        sizes_go_on = data[start:body] == data[end : body + step] == data[end + step : body + 2 * step]
        if left < _SHORT or not sizes_go_on:
            places = (start, body, offset_at, key_at, value_at, headers_at)
            taken, position, delta = _take_shape(data, places, end, index, left)
            index += taken
            if delta > largest:
                largest = delta
            if taken >= _MIN_RUN:
                pause = _FIRST_PAUSE
            else:
                run_from = index + pause
                pause *= 2
            continue
        steering = [start] if body - start == 1 else [*range(start, body)]
        for place in (key_at, value_at):
            if data[place] < 0x80:
                steering.append(place)
            else:
                steering += range(place, read_varint(data, place)[1])
        if data[headers_at]:
            _skip_headers(data, headers_at, end, steering)
        else:
            steering.append(headers_at)
        wanted = min(left, _MAX_RUN)
        taken, delta = _take_run(data, size, start, step, steering, body + 1, offset_at, key_at, index, wanted)
        if taken < _MIN_RUN:
            run_from = index + pause
            pause *= 2
            continue
        pause = _FIRST_PAUSE
        index += taken
        position = end + taken * step
        if delta > largest:
            largest = delta
    if position != size or largest < 0:
        return None
    return -(negative >> 1) - 1 if negative >= 0 else 0, largest >> 1


def _skip_headers(data: bytes | bytearray | memoryview, position: int, end: int, steering: list[int] | None) -> int:
    """Where the headers end that begin, with their count, at `position`; their lengths' positions go to `steering`."""
    start = position
    count, position = read_varint(data, position)
    if not 0 <= count <= min(end - position, _MANY_HEADERS):
        raise ValueError("header count")
    if steering is not None:
        steering += range(start, position)
    for _ in range(count):
        start = position
        size, position = read_varint(data, position)
        if size < 0:
            raise ValueError("header key")
        if steering is not None:
            steering += range(start, position)
        start = position = position + size
        size, position = read_varint(data, position)
        if steering is not None:
            steering += range(start, position)
        if size > 0:
            position += size
        if position > end:
            raise ValueError("header value")
    return position


def _take_run(
    data: bytes | bytearray | memoryview,
    size: int,
    model: int,
    step: int,
    steering: list[int],
    timestamp_at: int,
    offset_at: int,
    offset_end: int,
    index: int,
    wanted: int,
) -> tuple[int, int]:
    """How many records behind the one at `model`, of `step` bytes, have its shape, and the largest timestamp delta of
    theirs in zigzag form. `index` is that of the first of them, `wanted` how many to look at; the positions are those
    of the model's bytes. Fewer may be found than there are, and none if any of their timestamp deltas is negative.
    """
    run = min(wanted, (size - model) // step - 1)
    offset_bytes = offset_end - offset_at
    if offset_bytes == 1:
        run = min(run, 64 - index)
    else:
        run = min(run, _TABLE - index % _TABLE)
        if offset_bytes > 3 or (offset_bytes == 2) != (index < _TABLE) or index >= 128 * _TABLE:
            return 0, -1
    for position in steering:
        if run < _MIN_RUN:
            return 0, -1
        byte = _BYTES[data[position]]
        position += step
        found = bytes(data[position : position + run * step : step])
        if found != byte * run:
            run -= len(found.lstrip(byte))
    if run < _MIN_RUN:
        return 0, -1
    span = run * step

    position = offset_at + step
    if offset_bytes == 1:
        if bytes(data[position : position + span : step]) != _OFFSETS_1[index : index + run]:
            return 0, -1
    else:
        first = index % _TABLE
        if bytes(data[position : position + span : step]) != _OFFSETS_2_LOW[first : first + run]:
            return 0, -1
        position += 1
        high = _OFFSETS_2_HIGH if offset_bytes == 2 else _OFFSETS_3_MIDDLE
        if bytes(data[position : position + span : step]) != high[first : first + run]:
            return 0, -1
        position += 1
        if offset_bytes == 3 and bytes(data[position : position + span : step]) != bytes((index >> 13,)) * run:
            return 0, -1

    columns = [
        bytes(data[position + step : position + step + span : step]) for position in range(timestamp_at, offset_at)
    ]
    delta = _largest_delta(columns)
    return (run, delta) if delta >= 0 else (0, -1)


def _take_shape(
    data: bytes | bytearray | memoryview, places: tuple[int, ...], end: int, index: int, left: int
) -> tuple[int, int, int]:
    """How many of the next records have a length and deltas as wide as the model's, its key size, and headers of its
    sizes; the position behind them, and their largest timestamp delta in zigzag form.

    `places` are those of the model's length, body, offset delta, key, value and headers; `end` is behind it.
    """
    start, body, offset_at, key_at, value_at, headers_at = places
    position = end
    key_size, key_end = read_varint(data, key_at)
    size_bytes, time_bytes = body - start, offset_at - body - 1
    offset_bytes, key_bytes = key_at - offset_at, key_end - key_at
    if max(size_bytes, time_bytes, offset_bytes, key_bytes) > 2 or not _LITTLE_ENDIAN:
        return 0, end, -1
    unpack = _shape_reader(size_bytes, time_bytes, offset_bytes, key_bytes, max(key_size, 0))
    key = unpack(data, start)[3]
    table = _OFFSETS_1 if offset_bytes == 1 else _OFFSETS_2
    tail_size = end - headers_at
    tail: tuple[int, ...] = ()
    if tail_size > 1:
        steering: list[int] = []
        _skip_headers(data, headers_at, end, steering)
        read_tail = _tail_reader(tuple(position - headers_at for position in steering))
        tail = read_tail(data, headers_at)
    fixed = value_at - body + tail_size
    one, two, fields = _size_tables()
    sizes = one if size_bytes == 1 else two
    top = bits = taken = 0
    toggle, forbidden = (0, 0x81) if time_bytes == 1 else (0x80, 0x8081)
    try:
        for expected in table[index : index + min(left, _MAX_SHAPE)]:
            raw, delta, offset, key_now, value = unpack(data, position)
            if offset != expected or key_now != key:
                break
            size = sizes[raw]
            if size - fields[value] != fixed:
                break
            step = size + size_bytes
            if tail:
                if read_tail(data, position + step - tail_size) != tail:
                    break
            elif data[position + step - 1]:
                break
            position += step
            if delta > top:
                top = delta
            bits |= delta ^ toggle
            taken += 1
    except (StructError, IndexError):
        pass
    if not taken or bits & forbidden:
        return 0, end, -1
    return taken, position, top if time_bytes == 1 else top & 0x7F | top >> 1 & 0x3F80


@lru_cache(maxsize=256)
def _shape_reader(
    size_bytes: int, time_bytes: int, offset_bytes: int, key_bytes: int, key_skip: int
) -> Callable[[bytes | bytearray | memoryview, int], tuple[int, ...]]:
    """Reads length, timestamp delta, offset delta and key size of a record, and the first two bytes of its value
    field."""
    size, time, offset, key = ("BH"[width - 1] for width in (size_bytes, time_bytes, offset_bytes, key_bytes))
    return Struct(f"={size}x{time}{offset}{key}{key_skip}xH").unpack_from


@lru_cache(maxsize=256)
def _tail_reader(places: tuple[int, ...]) -> Callable[[bytes | bytearray | memoryview, int], tuple[int, ...]]:
    """Reads the bytes at these rising places."""
    form = ""
    position = 0
    for place in places:
        form += f"{place - position}xB"
        position = place + 1
    return Struct(f"={form}").unpack_from


def _largest_delta(columns: list[bytes]) -> int:
    """The largest of the deltas whose varints have these bytes, in zigzag form; -1 unless all of them are as long as
    the columns are many, and none is negative.
    """
    first, last = columns[0], columns[-1]
    if not last.isascii():
        return -1
    if len(columns) == 1:
        top = last[-1]
        if last.translate(None, _EVEN_UP_TO[top]):
            if last.translate(None, _EVEN_UP_TO[126]):
                return -1
            top = max(last)
        return top
    if first.translate(None, _EVEN_CONTINUED_UP_TO[255]):
        return -1
    if len(columns) == 2:
        top = last[-1]
        if last.translate(None, _UP_TO[top]):
            top = max(last)
        at = last.find(top)
        tail = first[at:]
        if last.count(top) == len(tail) and not tail.translate(None, _EVEN_CONTINUED_UP_TO[tail[-1]]):
            return tail[-1] & 0x7F | top << 7
    elif any(column.translate(None, _CONTINUED) for column in columns[1:-1]):
        return -1
    delta = 0
    for byte in max(zip(*reversed(columns), strict=True)):
        delta = delta << 7 | byte & 0x7F
    return delta
