"""The transaction coordinator: InitProducerId, AddPartitionsToTxn, AddOffsetsToTxn, EndTxn, and who is fenced by what.

``old`` is the generation of Produce v11, TxnOffsetCommit v4, EndTxn v4: partitions are added first. ``new`` is that of
v12, v5, v5 (KIP-890): they join by themselves, and each end raises the producer's epoch.
"""

from collections.abc import Callable

import pytest

from compat_tests.differences import expected
from compat_tests.raw.groups import wait_for_coordinator
from compat_tests.raw.transactions import CLASSIC, CONCURRENT, CURRENT, GENERATIONS, Generation, Txn, settled
from compat_tests.raw.wire import Wire, eventually
from compat_tests.targets import Broker

pytestmark = [pytest.mark.usefixtures("transaction_coordinators"), pytest.mark.capability("transactions")]

both = pytest.mark.parametrize("generation", GENERATIONS.values(), ids=GENERATIONS)


@pytest.fixture
def old(wire: Wire, fresh_name: Callable[[str], str]) -> Txn:
    """The classic generation, with a producer id."""
    return Txn(wire, fresh_name("txn"), CLASSIC).init()


@pytest.fixture
def new(wire: Wire, fresh_name: Callable[[str], str]) -> Txn:
    return Txn(wire, fresh_name("txn"), CURRENT).init()


@pytest.fixture
def txn(wire: Wire, generation: Generation, fresh_name: Callable[[str], str]) -> Txn:
    """With a producer id; each generation in turn."""
    return Txn(wire, fresh_name("txn"), generation).init()


@pytest.fixture
def existing(wire: Wire, topic: str) -> str:
    """A topic with two partitions."""
    wire.create(topic, 2)
    return topic


# InitProducerId


@pytest.mark.parametrize("version", range(6))
def test_init_every_version_gives_an_id_with_epoch_0(wire: Wire, topic: str, version: int) -> None:
    answer = Txn(wire, topic).ask_init(version)
    assert (answer.error_code, answer.producer_epoch) == (0, 0)
    assert answer.producer_id >= 0


def test_init_ids_count_up(wire: Wire, topic: str) -> None:
    ids = [Txn(wire, f"{topic}-{n}").ask_init().producer_id for n in range(3)] + [wire.producer_id()]
    assert ids == list(range(ids[0], ids[0] + 4))


def test_init_empty_transactional_id(wire: Wire) -> None:
    answer = Txn(wire, "").ask_init()
    assert (answer.error_code, answer.producer_id, answer.producer_epoch) == (42, -1, -1)


@pytest.mark.parametrize("timeout_ms", [0, -1, 900001, 2**31 - 1])
def test_init_timeout_outside_the_limits(wire: Wire, topic: str, timeout_ms: int) -> None:
    answer = Txn(wire, topic, timeout_ms=timeout_ms).ask_init()
    assert (answer.error_code, answer.producer_id, answer.producer_epoch) == (50, -1, -1)


@pytest.mark.parametrize("timeout_ms", [1, 900000])
def test_init_timeout_at_the_limits(wire: Wire, topic: str, timeout_ms: int) -> None:
    assert Txn(wire, topic, timeout_ms=timeout_ms).ask_init().error_code == 0


@pytest.mark.parametrize(("producer_id", "epoch"), [(5, -1), (-1, 5)])
def test_init_producer_id_without_epoch_or_epoch_without_id(
    wire: Wire, topic: str, producer_id: int, epoch: int
) -> None:
    answer = Txn(wire, topic).ask_init(producer_id=producer_id, producer_epoch=epoch)
    assert (answer.error_code, answer.producer_id, answer.producer_epoch) == (42, -1, -1)


def test_init_unknown_transactional_id_with_a_producer_id_gets_a_new_one(wire: Wire, topic: str) -> None:
    answer = Txn(wire, topic).ask_init(producer_id=987654321, producer_epoch=3)
    assert (answer.error_code, answer.producer_epoch) == (0, 0)
    assert answer.producer_id != 987654321


def test_init_again_keeps_the_id_and_raises_the_epoch(old: Txn) -> None:
    first = (old.producer_id, old.epoch)
    again = old.ask_init()
    assert (again.error_code, again.producer_id, again.producer_epoch) == (0, first[0], first[1] + 1)


def test_init_with_the_current_id_and_epoch_raises_the_epoch(old: Txn) -> None:
    answer = old.ask_init(producer_id=old.producer_id, producer_epoch=old.epoch)
    assert (answer.error_code, answer.producer_id, answer.producer_epoch) == (0, old.producer_id, old.epoch + 1)


def test_init_retried_with_the_epoch_before_gives_the_same_answer(old: Txn) -> None:
    """The answer was lost: the producer asks again with what it had."""
    mine = {"producer_id": old.producer_id, "producer_epoch": old.epoch}
    first = old.ask_init(**mine)
    again = old.ask_init(**mine)
    assert (again.error_code, again.producer_epoch) == (0, first.producer_epoch)


def test_init_with_an_old_epoch_or_another_id_is_fenced(old: Txn) -> None:
    for _ in range(3):
        old.init()
    for producer_id, epoch in ((old.producer_id, 0), (old.producer_id + 1000, old.epoch), (old.producer_id, 99)):
        answer = old.ask_init(producer_id=producer_id, producer_epoch=epoch)
        assert (answer.error_code, answer.producer_id, answer.producer_epoch) == (90, -1, -1), (producer_id, epoch)


def test_init_fenced_in_versions_that_do_not_know_the_code(old: Txn) -> None:
    for _ in range(3):
        old.init()
    assert old.ask_init(3, producer_id=old.producer_id, producer_epoch=0).error_code == 47
    assert old.ask_init(4, producer_id=old.producer_id, producer_epoch=0).error_code == 90


@both
def test_init_while_a_transaction_is_open_aborts_it(txn: Txn, existing: str) -> None:
    txn.produce(existing, b"lost")
    epoch = txn.epoch
    assert txn.ask_init().error_code == CONCURRENT
    answer = settled(txn.ask_init, "InitProducerId")
    assert (answer.error_code, answer.producer_epoch) == (0, epoch + 2)
    assert txn.state == "Empty"


@both
def test_init_while_a_transaction_is_open_by_its_owner(txn: Txn, existing: str) -> None:
    """With its id and epoch the owner aborts its own transaction; its request, repeated, then has the raised epoch."""
    txn.produce(existing, b"lost")
    mine = {"producer_id": txn.producer_id, "producer_epoch": txn.epoch}
    assert txn.ask_init(**mine).error_code == CONCURRENT
    answer = settled(lambda: txn.ask_init(**mine), "InitProducerId")
    assert (answer.error_code, answer.producer_epoch) == (0, txn.epoch + 1)


def test_init_new_timeout_takes_the_place_of_the_old(old: Txn) -> None:
    assert old.described().transaction_timeout_ms == 60000
    old.timeout_ms = 30000
    old.init()
    assert old.described().transaction_timeout_ms == 30000


@pytest.mark.parametrize("version", range(6))
def test_init_of_one_id_by_two_producers_fences_the_first(
    connect: Callable[[], Wire], topic: str, existing: str, version: int
) -> None:
    first, second = Txn(connect(), topic).init(version=version), Txn(connect(), topic)
    first.add((existing, 0))
    second.init(version=version)
    assert set(first.ask_add((existing, 0)).values()) == {90}
    second.produce(existing)
    second.commit()


@pytest.mark.parametrize("version", range(1, 7))
def test_find_the_coordinator_of_a_transactional_id(wire: Wire, topic: str, version: int) -> None:
    for key in (topic, ""):
        if version < 4:
            found = wire.ask("FindCoordinator", version, key=key, key_type=1)
        else:
            (found,) = wire.ask("FindCoordinator", version, key_type=1, coordinator_keys=[key]).coordinators
            assert found.key == key
        assert (found.error_code, found.node_id, found.port) == (0, 1, wire.socket.getpeername()[1])


# AddPartitionsToTxn


def test_add_unknown_partition_keeps_all_others_out(old: Txn, existing: str) -> None:
    missing = f"{existing}-missing"
    errors = old.ask_add((existing, 0), (existing, 9), (missing, 0), (existing, 1))
    assert errors == {(existing, 0): 55, (existing, 1): 55, (existing, 9): 3, (missing, 0): 3}
    assert old.state == "Empty"


@pytest.mark.parametrize("version", range(4))
def test_add_in_every_version_and_again(old: Txn, existing: str, version: int) -> None:
    for _ in range(2):
        assert old.ask_add((existing, 0), (existing, 1), version=version) == {(existing, 0): 0, (existing, 1): 0}
    described = old.described()
    assert described.transaction_state == "Ongoing"
    assert [(t.topic, sorted(t.partitions)) for t in described.topics] == [(existing, [0, 1])]


def test_add_unknown_transactional_id_or_wrong_producer_id(old: Txn, existing: str, topic: str) -> None:
    here = (existing, 0)
    assert old.ask_add(here, transactional_id=f"{topic}-nobody") == {here: 49}
    assert old.ask_add(here, producer_id=old.producer_id + 1000) == {here: 49}


@pytest.mark.parametrize("off", [-1, 1, 7])
def test_add_wrong_epoch(old: Txn, existing: str, off: int) -> None:
    old.init()
    here = (existing, 0)
    assert old.ask_add(here, producer_epoch=old.epoch + off) == {here: 90}
    for version, error in ((0, 47), (1, 47), (2, 90), (3, 90)):
        assert old.ask_add(here, producer_epoch=old.epoch + off, version=version) == {here: error}


def test_add_empty_transactional_id(old: Txn, existing: str) -> None:
    assert old.ask_add((existing, 0), transactional_id="") == {(existing, 0): 42}


def test_add_without_partitions(old: Txn) -> None:
    assert old.ask_add() == {}


def test_add_a_topic_twice_and_one_without_partitions(old: Txn, existing: str) -> None:
    """With one code for all each is answered as it was asked for."""
    asked = [(existing, [0]), ("", []), (existing, [1, 1])]
    topics = [{"name": name, "partitions": partitions} for name, partitions in asked]
    me = {f"v3_and_below_{name}": value for name, value in old.me.items()}
    for off, error in ((0, 0), (1, 90)):
        me["v3_and_below_producer_epoch"] = old.epoch + off
        answer = old.wire.ask("AddPartitionsToTxn", 3, v3_and_below_topics=topics, **me)
        found = [
            (t.name, [(p.partition_index, p.partition_error_code) for p in t.results_by_partition])
            for t in answer.results_by_topic_v3_and_below
        ]
        assert found == [(name, [(index, error) for index in partitions]) for name, partitions in asked]
    transaction = {**old.me, "verify_only": False, "topics": topics}
    (result,) = old.wire.ask("AddPartitionsToTxn", 5, transactions=[transaction]).results_by_transaction
    assert [(t.name, [p.partition_index for p in t.results_by_partition]) for t in result.topic_results] == asked
    topics.append({"name": f"{existing}-nowhere", "partitions": [0, 0]})
    (result,) = old.wire.ask(
        "AddPartitionsToTxn", 5, transactions=[transaction | {"topics": topics}]
    ).results_by_transaction
    assert {
        t.name: {p.partition_index: p.partition_error_code for p in t.results_by_partition}
        for t in result.topic_results
    } == {
        existing: {0: 55, 1: 55},
        f"{existing}-nowhere": {0: 3},
    }
    assert sum(len(t.results_by_partition) for t in result.topic_results) == 3


def test_add_an_internal_topic(old: Txn, existing: str) -> None:
    """As one the client may not write to."""
    offsets = ("__consumer_offsets", 0)
    assert old.ask_add(offsets, (existing, 0)) == {offsets: 29, (existing, 0): 55}


def add_in_batches(wire: Wire, *transactions: dict[str, object], version: int = 5) -> dict[str, dict[int, int]]:
    """AddPartitionsToTxn as brokers send it: {transactional id: {partition: error}}."""
    answer = wire.ask("AddPartitionsToTxn", version, transactions=list(transactions))
    assert answer.error_code == 0
    return {
        t.transactional_id: {
            p.partition_index: p.partition_error_code for topic in t.topic_results for p in topic.results_by_partition
        }
        for t in answer.results_by_transaction
    }


@pytest.mark.parametrize("version", [4, 5])
def test_add_by_brokers_answers_by_transaction_and_partition(
    wire: Wire, old: Txn, new: Txn, existing: str, topic: str, version: int
) -> None:
    topics = [{"name": existing, "partitions": [0, 1]}]
    nobody = {"transactional_id": f"{topic}-nobody", "producer_id": 1, "producer_epoch": 0, "topics": topics}
    errors = add_in_batches(
        wire, old.me | {"topics": topics}, new.me | {"topics": topics, "producer_epoch": 9}, nobody, version=version
    )
    assert errors == {
        old.id: {0: 0, 1: 0},
        new.id: {0: 90, 1: 90},
        nobody["transactional_id"]: {0: 49, 1: 49},
    }
    assert (old.state, new.state) == ("Ongoing", "Empty")


@pytest.mark.parametrize("version", [4, 5])
def test_add_by_brokers_to_verify_only(wire: Wire, old: Txn, existing: str, version: int) -> None:
    """Nothing is added; what is not in the transaction has an error of its own."""
    old.add((existing, 0))
    wanted = old.me | {"verify_only": True, "topics": [{"name": existing, "partitions": [0, 1]}]}
    assert add_in_batches(wire, wanted, version=version) == {old.id: {0: 0, 1: 120}}
    assert [(t.topic, t.partitions) for t in old.described().topics] == [(existing, [0])]


def test_add_by_brokers_to_verify_of_a_wrong_producer(wire: Wire, old: Txn, existing: str) -> None:
    old.add((existing, 0))
    topics = {"verify_only": True, "topics": [{"name": existing, "partitions": [0]}]}
    assert add_in_batches(wire, old.me | topics | {"producer_epoch": 5}) == {old.id: {0: 90}}
    assert add_in_batches(wire, old.me | topics | {"producer_id": 987654}) == {old.id: {0: 49}}


# AddOffsetsToTxn


@pytest.mark.parametrize("version", range(5))
def test_add_offsets_in_every_version(old: Txn, group: str, version: int) -> None:
    assert old.ask_add_offsets(group, version) == 0
    (entry,) = old.described().topics
    assert entry.topic == "__consumer_offsets"
    old.abort()


def test_add_offsets_of_whom_the_coordinator_does_not_take(old: Txn, group: str, topic: str) -> None:
    old.init()
    assert old.ask_add_offsets(group, transactional_id=f"{topic}-nobody") == 49
    assert old.ask_add_offsets(group, producer_id=old.producer_id + 1000) == 49
    assert old.ask_add_offsets(group, producer_epoch=old.epoch - 1) == 90
    assert old.ask_add_offsets(group, version=1, producer_epoch=old.epoch - 1) == 47
    assert old.ask_add_offsets(group, transactional_id="") == 42


# EndTxn, the classic way


@pytest.mark.parametrize("version", range(5))
@pytest.mark.parametrize("committed", [True, False])
def test_end_in_every_version(old: Txn, existing: str, committed: bool, version: int) -> None:
    epoch = old.epoch
    old.produce(existing)
    assert old.ask_end(committed, version).error_code == 0
    old.wait_for_end()
    described = old.described()
    assert (described.transaction_state, described.producer_epoch, described.topics) == (
        "CompleteCommit" if committed else "CompleteAbort",
        epoch,
        [],
    )


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("committed", [True, False])
def test_end_with_nothing_started(old: Txn, committed: bool, version: int) -> None:
    assert old.ask_end(committed, version).error_code == 48


@pytest.mark.parametrize("committed", [True, False])
def test_end_again_once_complete(old: Txn, existing: str, committed: bool) -> None:
    old.produce(existing)
    old.end(committed)
    assert old.ask_end(committed, 3).error_code == 0
    assert old.ask_end(not committed, 3).error_code == 48


def test_end_while_completing(wire: Wire, old: Txn, existing: str) -> None:
    """51 for as long as it lasts, then as of a complete one."""
    wire.create(f"{existing}-wide", 100)
    for attempt in range(2):
        old.add(*((f"{existing}-wide", index) for index in range(100)))
        sent = [old.wire.send("EndTxn", 3, **old.me, committed=True) for _ in range(3)]
        answers = [old.wire.answer("EndTxn", 3, number).error_code for number in sent]
        assert answers[0] == 0, attempt
        assert set(answers[1:]) <= {0, CONCURRENT}
        if CONCURRENT in answers:
            return
        old.wait_for_end()


@both
def test_end_of_whom_the_coordinator_does_not_take(txn: Txn, existing: str, topic: str) -> None:
    txn.init()
    txn.produce(existing)
    assert txn.ask_end(True, transactional_id=f"{topic}-nobody").error_code == 49
    assert txn.ask_end(True, producer_id=txn.producer_id + 1000).error_code == 49
    assert txn.ask_end(True, transactional_id="").error_code == 42
    for off in (-1, 1, 5):
        assert txn.ask_end(True, producer_epoch=txn.epoch + off).error_code == 90, off
    assert txn.state == "Ongoing"


def test_end_fenced_in_versions_that_do_not_know_the_code(old: Txn, existing: str) -> None:
    old.init()
    old.produce(existing)
    assert [old.ask_end(True, v, producer_epoch=old.epoch - 1).error_code for v in (0, 1, 2, 3)] == [47, 47, 90, 90]


# EndTxn v5


@pytest.mark.parametrize("committed", [True, False])
def test_end_v5_raises_the_epoch(new: Txn, existing: str, committed: bool) -> None:
    epoch = new.epoch
    new.produce(existing)
    answer = new.ask_end(committed)
    assert (answer.error_code, answer.producer_id, answer.producer_epoch) == (0, new.producer_id, epoch + 1)
    new.wait_for_end()
    assert new.described().producer_epoch == epoch + 1
    assert new.state == ("CompleteCommit" if committed else "CompleteAbort")


def test_end_v5_then_sequences_start_at_0(new: Txn, existing: str) -> None:
    for _ in range(3):
        new.produce(existing, b"a", b"b")
        new.commit()
        assert new.sequences == {}
    assert new.epoch == 3


@pytest.mark.parametrize("committed", [True, False])
def test_end_v5_retried_with_the_old_epoch_gives_the_same_answer(new: Txn, existing: str, committed: bool) -> None:
    new.produce(existing)
    first = new.ask_end(committed)
    again = settled(lambda: new.ask_end(committed), "EndTxn")
    assert (again.error_code, again.producer_id, again.producer_epoch) == (0, new.producer_id, first.producer_epoch)


def test_end_v5_retried_with_the_other_outcome(new: Txn, existing: str) -> None:
    new.produce(existing)
    assert new.ask_end(True).error_code == 0
    new.wait_for_end()
    assert new.ask_end(False).error_code == 48


def test_end_v5_abort_with_nothing_raises_the_epoch(new: Txn) -> None:
    answer = new.ask_end(False)
    assert (answer.error_code, answer.producer_id, answer.producer_epoch) == (0, new.producer_id, new.epoch + 1)
    again = new.ask_end(False)
    assert again.error_code in (0, CONCURRENT), "at once Kafka may still be completing"
    again = settled(lambda: new.ask_end(False), "EndTxn")
    assert (again.error_code, again.producer_epoch) == (0, new.epoch + 1)


def test_end_v5_commit_with_nothing(new: Txn) -> None:
    answer = new.ask_end(True)
    assert (answer.error_code, answer.producer_id, answer.producer_epoch) == (48, -1, -1)


def test_end_v5_commit_with_nothing_after_a_transaction(new: Txn, existing: str) -> None:
    new.produce(existing)
    new.commit()
    assert new.ask_end(True).error_code == 48
    aborted = new.ask_end(False)
    assert (aborted.error_code, aborted.producer_epoch) == (0, new.epoch + 1)


# Fenced producers


@pytest.mark.parametrize("committed", [True, False])
def test_end_v5_of_a_producer_fenced_by_a_classic_one(
    wire: Wire, new: Txn, existing: str, broker: Broker, committed: bool
) -> None:
    heir = Txn(wire, new.id, CLASSIC).init()
    heir.produce(existing)
    assert new.ask_end(committed).error_code == 90, "while its successor's transaction is open"
    heir.end(committed)
    row = "EndTxn v5 of a producer that one of the classic generation fenced, once that one has ended a transaction"
    answer = new.ask_end(committed)
    if expected(row, broker.kind) == "PRODUCER_FENCED (90)":
        assert answer.error_code == 90
    else:
        assert (answer.error_code, answer.producer_epoch) == (0, heir.epoch)


@both
def test_fenced_everywhere(txn: Txn, existing: str, group: str) -> None:
    wait_for_coordinator(txn.wire, group)
    txn.produce(existing)
    zombie = Txn(txn.wire, txn.id, txn.generation, producer_id=txn.producer_id, epoch=txn.epoch)
    txn.init()
    txn.produce(existing)
    assert zombie.ask_produce(existing, sequence=1).error_code == 47
    assert zombie.ask_add((existing, 0)) == {(existing, 0): 90}
    assert zombie.ask_add_offsets(group) == 90
    assert zombie.ask_end(True).error_code == 90
    assert zombie.ask_commit_offset(group, existing, 1) == 47
    assert txn.state == "Ongoing"
    txn.commit()
    assert zombie.ask_init(producer_id=zombie.producer_id, producer_epoch=zombie.epoch).error_code == 90


@both
def test_fenced_producers_init_aborts_what_is_open(txn: Txn, existing: str) -> None:
    """With an open transaction InitProducerId looks at the producer id, not yet at the epoch: its owner loses it."""
    zombie = Txn(txn.wire, txn.id, txn.generation, producer_id=txn.producer_id, epoch=txn.epoch)
    txn.init()
    txn.produce(existing)
    mine = {"producer_id": zombie.producer_id, "producer_epoch": zombie.epoch}
    assert zombie.ask_init(**mine).error_code == CONCURRENT
    txn.wait_for_end()
    assert (txn.state, txn.described().producer_epoch) == ("CompleteAbort", txn.epoch + 1)
    assert zombie.ask_init(**mine).error_code == 90
    assert txn.ask_produce(existing).error_code == 47


# Timeouts and epochs


@both
def test_timeout_aborts(txn: Txn, existing: str, wire: Wire, group: str) -> None:
    """At the next check; the epoch goes up, and its owner is fenced until it asks for a new epoch."""
    txn.timeout_ms = 1
    txn.init()
    epoch = txn.epoch
    txn.produce(existing)
    eventually(lambda: txn.state, lambda s: s == "CompleteAbort", "the abort by timeout")
    assert txn.described().producer_epoch == epoch + 1
    assert txn.ask_produce(existing).error_code == 47
    assert txn.ask_add((existing, 0)) == {(existing, 0): 90}
    # For EndTxn v5 the epoch before is that of a retry, and what the retry asks for is not what was done.
    assert txn.ask_end(True).error_code == (48 if txn.generation.joins else 90)
    mine = {"producer_id": txn.producer_id, "producer_epoch": epoch}
    answer = settled(lambda: txn.ask_init(**mine), "InitProducerId")
    assert (answer.error_code, answer.producer_id) == (0, txn.producer_id)
    assert answer.producer_epoch > epoch


@pytest.mark.long
def test_epochs_run_out_and_a_new_id_follows(old: Txn) -> None:
    """The last epoch is given to nobody: at 32766 a producer gets a new id with epoch 0."""
    first, last = old.producer_id, 0
    while old.producer_id == first:
        last = old.epoch
        old.init()
    assert (old.epoch, last) == (0, 32766)
    assert old.ask_end(True, producer_id=first, producer_epoch=last).error_code == 49


@pytest.mark.long
def test_epochs_run_out_by_ending(new: Txn) -> None:
    """EndTxn v5 gives the new id when the epochs of the old one are used up."""
    first, last = new.producer_id, 0
    while new.producer_id == first:
        last = new.epoch
        answer = settled(lambda: new.ask_end(False), "EndTxn")
        new.producer_id, new.epoch = answer.producer_id, answer.producer_epoch
    assert (new.epoch, last) == (0, 32766)


def test_unstable_version_of_init_is_not_offered(connect: Callable[[], Wire], topic: str) -> None:
    wire = connect()
    wire.send("InitProducerId", 6, transactional_id=topic, transaction_timeout_ms=1000)
    wire.assert_closed("InitProducerId v6 needs unstable.api.versions.enable")
