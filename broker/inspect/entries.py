"""Everything a file of a data directory holds, as plain objects: what `kwire dump` prints.

Each is a dict whose `type` says what it is and whose other keys are stable; see docs/TOOLS.md for all of them. A file
begins with an entry of type `file`; what cannot be read is an entry of type `damage` with its position and the reason,
and the rest follows where there is a way to go on.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from struct import Struct
from typing import Final

from attrs import define

from broker.inspect.files import DataFile, Kind
from broker.inspect.reading import Batch, Damage, OldMessage, ReadFile, walk
from broker.inspect.record_kinds import decode_control, decode_record
from broker.inspect.values import Plain, plain_bytes
from kwire.errors import CorruptRecordsError
from kwire.records import BatchHeader, Codec, read_records
from kwire.records.batch import NO_SEQUENCE, increment_sequence
from kwire.records.legacy import read_message_set
from log.checkpoints import parse_lines
from log.producer_entry import decode_snapshot

EVERYTHING: Final = (-sys.maxsize - 1, sys.maxsize)


@define(slots=True, frozen=True)
class DumpOptions:
    """records: the records of batches too. raw: keys and values of decoded records as they are stored, too.

    offsets: only batches and records with one of these offsets, both ends included.
    """

    records: bool = False
    raw: bool = False
    offsets: tuple[int, int] = EVERYTHING


def entries(file: DataFile, options: DumpOptions) -> Iterator[Plain]:
    """What the file holds. Raises OSError."""
    with ReadFile(file.path) as opened:
        yield _file_entry(file, opened)
        if file.kind in (Kind.LOG, Kind.METADATA_SNAPSHOT):
            yield from _batches(file, opened, options)
        else:
            for entry in _READERS[file.kind](file, opened):
                if _wanted(entry, options):
                    yield entry


def _file_entry(file: DataFile, opened: ReadFile) -> Plain:
    entry: Plain = {"type": "file", "file": file.path, "kind": file.kind.value, "size": opened.size}
    if file.topic is not None:
        entry |= {"topic": file.topic, "partition": file.partition}
    if file.offset >= 0:
        entry["base_offset"] = file.offset
    if file.epoch >= 0:
        entry["epoch"] = file.epoch
    if file.mark:
        entry["mark"] = file.mark
    return entry


def _wanted(entry: Plain, options: DumpOptions) -> bool:
    if options.offsets == EVERYTHING or entry["type"] not in ("index", "timeindex", "txnindex"):
        return True
    low, high = options.offsets
    if entry["type"] == "txnindex":
        return bool(entry["first_offset"] <= high and entry["last_offset"] >= low)
    return bool(low <= entry["offset"] <= high)


def _damage(file: DataFile, position: int, size: int, reason: str) -> Plain:
    return {"type": "damage", "file": file.path, "position": position, "size": size, "reason": reason}


# Batches and records


def _batches(file: DataFile, opened: ReadFile, options: DumpOptions) -> Iterator[Plain]:
    low, high = options.offsets
    for found in walk(opened):
        if isinstance(found, Damage):
            yield _damage(file, found.position, found.size, found.reason)
        elif isinstance(found, OldMessage):
            if low <= found.message.offset <= high:
                yield _old_message(file, found)
                if options.records:
                    yield from _records(file, found, None, options)
        else:
            header = found.header
            if header.last_offset < low or header.base_offset > high:
                continue
            yield batch_entry(file, found)
            if options.records:
                yield from _records(file, found, header, options)


def batch_entry(file: DataFile, batch: Batch) -> Plain:
    header = batch.header
    codec = header.codec_id
    entry: Plain = {
        "type": "batch",
        "file": file.path,
        "topic": file.topic,
        "partition": file.partition,
        "position": batch.position,
        "size": header.size,
        "base_offset": header.base_offset,
        "last_offset": header.last_offset,
        "count": header.record_count,
        "leader_epoch": header.partition_leader_epoch,
        "magic": header.magic,
        "codec": Codec(codec).name.lower() if codec <= Codec.ZSTD else str(codec),
        "timestamp_type": header.timestamp_type.name.lower().replace("_", "-"),
        "base_timestamp": header.base_timestamp,
        "max_timestamp": header.max_timestamp,
        "producer_id": header.producer_id,
        "producer_epoch": header.producer_epoch,
        "base_sequence": header.base_sequence,
        "last_sequence": header.last_sequence,
        "transactional": header.is_transactional,
        "control": header.is_control,
        "delete_horizon": header.delete_horizon_ms,
        "attributes": header.attributes,
        "crc": header.crc,
        "crc_ok": batch.crc_ok,
    }
    if not batch.crc_ok:
        entry["crc_computed"] = batch.crc
    return entry


def _old_message(file: DataFile, found: OldMessage) -> Plain:
    message = found.message
    codec = message.attributes & 7
    return {
        "type": "message",
        "file": file.path,
        "topic": file.topic,
        "partition": file.partition,
        "position": found.position,
        "size": message.size,
        "offset": message.offset,
        "magic": message.magic,
        "codec": Codec(codec).name.lower() if codec <= Codec.ZSTD else str(codec),
        "timestamp_type": message.timestamp_type.name.lower().replace("_", "-"),
        "timestamp": message.timestamp,
        "crc": message.crc,
        "crc_ok": True,
    }


def _records(
    file: DataFile, found: Batch | OldMessage, header: BatchHeader | None, options: DumpOptions
) -> Iterator[Plain]:
    low, high = options.offsets
    try:
        for record in read_records(found.data) if header is not None else read_message_set(found.data):
            if not low <= record.offset <= high:
                continue
            entry: Plain = {
                "type": "record",
                "file": file.path,
                "topic": file.topic,
                "partition": file.partition,
                "offset": record.offset,
                "timestamp": record.timestamp,
            }
            decoded = None
            if header is not None:
                if header.has_producer_id and header.base_sequence != NO_SEQUENCE:
                    entry["sequence"] = increment_sequence(header.base_sequence, record.offset - header.base_offset)
                decoded = decode_control(record) if header.is_control else decode_record(file.topic, record)
            if decoded is not None:
                entry |= decoded
            if decoded is None or options.raw or "error" in decoded:
                prefix = "" if decoded is None else "raw_"
                entry[f"{prefix}key"] = plain_bytes(record.key)
                entry[f"{prefix}value"] = plain_bytes(record.value)
            if record.headers or decoded is None:
                entry["headers"] = [[name, plain_bytes(value)] for name, value in record.headers]
            yield entry
    except CorruptRecordsError as error:
        yield _damage(file, found.position, len(found.data), f"records of the batch: {error}")


# The other files


def _fixed(
    form: Struct, make: Callable[[DataFile, tuple[int, ...]], Plain], zeros_end: bool
) -> Callable[[DataFile, ReadFile], Iterator[Plain]]:
    """A reader of entries of one size. With `zeros_end` an entry of zeros behind the first is where they end."""

    def read(file: DataFile, opened: ReadFile) -> Iterator[Plain]:
        size = form.size
        step = size * 4096
        zeros = bytes(size)
        last: tuple[int, ...] | None = None
        for start in range(0, opened.size - size + 1, step):
            chunk = opened.read(step, start)
            for at in range(0, len(chunk) - size + 1, size):
                if zeros_end and chunk[at : at + size] == zeros and (last is not None or opened.size > size):
                    return
                values = form.unpack_from(chunk, at)
                entry = make(file, values)
                entry["position_in_file"] = start + at
                if zeros_end and last is not None and (values[0] <= last[0] or values[1] < last[1]):
                    entry["problem"] = "does not rise"
                last = values
                yield entry
        if opened.size % size:
            yield _damage(file, opened.size - opened.size % size, opened.size % size, "part of an entry at the end")

    return read


def _index_entry(file: DataFile, values: tuple[int, ...]) -> Plain:
    return {"type": "index", "file": file.path, "offset": file.offset + values[0], "position": values[1]}


def _time_entry(file: DataFile, values: tuple[int, ...]) -> Plain:
    return {"type": "timeindex", "file": file.path, "timestamp": values[0], "offset": file.offset + values[1]}


def _transaction_entry(file: DataFile, values: tuple[int, ...]) -> Plain:
    version, producer_id, first, last, stable = values
    return {
        "type": "txnindex",
        "file": file.path,
        "version": version,
        "producer_id": producer_id,
        "first_offset": first,
        "last_offset": last,
        "last_stable_offset": stable,
    }


def _producers(file: DataFile, opened: ReadFile) -> Iterator[Plain]:
    try:
        found = decode_snapshot(opened.read_all())
    except CorruptRecordsError as error:
        yield _damage(file, 0, opened.size, str(error))
        return
    for producer in found:
        last = producer.batches[-1] if producer.batches else None
        yield {
            "type": "producer",
            "file": file.path,
            "producer_id": producer.producer_id,
            "producer_epoch": producer.epoch,
            "first_sequence": NO_SEQUENCE if last is None else last.first_sequence,
            "last_sequence": producer.last_sequence,
            "last_offset": producer.last_data_offset,
            "offset_delta": 0 if last is None else last.offset_delta,
            "last_timestamp": producer.last_timestamp,
            "coordinator_epoch": producer.coordinator_epoch,
            "transaction_first_offset": producer.transaction_first_offset,
        }


def _lines(kind: str, names: tuple[str, ...]) -> Callable[[DataFile, ReadFile], Iterator[Plain]]:
    def read(file: DataFile, opened: ReadFile) -> Iterator[Plain]:
        raw = opened.read_all()
        lines = parse_lines(raw)
        if lines is None:
            yield _damage(file, 0, opened.size, "version, number of entries or the last newline is wrong")
            lines = raw.decode("utf-8", "replace").split("\n")[2:]
            lines = [line for line in lines if line]
        for line in lines:
            entry: Plain = {"type": kind, "file": file.path}
            words = line.split(" ")
            try:
                if len(words) != len(names):
                    raise ValueError
                entry |= {name: word if name == "topic" else int(word) for name, word in zip(names, words, strict=True)}
            except ValueError:
                entry["line"] = line
                entry["problem"] = f"not {' '.join(names)}"
            yield entry

    return read


def _properties(separator: str, kind: Kind) -> Callable[[DataFile, ReadFile], Iterator[Plain]]:
    def read(file: DataFile, opened: ReadFile) -> Iterator[Plain]:
        entry: Plain = {"type": kind.value, "file": file.path}
        for line in opened.read_all().decode("utf-8", "replace").splitlines():
            name, found, value = line.partition(separator)
            if found and not line.startswith("#"):
                entry[name.strip()] = value.strip()
            elif line.strip("# "):
                entry.setdefault("comments", []).append(line.lstrip("#"))
        yield entry

    return read


def _json(kind: Kind) -> Callable[[DataFile, ReadFile], Iterator[Plain]]:
    def read(file: DataFile, opened: ReadFile) -> Iterator[Plain]:
        try:
            found = json.loads(opened.read_all())
            if not isinstance(found, dict):
                raise ValueError("not an object")
        except (ValueError, RecursionError) as error:
            yield _damage(file, 0, opened.size, f"not JSON: {error}")
            return
        yield {"type": kind.value, "file": file.path, **found}

    return read


_READERS: Final[dict[Kind, Callable[[DataFile, ReadFile], Iterator[Plain]]]] = {
    Kind.OFFSET_INDEX: _fixed(Struct(">ii"), _index_entry, True),
    Kind.TIME_INDEX: _fixed(Struct(">qi"), _time_entry, True),
    Kind.TRANSACTION_INDEX: _fixed(Struct(">hqqqq"), _transaction_entry, False),
    Kind.PRODUCER_SNAPSHOT: _producers,
    Kind.LEADER_EPOCHS: _lines("leader-epoch", ("epoch", "start_offset")),
    Kind.OFFSET_CHECKPOINT: _lines("offset-checkpoint", ("topic", "partition", "offset")),
    Kind.PARTITION_METADATA: _properties(":", Kind.PARTITION_METADATA),
    Kind.META_PROPERTIES: _properties("=", Kind.META_PROPERTIES),
    Kind.QUORUM_STATE: _json(Kind.QUORUM_STATE),
    Kind.CLEAN_SHUTDOWN: _json(Kind.CLEAN_SHUTDOWN),
}
