"""Whether the first batch of a transaction may be written to a partition  (KIP-890; Kafka: AddPartitionsToTxnManager,
ReplicaManager.maybeSendPartitionsToTransactionCoordinator).

Per partition: a guard is taken, the transaction coordinator is asked, and the guard is shown with the append. Once the
transaction is open in the partition nothing is asked any more: `ProducerStateManager.has_ongoing_transaction`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from functools import partial
from typing import Final, Protocol, TypeAlias

from broker.clock import Clock
from broker.config.broker_config import BrokerConfig
from broker.deferred import Deferred, resolved
from broker.partitions import Partition
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from log.verification import UNCHECKED, VerificationGuard

PartitionKey: TypeAlias = tuple[str, int]
"""Topic name and partition index."""
Verdict: TypeAlias = VerificationGuard | ApiError | None
"""What to show with the append, None where the transaction is open already; or why there will be no append."""
Verdicts: TypeAlias = dict[PartitionKey, Verdict]


class Support(Enum):
    """What the version of a request says its client understands  (Kafka: TransactionSupportedOperation)."""

    DEFAULT_ERRORS = "TRANSACTION_ABORTABLE is told as INVALID_TXN_STATE"
    ABORTABLE_ERROR = "TRANSACTION_ABORTABLE"
    ADDS_PARTITIONS = "its partitions join the transaction by themselves (transaction.version 2)"


class VerifiesTransactions(Protocol):
    """The transaction coordinator, as far as it is needed here."""

    def verify(
        self,
        transactional_id: str,
        producer_id: int,
        producer_epoch: int,
        partitions: list[PartitionKey],
        /,
        *,
        add: bool,
    ) -> Deferred[dict[PartitionKey, ErrorCode]]: ...


_RETRIED: Final = ErrorCode.CONCURRENT_TRANSACTIONS


class TransactionVerifier:
    """Asks the coordinator of this process for the partitions of one request."""

    def __init__(self, coordinator: VerifiesTransactions | None, clock: Clock, config: BrokerConfig) -> None:
        self._coordinator = coordinator
        self._clock = clock
        self._config = config
        self._retry_ms = config.get_int("add.partitions.to.txn.retry.backoff.ms")
        self._retries_end_ms = min(
            config.get_int("add.partitions.to.txn.retry.backoff.max.ms"), config.get_int("request.timeout.ms")
        )

    @property
    def enabled(self) -> bool:
        """`transaction.partition.verification.enable`: what older clients write is looked up, too."""
        return self._config.get_bool("transaction.partition.verification.enable")

    def verify(
        self,
        transactional_id: str,
        producer_id: int,
        producer_epoch: int,
        wanted: Mapping[PartitionKey, tuple[Partition, int]],
        support: Support,
        *,
        retry: bool = False,
    ) -> Deferred[Verdicts]:
        """A verdict for each partition of `wanted`: (the partition, the first sequence of its batch).

        `retry`: while the transaction before is still being ended, ask again for a moment, where the client's next
        transaction may begin before its markers are written (Produce v12).
        """
        done: Deferred[Verdicts] = Deferred()
        began_ms = self._clock.monotonic_ms()
        retry = retry and support is Support.ADDS_PARTITIONS

        def ask() -> None:
            self._ask(transactional_id, producer_id, producer_epoch, wanted, support).add_callback(answered)

        def answered(asked: Deferred[Verdicts]) -> None:
            try:
                verdicts = asked.result()
            except BaseException as error:
                done.fail(error)
                return
            if (
                retry
                and any(isinstance(each, ApiError) and each.code is _RETRIED for each in verdicts.values())
                and self._clock.monotonic_ms() - began_ms < self._retries_end_ms
            ):
                self._clock.call_later(self._retry_ms, ask)
            else:
                done.resolve(verdicts)

        ask()
        return done

    def _ask(
        self,
        transactional_id: str,
        producer_id: int,
        producer_epoch: int,
        wanted: Mapping[PartitionKey, tuple[Partition, int]],
        support: Support,
    ) -> Deferred[Verdicts]:
        adds = support is Support.ADDS_PARTITIONS
        verdicts: Verdicts = {}
        if not adds and not self.enabled:
            return resolved(dict.fromkeys(wanted, UNCHECKED))
        guards: dict[PartitionKey, VerificationGuard] = {}
        for key, (found, sequence) in wanted.items():
            try:
                guard = found.begin_verification(producer_id, producer_epoch, sequence, must_begin_at_zero=adds)
            except ApiError as error:
                verdicts[key] = ApiError(error.code)
                continue
            if guard is None:
                verdicts[key] = None
            else:
                guards[key] = guard
        if not guards:
            return resolved(verdicts)
        coordinator = self._coordinator
        if coordinator is None:
            verdicts.update((key, ApiError(ErrorCode.COORDINATOR_NOT_AVAILABLE)) for key in guards)
            return resolved(verdicts)
        done: Deferred[Verdicts] = Deferred()
        coordinator.verify(transactional_id, producer_id, producer_epoch, list(guards), add=adds).add_callback(
            partial(_told, done, verdicts, guards, support, wanted, producer_id)
        )
        return done


def _told(
    done: Deferred[Verdicts],
    verdicts: Verdicts,
    guards: dict[PartitionKey, VerificationGuard],
    support: Support,
    wanted: Mapping[PartitionKey, tuple[Partition, int]],
    producer_id: int,
    answer: Deferred[dict[PartitionKey, ErrorCode]],
) -> None:
    try:
        codes = answer.result()
    except ApiError as error:
        codes = dict.fromkeys(guards, error.code)
    except BaseException as error:
        done.fail(error)
        return
    for key, guard in guards.items():
        code = _for_client(codes.get(key, ErrorCode.NONE), support)
        if code is ErrorCode.INVALID_PRODUCER_ID_MAPPING:
            wanted[key][0].drop_verification(producer_id, guard)
        verdicts[key] = guard if code is ErrorCode.NONE else ApiError(code)
    done.resolve(verdicts)


def _for_client(code: ErrorCode, support: Support) -> ErrorCode:
    """Producers expect INVALID_PRODUCER_EPOCH from a partition; older ones do not know TRANSACTION_ABORTABLE."""
    if code is ErrorCode.PRODUCER_FENCED:
        return ErrorCode.INVALID_PRODUCER_EPOCH
    if code is ErrorCode.TRANSACTION_ABORTABLE and support is Support.DEFAULT_ERRORS:
        return ErrorCode.INVALID_TXN_STATE
    return code
