"""A broker of its own that nobody asked anything: its first producer ids, and transactional ids that expire."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from compat_tests.raw.groups import LOADING
from compat_tests.raw.transactions import Txn, warm_up_transactions
from compat_tests.raw.wire import Wire, eventually
from compat_tests.targets import TargetUnavailableError, make_broker

pytestmark = [pytest.mark.long, pytest.mark.capability("transactions")]


@pytest.fixture
def fresh(target_name: str, tmp_path: Path) -> Iterator[Wire]:
    """Transactional ids expire two seconds after their last use."""
    if target_name not in ("kwire", "kafka"):
        pytest.skip("a broker that was started elsewhere is not fresh")
    properties = {
        "transactional.id.expiration.ms": "2000",
        "transaction.remove.expired.transaction.cleanup.interval.ms": "200",
    }
    try:
        broker = make_broker(target_name, tmp_path / "fresh", None, properties)
    except TargetUnavailableError as error:
        pytest.skip(str(error))
    broker.start()
    try:
        with Wire(broker.address) as wire:
            yield wire
    finally:
        broker.kill()


def test_fresh_broker(fresh: Wire) -> None:
    """One broker for all, in the order in which a client meets it."""
    # Producer ids: for a moment none, then from 0 on.
    first = fresh.ask("InitProducerId", 4, transactional_id=None, transaction_timeout_ms=1000)
    assert first.error_code in (0, 14)
    first_id = fresh.producer_id()
    assert first_id == (1 if first.error_code == 0 else 0)

    # Without the transaction's coordinator the group's cannot ask it; records are to be sent again.
    fresh.create("topic")
    nobody = Txn(fresh, "first", producer_id=first_id, epoch=0)
    assert nobody.ask_add(("topic", 0)) == {("topic", 0): 16}
    assert nobody.ask_produce("topic").error_code == 19
    assert nobody.ask_end(True).error_code == 16
    assert nobody.ask_commit_offset("group", "topic", 1) == 15

    # The coordinator: not there until its topic is made, which FindCoordinator asks for; then loading.
    found = fresh.ask("FindCoordinator", 3, key="first", key_type=1)
    assert found.error_code in (0, 15)
    txn = Txn(fresh, "first")
    answer = txn.ask_init()
    assert answer.error_code in (0, *LOADING)
    warm_up_transactions(fresh)
    txn.init()
    assert (txn.producer_id, txn.epoch) in ((first_id + 1, 0), (first_id + 1, 1))

    # Offsets may be added before there is a topic for them.
    assert fresh.metadata("__consumer_offsets").error_code == 3
    assert txn.ask_add_offsets("group") == 0
    txn.abort()

    # Two seconds later the id is forgotten.
    state = eventually(lambda: txn.described().error_code, lambda code: code != 0, "the id's expiry")
    assert state == 105
    assert txn.ask_add(("topic", 0)) == {("topic", 0): 49}
    assert txn.ask_end(True).error_code == 49
    answer = txn.ask_init(producer_id=txn.producer_id, producer_epoch=txn.epoch)
    assert (answer.error_code, answer.producer_epoch) == (0, 0)
    assert answer.producer_id > txn.producer_id

    # What is open does not expire.
    txn.init()
    txn.add(("topic", 0))
    waiting = Txn(fresh, "second").init()
    eventually(lambda: waiting.described().error_code, lambda code: code == 105, "the second id's expiry")
    assert txn.state == "Ongoing"
