"""EndTxn (API 26). Versions 0-5, flexible from 3.

Response v5 adds producer_id, producer_epoch.
"""

from kwire.api_keys import ApiKey
from kwire.schema import Struct, boolean, int16, int32, int64, message, string


@message(ApiKey.END_TXN, versions="0-5", flexible="3+")
class EndTxnRequest(Struct):
    transactional_id: str = string()
    producer_id: int = int64()
    producer_epoch: int = int16()
    committed: bool = boolean()


@message(ApiKey.END_TXN, versions="0-5", flexible="3+")
class EndTxnResponse(Struct):
    throttle_time_ms: int = int32()
    error_code: int = int16()
    producer_id: int = int64("5+", default=-1, ignorable=True)
    producer_epoch: int = int16("5+", default=-1, ignorable=True)
