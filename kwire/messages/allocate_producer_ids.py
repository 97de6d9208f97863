"""AllocateProducerIds (API 67). Versions 0, flexible from 0."""

from kwire.api_keys import ApiKey
from kwire.schema import Struct, int16, int32, int64, message


@message(ApiKey.ALLOCATE_PRODUCER_IDS, versions="0", flexible="0+")
class AllocateProducerIdsRequest(Struct):
    broker_id: int = int32()
    broker_epoch: int = int64(default=-1)


@message(ApiKey.ALLOCATE_PRODUCER_IDS, versions="0", flexible="0+")
class AllocateProducerIdsResponse(Struct):
    throttle_time_ms: int = int32()
    error_code: int = int16()
    producer_id_start: int = int64()
    producer_id_len: int = int32()
