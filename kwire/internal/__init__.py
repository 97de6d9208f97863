"""Records Kafka stores: in internal topics, in the metadata log, in control batches. One module per family.

`encode_key`, `encode_value`, `decode_key`, `decode_value` are for the internal topics, `encode_metadata_record` and
`decode_metadata_record` for the metadata log. The records of control batches and the consumers' embedded protocol are
plain messages: an int16 version and `kwire.codec` (`ConsumerProtocolSubscription`), or `kwire.codec` alone.
"""

from kwire.internal.framing import (
    CONSUMER_OFFSETS,
    SHARE_GROUP_STATE,
    TRANSACTION_STATE,
    UnknownRecordTypeError,
    decode_key,
    decode_metadata_record,
    decode_value,
    encode_key,
    encode_metadata_record,
    encode_value,
    value_class,
)

__all__ = [
    "CONSUMER_OFFSETS",
    "SHARE_GROUP_STATE",
    "TRANSACTION_STATE",
    "UnknownRecordTypeError",
    "decode_key",
    "decode_metadata_record",
    "decode_value",
    "encode_key",
    "encode_metadata_record",
    "encode_value",
    "value_class",
]
