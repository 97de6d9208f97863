"""What every decision gives: the records to append, as one batch, and the answer for once they are committed."""

from __future__ import annotations

from typing import Final, Generic, TypeVar

from attrs import define, field

from broker.controller.records import Record
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError

T = TypeVar("T")

MAX_RECORDS_PER_OPERATION: Final = 10_000
"""Kafka refuses a request that would need more (`QuorumController.MAX_RECORDS_PER_USER_OP`)."""


@define(slots=True)
class Decision(Generic[T]):
    """records: empty when nothing changes."""

    answer: T
    records: list[Record] = field(factory=list)


def too_many_records() -> ApiError:
    return ApiError(ErrorCode.POLICY_VIOLATION, "Unable to perform excessively large batch operation.")
