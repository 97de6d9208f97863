"""transaction.version: its levels, changed while the broker runs, and what each generation gets under them."""

from collections.abc import Callable, Iterator

import pytest

from compat_tests.raw.transactions import CLASSIC, CURRENT, Txn, transaction_version
from compat_tests.raw.wire import Wire, eventually

pytestmark = [pytest.mark.usefixtures("transaction_coordinators"), pytest.mark.capability("transactions")]

UPGRADE, SAFE_DOWNGRADE, UNSAFE_DOWNGRADE = 1, 2, 3


def update(wire: Wire, level: int, kind: int) -> tuple[int, str | None]:
    feature = {"feature": "transaction.version", "max_version_level": level, "upgrade_type": kind}
    answer = wire.ask("UpdateFeatures", 2, timeout_ms=5000, feature_updates=[feature])
    if answer.error_code == 0:
        eventually(lambda: transaction_version(wire), lambda found: found == level, "the new level")
    return answer.error_code, answer.error_message


@pytest.fixture
def level(wire: Wire) -> Iterator[Callable[[int], None]]:
    """Sets the finalized level; it is 2 again after the test."""

    def lower(to: int) -> None:
        assert update(wire, to, SAFE_DOWNGRADE) == (0, None)

    assert transaction_version(wire) == 2, "the level of a new broker"
    yield lower
    update(wire, 2, UPGRADE)


def test_level_2_is_finalized(wire: Wire) -> None:
    answer = wire.ask("ApiVersions", 4, client_software_name="raw", client_software_version="1")
    supported = {f.name: (f.min_version, f.max_version) for f in answer.supported_features}
    finalized = {f.name: (f.min_version_level, f.max_version_level) for f in answer.finalized_features}
    assert (supported["transaction.version"], finalized["transaction.version"]) == ((0, 2), (2, 2))


@pytest.mark.parametrize(("to", "kind"), [(1, UPGRADE), (3, UPGRADE), (0, UPGRADE), (-1, UPGRADE), (2, 9)])
def test_levels_that_are_refused(wire: Wire, to: int, kind: int) -> None:
    error, message = update(wire, to, kind)
    assert (error, transaction_version(wire)) == (95, 2)
    assert "Invalid update version" in (message or "") or kind == 9


def test_both_generations_at_level_1(wire: Wire, topic: str, level: Callable[[int], None]) -> None:
    """The level is for clients to go by: the broker still answers the new requests as new ones."""
    wire.create(topic)
    level(1)
    for generation, epoch in ((CLASSIC, 0), (CURRENT, 1)):
        txn = Txn(wire, f"{topic}-{generation.name}", generation).init()
        txn.produce(topic)
        txn.commit()
        assert (txn.state, txn.described().producer_epoch) == ("CompleteCommit", epoch)


def test_level_0_knows_the_classic_generation_only(wire: Wire, topic: str, level: Callable[[int], None]) -> None:
    wire.create(topic)
    level(0)
    old, new = (Txn(wire, f"{topic}-{g.name}", g).init() for g in (CLASSIC, CURRENT))
    old.produce(topic)
    old.commit()
    assert (old.state, old.described().producer_epoch) == ("CompleteCommit", 0)
    assert new.ask_produce(topic).error_code == 35


def test_transaction_over_a_change_of_level(wire: Wire, topic: str, level: Callable[[int], None]) -> None:
    wire.create(topic)
    txn = Txn(wire, topic, CURRENT).init()
    txn.produce(topic, b"a")
    level(1)
    txn.generation = CLASSIC
    assert txn.ask_produce(topic, b"b").error_code == 0
    txn.commit()
    assert txn.state == "CompleteCommit"
