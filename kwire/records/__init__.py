"""Kafka's record formats: batches (magic 2), message sets (magic 0 and 1), codecs and checksums.

The parts, each usable alone:

- `batch`: `BatchHeader.peek(data, position)`, `iter_batches(data)`, `verify_crc`, in-place patches.
- `builder`: `RecordBatchBuilder`, for every codec, control batches and idempotent or transactional producers.
- `record`: `Record`, `read_records(data, position)`.
- `control`: types, keys and end-of-transaction markers of control batches.
- `compression`: `Codec`, `compress`, `decompress` with an output limit.
- `legacy`: message sets of magic 0 and 1: reading, and conversion from and to magic 2.
- `varint`, `crc`.

Every reader raises `kwire.errors.CorruptRecordsError` for bytes that are not what they should be, and nothing else.
"""

from kwire.records.batch import (
    HEADER_SIZE,
    LOG_OVERHEAD,
    BatchHeader,
    TimestampType,
    iter_batches,
    patch_base_offset_and_epoch,
    patch_max_timestamp,
    verify_crc,
    whole_batches,
)
from kwire.records.builder import RecordBatchBuilder
from kwire.records.compression import Codec, compress, decompress
from kwire.records.control import ControlType, decode_control_type, end_transaction_marker
from kwire.records.record import Record, read_records

__all__ = [
    "HEADER_SIZE",
    "LOG_OVERHEAD",
    "BatchHeader",
    "Codec",
    "ControlType",
    "Record",
    "RecordBatchBuilder",
    "TimestampType",
    "compress",
    "decode_control_type",
    "decompress",
    "end_transaction_marker",
    "iter_batches",
    "patch_base_offset_and_epoch",
    "patch_max_timestamp",
    "read_records",
    "verify_crc",
    "whole_batches",
]
