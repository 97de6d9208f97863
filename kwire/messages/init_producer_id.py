"""InitProducerId (API 22). Versions 0-6, flexible from 2.

Request v3 adds producer_id, producer_epoch.
Request v6 adds enable2_pc, keep_prepared_txn.
Response v6 adds ongoing_txn_producer_id, ongoing_txn_producer_epoch.
"""

from kwire.api_keys import ApiKey
from kwire.schema import Struct, boolean, int16, int32, int64, message, string


@message(ApiKey.INIT_PRODUCER_ID, versions="0-6", flexible="2+", unstable="6")
class InitProducerIdRequest(Struct):
    transactional_id: str | None = string(nullable="0+")
    transaction_timeout_ms: int = int32()
    producer_id: int = int64("3+", default=-1)
    producer_epoch: int = int16("3+", default=-1)
    enable2_pc: bool = boolean("6+")
    keep_prepared_txn: bool = boolean("6+")


@message(ApiKey.INIT_PRODUCER_ID, versions="0-6", flexible="2+")
class InitProducerIdResponse(Struct):
    throttle_time_ms: int = int32(ignorable=True)
    error_code: int = int16()
    producer_id: int = int64(default=-1)
    producer_epoch: int = int16()
    ongoing_txn_producer_id: int = int64("6+", default=-1)
    ongoing_txn_producer_epoch: int = int16("6+", default=-1)
