"""What the transaction tests of the Python clients share: a topic of one partition, a reader of committed records."""

from compat_tests.clients.support import Endpoint
from compat_tests.raw.batches import batch
from compat_tests.raw.transactions import Txn, committed_values, last_stable
from compat_tests.raw.wire import Wire, eventually


def wire_of(endpoint: Endpoint) -> Wire:
    host, port = endpoint.bootstrap.rsplit(":", 1)
    return Wire((host, int(port)))


def make_topics(endpoint: Endpoint, *names: str) -> None:
    """Topics of one partition, quicker than by any client's admin."""
    with wire_of(endpoint) as wire:
        for name in names:
            wire.create(name)


def fill(endpoint: Endpoint, topic: str, count: int) -> None:
    """b"0", b"1", ... one batch each."""
    with wire_of(endpoint) as wire:
        for number in range(count):
            assert wire.produce(topic, batch(b"%d" % number)).error_code == 0


def committed(endpoint: Endpoint, topic: str) -> list[bytes]:
    """What is committed in partition 0 once no transaction is open in it: markers come after EndTxn's answer."""
    with wire_of(endpoint) as wire:
        eventually(
            lambda: last_stable(wire, topic) - wire.start_and_end(topic)[1],
            lambda behind: behind == 0,
            "the end of all transactions",
        )
        return committed_values(wire, topic)


def wait_for_end(endpoint: Endpoint, topic: str, offset: int) -> None:
    """Until partition 0 ends there, markers counted."""
    with wire_of(endpoint) as wire:
        eventually(lambda: wire.start_and_end(topic)[1], lambda end: end == offset, f"the end of {topic}")


def wait_for_state(endpoint: Endpoint, transactional_id: str, state: str) -> None:
    with wire_of(endpoint) as wire:
        txn = Txn(wire, transactional_id)
        eventually(lambda: txn.state, lambda s: s == state, f"{transactional_id} in state {state}")


def committed_offset(endpoint: Endpoint, group: str, topic: str) -> int:
    """The group's offset in partition 0; none of an open transaction."""
    groups = [{"group_id": group, "topics": [{"name": topic, "partition_indexes": [0]}]}]
    with wire_of(endpoint) as wire:

        def ask() -> tuple[int, int]:
            answer = wire.ask("OffsetFetch", 8, groups=groups, require_stable=True).groups[0]
            entry = answer.topics[0].partitions[0]
            return entry.error_code, entry.committed_offset

        return int(eventually(ask, lambda a: a[0] == 0, "the committed offset")[1])
