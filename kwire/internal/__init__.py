"""Records Kafka stores: in internal topics, in the metadata log, in control batches. One module per family.

`encode_key`, `encode_value`, `decode_key`, `decode_value` are for the internal topics, `encode_metadata_record` and
`decode_metadata_record` for the metadata log, `encode_consumer_protocol`, `decode_subscription` and `decode_assignment`
for what consumers of classic groups tell each other. The records of control batches are plain messages for
`kwire.codec`.
"""

from kwire.internal.framing import (
    CONSUMER_OFFSETS,
    SHARE_GROUP_STATE,
    TRANSACTION_STATE,
    UnknownRecordTypeError,
    decode_assignment,
    decode_key,
    decode_metadata_record,
    decode_subscription,
    decode_value,
    encode_consumer_protocol,
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
    "decode_assignment",
    "decode_key",
    "decode_metadata_record",
    "decode_subscription",
    "decode_value",
    "encode_consumer_protocol",
    "encode_key",
    "encode_metadata_record",
    "encode_value",
    "value_class",
]
