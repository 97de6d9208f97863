"""Histories of transactional ids, played on kwire's coordinator and on a running Kafka with the same requests.

A driver has `ask(request, version)`, `records(transactional_id)` (raw keys and values, oldest first) and
`settle(transactional_id)`, which returns when the markers of what was ended are written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

from kwire import codec
from kwire.internal.transaction_state import TransactionLogValue
from kwire.messages.add_offsets_to_txn import AddOffsetsToTxnRequest
from kwire.messages.add_partitions_to_txn import AddPartitionsToTxnRequest, AddPartitionsToTxnTransaction
from kwire.messages.describe_transactions import DescribeTransactionsRequest
from kwire.messages.end_txn import EndTxnRequest
from kwire.messages.init_producer_id import InitProducerIdRequest
from tests.broker.txn.txn_world import by_topic, codes

TOPICS: Final = {"a": 3, "bb": 40, "topic-three": 20, "Ünicode".encode().hex(): 5}
TIMEOUT_CHECK_MS: Final = 200
TIMEOUT_MS: Final = 300


class Driver(Protocol):
    def ask(self, request: Any, version: int) -> Any: ...

    def records(self, transactional_id: str) -> Iterable[tuple[bytes, bytes | None]]: ...

    def settle(self, transactional_id: str) -> None: ...

    def pass_time(self, ms: int) -> None: ...

    def skip_epochs(self, transactional_id: str, times: int) -> int: ...


class Script:
    """One transactional id. `pid` and `epoch` follow the answers."""

    def __init__(self, name: str, driver: Driver) -> None:
        self.name = name
        self.driver = driver
        self.answers: list[Any] = []
        self.pid = self.epoch = -1
        self.skipped = 0
        self._ids: dict[int, int] = {}

    def nth(self, producer_id: int) -> int:
        """Producer ids in the order in which they are seen: others use the same counter."""
        return producer_id if producer_id < 0 else self._ids.setdefault(producer_id, len(self._ids))

    def init(self, producer_id: int = -1, epoch: int = -1, *, version: int = 5, timeout_ms: int = 60_000) -> None:
        request = InitProducerIdRequest(transactional_id=self.name, transaction_timeout_ms=timeout_ms)
        if version >= 3:
            request.producer_id, request.producer_epoch = producer_id, epoch
        answer = self.driver.ask(request, version)
        if not answer.error_code:
            self.pid, self.epoch = answer.producer_id, answer.producer_epoch
        self.answers.append(["init", answer.error_code, self.nth(answer.producer_id), answer.producer_epoch])
        self.driver.settle(self.name)

    def skip_epochs(self, times: int) -> None:
        """InitProducerId that often; neither answers nor records of it are kept, nor the records before."""
        self.epoch = self.driver.skip_epochs(self.name, times)
        self.skipped = len(list(self.driver.records(self.name)))

    def add(
        self, *partitions: tuple[str, int], pid: int | None = None, epoch: int | None = None, version: int = 3
    ) -> None:
        request = AddPartitionsToTxnRequest(
            v3_and_below_transactional_id=self.name,
            v3_and_below_producer_id=self.pid if pid is None else pid,
            v3_and_below_producer_epoch=self.epoch if epoch is None else epoch,
            v3_and_below_topics=by_topic(partitions),
        )
        answer = codes(self.driver.ask(request, version).results_by_topic_v3_and_below)
        self.answers.append(["add", sorted([*where, code] for where, code in answer.items())])

    def join(self, *partitions: tuple[str, int], verify_only: bool = False, epoch: int | None = None) -> None:
        """As a broker asks for a Produce v12, or of v11 when it only wants to know."""
        transaction = AddPartitionsToTxnTransaction(
            transactional_id=self.name,
            producer_id=self.pid,
            producer_epoch=self.epoch if epoch is None else epoch,
            verify_only=verify_only,
            topics=by_topic(partitions),
        )
        (result,) = self.driver.ask(AddPartitionsToTxnRequest(transactions=[transaction]), 5).results_by_transaction
        self.answers.append(["join", sorted([*where, code] for where, code in codes(result.topic_results).items())])

    def add_offsets(self, group: str, *, epoch: int | None = None) -> None:
        request = AddOffsetsToTxnRequest(
            transactional_id=self.name,
            producer_id=self.pid,
            producer_epoch=self.epoch if epoch is None else epoch,
            group_id=group,
        )
        self.answers.append(["add_offsets", self.driver.ask(request, 4).error_code])

    def end(
        self, commit: bool, version: int, *, pid: int | None = None, epoch: int | None = None, follow: bool = True
    ) -> None:
        request = EndTxnRequest(
            transactional_id=self.name,
            producer_id=self.pid if pid is None else pid,
            producer_epoch=self.epoch if epoch is None else epoch,
            committed=commit,
        )
        answer = self.driver.ask(request, version)
        self.answers.append(["end", answer.error_code, self.nth(answer.producer_id), answer.producer_epoch])
        if follow and answer.producer_id >= 0:
            self.pid, self.epoch = answer.producer_id, answer.producer_epoch
        self.driver.settle(self.name)

    def describe(self) -> None:
        (found,) = self.driver.ask(DescribeTransactionsRequest(transactional_ids=[self.name]), 0).transaction_states
        topics = sorted([topic.topic, sorted(topic.partitions)] for topic in found.topics)
        self.answers.append(
            [
                "describe",
                found.error_code,
                found.transaction_state,
                found.transaction_timeout_ms,
                found.transaction_start_time_ms if found.transaction_start_time_ms <= 0 else "set",
                self.nth(found.producer_id),
                found.producer_epoch,
                topics,
            ]
        )

    def pass_time(self, ms: int) -> None:
        self.driver.pass_time(ms)
        self.driver.settle(self.name)


def commit_and_abort(s: Script) -> None:
    s.init()
    s.add(("a", 0))
    s.describe()
    s.end(True, 4)
    s.describe()
    s.add(("a", 1), ("a", 0))
    s.end(False, 4)
    s.describe()
    s.end(False, 4)
    s.end(True, 4)


def many_partitions(s: Script) -> None:
    s.init()
    s.add(*(("bb", index) for index in range(0, 40, 3)), ("a", 2))
    s.add(("topic-three", 5), ("a", 0), ("bb", 1), ("bb", 39))
    s.add(*((topic, index) for topic, count in TOPICS.items() for index in range(count) if index % 2))
    s.add(("a", 0), ("a", 2))
    s.add_offsets("group-1")
    s.add_offsets("group-2")
    s.end(True, 4)


def many_partitions_by_produce(s: Script) -> None:
    s.init()
    for index in range(0, 40, 4):
        s.join(("bb", index), ("topic-three", index // 2))
    s.join(("a", 1), ("a", 0))
    s.end(True, 5)
    s.join(("topic-three", 1))
    s.end(False, 5)


def refusals(s: Script) -> None:
    s.init()
    s.end(True, 4)
    s.end(False, 4)
    s.add(("a", 0), ("nowhere", 0))
    s.add(("a", 99), ("a", 0))
    s.add(("a", 0), pid=s.pid + 1000)
    s.add(("a", 0), epoch=s.epoch + 1)
    s.add(("a", 0), epoch=s.epoch + 1, version=1)
    s.add_offsets("g", epoch=7)
    s.end(True, 4, epoch=s.epoch + 1)
    s.end(True, 1, epoch=s.epoch + 1)
    s.end(True, 4, pid=s.pid + 1000)
    s.add(("a", 0))
    s.end(False, 4, epoch=s.epoch + 1)
    s.end(False, 4, epoch=s.epoch - 1)
    s.end(False, 4, pid=s.pid + 1000)
    s.describe()


def verification(s: Script) -> None:
    s.init()
    s.join(("a", 0), verify_only=True)
    s.add(("a", 0))
    s.join(("a", 0), ("a", 1), verify_only=True)
    s.join(("a", 0), verify_only=True, epoch=5)
    s.join(("a", 9), ("a", 0), verify_only=True)
    s.end(True, 4)
    s.join(("a", 0), verify_only=True)


def epochs(s: Script) -> None:
    """InitProducerId with and without the id and epoch that are believed to be current."""
    s.init()
    s.init()
    s.init(s.pid, s.epoch)
    s.init(s.pid, s.epoch - 1)
    s.init(s.pid, s.epoch - 2)
    s.init(s.pid, s.epoch + 5)
    s.init(s.pid + 1000, 0)
    s.init(s.pid, s.epoch, version=3)
    s.init(s.pid, 0, version=3)
    s.init(s.pid, s.epoch, timeout_ms=30_000)
    s.describe()


def begins_with_an_unknown_id(s: Script) -> None:
    s.init(123_456_789, 5)
    s.init(s.pid, 0)


def fencing(s: Script) -> None:
    """A second producer comes while the first has a transaction open."""
    s.init()
    s.add(("a", 0))
    epoch = s.epoch
    s.init()
    s.describe()
    s.add(("a", 1), epoch=epoch)
    s.init()
    s.end(True, 4, epoch=epoch, follow=False)
    s.add(("a", 1))
    s.end(True, 4)
    s.init()


def raised_epochs(s: Script) -> None:
    """Every end raises the epoch."""
    s.init()
    s.join(("a", 0))
    s.describe()
    before = s.epoch
    s.end(True, 5)
    s.end(True, 5, epoch=before)
    s.end(False, 5, epoch=before)
    s.end(True, 5)
    s.describe()
    s.join(("a", 1), epoch=before)
    s.join(("a", 1))
    s.end(True, 5, epoch=before)
    before = s.epoch
    s.end(False, 5)
    s.end(False, 5, epoch=before)
    s.end(True, 5, epoch=before)
    s.init(s.pid, s.epoch)
    s.end(True, 5)


def aborts_of_nothing(s: Script) -> None:
    s.init()
    s.end(True, 5)
    s.end(False, 5)
    s.end(False, 5)
    s.describe()
    s.join(("a", 0))
    s.end(True, 5)
    s.end(False, 5)
    s.init()
    s.end(False, 5, epoch=s.epoch - 1)


def fencing_of_raised_epochs(s: Script) -> None:
    s.init()
    s.join(("a", 0), ("bb", 3))
    epoch = s.epoch
    s.init()
    s.init()
    s.end(True, 5, epoch=epoch)
    s.join(("a", 0))
    s.init(s.pid, s.epoch)
    s.init(s.pid, s.epoch)
    s.describe()


def both_generations(s: Script) -> None:
    """A client is replaced by a newer one, and back."""
    s.init()
    s.add(("a", 0))
    s.end(True, 4)
    s.init()
    s.join(("a", 0))
    s.end(True, 5)
    s.add(("a", 1))
    s.end(False, 4)
    s.join(("a", 1))
    s.end(True, 4)
    s.add(("a", 2))
    s.end(True, 5)


def timeout(s: Script) -> None:
    s.init(timeout_ms=TIMEOUT_MS)
    s.add(("a", 0), ("bb", 7))
    s.pass_time(TIMEOUT_MS + 3 * TIMEOUT_CHECK_MS)
    s.describe()
    s.end(True, 4)
    s.add(("a", 0))
    s.init(s.pid, s.epoch)
    s.init()


def exhausted_epochs(s: Script) -> None:
    """The highest epoch is never given to a client: another producer id is."""
    s.init()
    s.skip_epochs(32_765)
    s.add(("a", 0))
    s.end(True, 4)
    s.init()
    s.init()


def exhausted_by_ends(s: Script) -> None:
    s.init()
    s.skip_epochs(32_764)
    s.join(("a", 0))
    s.end(True, 5)
    s.join(("a", 1))
    s.describe()
    last = s.pid, s.epoch
    s.end(True, 5)
    s.end(True, 5, pid=last[0], epoch=last[1])
    s.describe()
    s.join(("a", 0))
    s.end(False, 5)


def exhausted_by_fencing(s: Script) -> None:
    s.init()
    s.skip_epochs(32_765)
    s.join(("a", 0))
    s.init()
    s.describe()
    s.init()


def exhausted_and_expected(s: Script) -> None:
    s.init()
    s.skip_epochs(32_766)
    last = s.pid, s.epoch
    s.init(s.pid, s.epoch - 1)
    s.init(*last)
    s.init(*last)
    s.init(s.pid, s.epoch)


CLASSIC: Final[list[Callable[[Script], None]]] = [
    commit_and_abort,
    many_partitions,
    refusals,
    verification,
    epochs,
    begins_with_an_unknown_id,
    fencing,
    timeout,
    exhausted_epochs,
    exhausted_and_expected,
]
RAISED: Final[list[Callable[[Script], None]]] = [
    many_partitions_by_produce,
    raised_epochs,
    aborts_of_nothing,
    fencing_of_raised_epochs,
    both_generations,
    exhausted_by_ends,
    exhausted_by_fencing,
]
LEVELS: Final = {
    0: CLASSIC,
    1: [commit_and_abort, many_partitions, fencing, raised_epochs, both_generations],
    2: CLASSIC + RAISED,
}
"""Which are played at which level of transaction.version."""
HISTORIES: Final = [(level, history.__name__) for level, all_of_it in LEVELS.items() for history in all_of_it]


def transactional_id(level: int, name: str) -> str:
    return f"golden-{level}-{name}"


def play(level: int, name: str, driver: Driver) -> dict[str, Any]:
    """The answers, and the records as they are in the log."""
    script = Script(transactional_id(level, name), driver)
    next(each for each in LEVELS[level] if each.__name__ == name)(script)
    records = list(driver.records(script.name))
    return {
        "answers": script.answers,
        "ids": sorted(script._ids, key=script._ids.__getitem__),
        "records": [[key.hex(), None if value is None else value.hex()] for key, value in records[script.skipped :]],
    }


def readable(played: dict[str, Any]) -> list[Any]:
    """The records with producer ids counted and times left out, but for whether they are set and which are equal."""
    ids = {producer_id: index for index, producer_id in enumerate(played["ids"])}
    found: list[Any] = []
    for key, value in played["records"]:
        if value is None:
            found.append([key, None])
            continue
        data = bytes.fromhex(value)
        version = int.from_bytes(data[:2], "big")
        record = codec.decode(TransactionLogValue, version, data, 2)
        for attribute in ("producer_id", "previous_producer_id", "next_producer_id"):
            producer_id = getattr(record, attribute)
            if producer_id >= 0:
                setattr(record, attribute, ids.setdefault(producer_id, len(ids)))
        for attribute in ("transaction_start_timestamp_ms", "transaction_last_update_timestamp_ms"):
            setattr(record, attribute, min(0, getattr(record, attribute)))
        found.append([key, version, codec.encode(record, version).hex()])
    return found
