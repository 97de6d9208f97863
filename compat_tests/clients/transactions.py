"""What the transaction tests of the Python clients share: a topic of one partition, a reader of committed records."""

from compat_tests.clients.support import Endpoint
from compat_tests.raw.batches import batch
from compat_tests.raw.transactions import Txn, committed_values
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
    """What is committed now in partition 0."""
    with wire_of(endpoint) as wire:
        return committed_values(wire, topic)


def everything(endpoint: Endpoint, topic: str) -> int:
    """The end of partition 0, markers counted."""
    with wire_of(endpoint) as wire:
        return wire.start_and_end(topic)[1]


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
