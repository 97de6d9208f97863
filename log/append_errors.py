"""Why an append is refused."""

from kwire.error_codes import ErrorCode
from kwire.errors import ApiError

RecordError = tuple[int, str]
"""Index of the record in its batch, and what is wrong with it."""

_WITHOUT_LOG_START_OFFSET = frozenset(
    (
        ErrorCode.CORRUPT_MESSAGE,
        ErrorCode.MESSAGE_TOO_LARGE,
        ErrorCode.RECORD_LIST_TOO_LARGE,
        ErrorCode.KAFKA_STORAGE_ERROR,
    )
)


class RecordsRejectedError(ApiError):
    """The records of one partition are refused as a whole.

    `message` is the error message a Produce answer carries: only refusals with `record_errors` have one, None
    otherwise. `reason` says the same for a log line, always.  (Kafka: ReplicaManager.appendToLocalLog,
    LogAppendResult)
    """

    def __init__(self, code: ErrorCode, reason: str, record_errors: list[RecordError] | None = None) -> None:
        super().__init__(code, reason if record_errors else None)
        self.reason = reason
        self.record_errors: list[RecordError] = record_errors or []

    def __str__(self) -> str:
        return f"{self.code.name}: {self.reason}"

    @property
    def carries_log_start_offset(self) -> bool:
        """Whether Kafka's answer names the log start offset beside this error; it is -1 otherwise."""
        return self.code not in _WITHOUT_LOG_START_OFFSET
