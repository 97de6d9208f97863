"""Incremental fetch sessions (KIP-227)."""

from collections.abc import Callable
from typing import Any

import pytest
from attrs import define

from compat_tests.raw.batches import headers
from compat_tests.raw.wire import Wire

Connect = Callable[[], Wire]


@define
class Session:
    """A client's side of a session over one topic; partitions are given as {index: offset}."""

    wire: Wire
    topic: str
    id: int = 0
    epoch: int = 0

    def fetch(
        self, want: dict[int, int] | None = None, *, forget: list[int] | None = None, version: int = 12, **more: Any
    ) -> Any:
        """The whole answer. Id and epoch go on by themselves unless ``more`` sets them."""
        inner = [
            {"partition": i, "fetch_offset": offset, "partition_max_bytes": 1 << 20}
            for i, offset in (want or {}).items()
        ]
        fields: dict[str, Any] = {
            "replica_id": -1,
            "max_wait_ms": 0,
            "min_bytes": 0,
            "max_bytes": 1 << 20,
            "session_id": self.id,
            "session_epoch": self.epoch,
            "topics": [{"topic": self.topic, "partitions": inner}] if inner else [],
            "forgotten_topics_data": [{"topic": self.topic, "partitions": forget}] if forget else [],
        }
        answer = self.wire.ask("Fetch", version, **fields | more)
        if answer.error_code == 0 and "session_epoch" not in more:
            self.id = answer.session_id
            self.epoch += 1
        return answer


def found(answer: Any) -> dict[int, tuple[int, int]]:
    """{partition: (error, number of batches)}"""
    return {p.partition_index: (p.error_code, len(headers(p.records))) for t in answer.responses for p in t.partitions}


@pytest.fixture
def session(wire: Wire, topic: str) -> Session:
    """A new session over partitions 0 (one record at offset 0) and 1 (empty), not yet fetched."""
    wire.create(topic, partitions=2)
    wire.produce(topic)
    return Session(wire, topic)


@pytest.fixture
def open_session(session: Session) -> Session:
    answer = session.fetch({0: 0, 1: 0})
    assert answer.session_id > 0
    return session


def test_new_session_has_a_positive_id_and_all_partitions(session: Session) -> None:
    answer = session.fetch({0: 0, 1: 0})
    assert answer.error_code == 0
    assert answer.session_id > 0
    assert found(answer) == {0: (0, 1), 1: (0, 0)}


def test_partitions_with_nothing_new_are_left_out(open_session: Session) -> None:
    answer = open_session.fetch({0: 1})
    assert (answer.error_code, answer.session_id) == (0, open_session.id)
    assert found(answer) == {}


def test_data_comes_again_until_the_offset_moves(open_session: Session) -> None:
    for _ in range(3):
        assert found(open_session.fetch()) == {0: (0, 1)}
    assert found(open_session.fetch({0: 1})) == {}


def test_new_data_appears(open_session: Session, connect: Connect) -> None:
    open_session.fetch({0: 1})
    connect().produce(open_session.topic, partition=1)
    assert found(open_session.fetch()) == {1: (0, 1)}


@pytest.mark.parametrize("epoch", [1, 3, 100])
def test_epoch_repeated_or_skipped(open_session: Session, epoch: int) -> None:
    assert open_session.fetch({0: 1}).error_code == 0  # epoch 1; the next is 2
    answer = open_session.fetch(session_epoch=epoch)
    assert (answer.error_code, answer.session_id, answer.responses) == (71, 0, [])


def test_unknown_session(session: Session) -> None:
    answer = session.fetch(session_id=123456789, session_epoch=1)
    assert (answer.error_code, answer.session_id, answer.responses) == (70, 0, [])


def test_forgotten_partition_is_left_out(open_session: Session) -> None:
    assert found(open_session.fetch(forget=[0])) == {}


def test_forgetting_the_last_partition_ends_the_session(open_session: Session) -> None:
    identity = open_session.id
    answer = open_session.fetch(forget=[0, 1])
    assert (answer.error_code, answer.session_id) == (0, 0)
    assert open_session.fetch(session_id=identity, session_epoch=2).error_code == 70


def test_session_id_with_epoch_0_makes_a_new_session(open_session: Session) -> None:
    old = open_session.id
    answer = open_session.fetch({0: 0}, session_epoch=0)
    assert answer.error_code == 0
    assert answer.session_id not in (0, old)
    assert open_session.fetch(session_id=old, session_epoch=1).error_code == 70


def test_epoch_minus_1_answers_once_and_closes_the_session(open_session: Session) -> None:
    identity = open_session.id
    answer = open_session.fetch({0: 0}, session_epoch=-1)
    assert (answer.error_code, answer.session_id) == (0, 0)
    assert found(answer) == {0: (0, 1)}
    assert open_session.fetch(session_id=identity, session_epoch=1).error_code == 70


def test_any_connection_may_use_it(open_session: Session, connect: Connect) -> None:
    open_session.wire = connect()
    assert found(open_session.fetch()) == {0: (0, 1)}


def test_made_by_topic_id_and_used_by_name(session: Session) -> None:
    topic_id = session.wire.topic_id(session.topic)
    inner = [{"partition": 0, "fetch_offset": 0, "partition_max_bytes": 1 << 20}]
    made = session.fetch(version=13, topics=[{"topic_id": topic_id, "partitions": inner}])
    assert made.error_code == 0
    assert made.session_id > 0
    assert session.fetch({0: 0}, version=12).error_code == 106


def test_error_partition_comes_each_time(session: Session) -> None:
    answer = session.fetch({0: 1, 9: 0})
    assert answer.session_id > 0
    assert found(answer) == {0: (0, 0), 9: (3, 0)}
    for _ in range(2):
        assert found(session.fetch()) == {9: (3, 0)}
