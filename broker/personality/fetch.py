"""Fetch v0 to v3: batches become message sets, magic 0 below v2, magic 1 from there.

(Kafka 3.9: KafkaApis.handleFetchRequest, maybeConvertFetchedData)
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from broker.controller.ports import RESOURCE_TOPIC
from broker.personality.down_conversion import Budget, down_converted
from broker.personality.later import then
from broker.personality.settings import DOWN_CONVERSION
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError, KwireError
from kwire.messages.fetch import FetchRequest, FetchResponse, PartitionData
from kwire.records.batch import LOG_OVERHEAD
from log.storage import FileRange

if TYPE_CHECKING:
    from broker.context import RequestContext
    from broker.dispatch import Handler
    from broker.personality.personality import Personality
    from broker.services import Services

logger = logging.getLogger("kwire.personality")

_MAGIC_1_FROM: Final = 2
_WHOLE_BATCHES_FROM: Final = 3
_LENGTH_AT: Final = 8

# (topic, partition) -> (offset asked for, most bytes)
Wanted = dict[tuple[str, int], tuple[int, int]]


def around(call: Handler, services: Services, personality: Personality) -> Handler:
    controller = services.controller

    converts = personality.converts_down

    def may_convert(topic: str) -> bool:
        own = controller.image.configs(RESOURCE_TOPIC, topic).get(DOWN_CONVERSION)
        return converts if own is None else own == "true"

    def fetch(request: FetchRequest, ctx: RequestContext) -> Any:
        version = ctx.api_version
        turn = ctx.correlation_id
        wanted: Wanted = {
            (topic.topic, partition.partition): (partition.fetch_offset, partition.partition_max_bytes)
            for topic in request.topics
            for partition in topic.partitions
        }
        return then(call(request, ctx), lambda response: convert(response, version, wanted, turn, may_convert))

    return fetch


def convert(
    response: FetchResponse, version: int, wanted: Wanted, turn: int, may_convert: Callable[[str], bool]
) -> FetchResponse:
    """The response with its records in the format of `version`.

    Which partition is first to be converted goes by `turn`, so that no one starves where a request's work is bounded.
    may_convert: of a topic (message.downconversion.enable).
    """
    magic = 1 if version >= _MAGIC_1_FROM else 0
    budget = Budget()
    answers = [(topic.topic, partition) for topic in response.responses for partition in topic.partitions]
    first = turn % len(answers) if answers else 0
    for topic, partition in answers[first:] + answers[:first]:
        records = partition.records
        if partition.error_code == ErrorCode.UNSUPPORTED_COMPRESSION_TYPE:
            partition.records = None
        if partition.error_code == ErrorCode.NONE and not may_convert(topic):
            _fail(partition, ErrorCode.UNSUPPORTED_VERSION)
            partition.records = None
            continue
        if not isinstance(records, FileRange):
            continue
        offset, most_bytes = wanted[(topic, partition.partition_index)]
        if version < _WHOLE_BATCHES_FROM and most_bytes < records.size:
            # No batch is given for the sake of progress: one that is larger than asked for is not whole.
            partition.records = b""
            continue
        try:
            partition.records = down_converted(_read(records, budget), magic, offset, budget)
        except ApiError as error:
            _fail(partition, error.code)
            partition.records = None
        except (KwireError, ValueError, OSError):
            logger.exception("cannot convert %s-%d at offset %d", topic, partition.partition_index, offset)
            _fail(partition, ErrorCode.UNKNOWN_SERVER_ERROR)
    return response


def _read(records: FileRange, budget: Budget) -> bytes:
    """No more than may be converted, but a first batch whole. OSError."""
    size = max(budget.size_bytes, 0)
    if size >= records.size:
        return records.read()
    if budget.untouched:
        head = FileRange(records.file, records.position, min(LOG_OVERHEAD, records.size)).read()
        size = max(size, LOG_OVERHEAD + int.from_bytes(head[_LENGTH_AT:], "big"))
    return FileRange(records.file, records.position, min(size, records.size)).read() if size else b""


def _fail(partition: PartitionData, code: ErrorCode) -> None:
    partition.error_code = code
    partition.high_watermark = -1
    partition.records = b""
