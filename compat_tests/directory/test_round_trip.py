"""kwire and Apache Kafka 4.3.1 take turns on one directory: nothing is lost, nothing changes, nobody complains.

In short form one way there and back from either side, with a clean stop and a kill -9 of each; with --long (or LONG=1)
three times there and back for each quorum, one and two log.dirs, clean and killed.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from compat_tests.directory.census import Census, differences, take
from compat_tests.directory.content import GROUPS, OFFSETS, TIMEOUTS, Content
from compat_tests.directory.node import Kind, Node, Quorum
from compat_tests.raw.groups import LOADING
from compat_tests.raw.wire import Wire, eventually
from compat_tests.targets import TargetUnavailableError, find_java, kafka_jars

pytestmark = [pytest.mark.client("Kafka on the same directory"), pytest.mark.capability("moves there and back")]

OFTEN = {
    # A snapshot every some thousand bytes, so that starts are from snapshots.
    "metadata.log.max.record.bytes.between.snapshots": "8000",
    # All groups in one partition, which is compacted in every leg.
    "offsets.topic.num.partitions": "1",
}


@pytest.fixture(autouse=True)
def _only_here(target_name: str) -> None:
    if target_name != "kwire":
        pytest.skip("both brokers take part in any case: with target kwire")
    try:
        find_java()
        kafka_jars()
    except TargetUnavailableError as error:
        pytest.skip(str(error))


class Journey:
    """Moves a node back and forth and compares what it serves."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.content = Content()
        self.wire: Wire | None = None
        self.last: Census | None = None
        self.was_killed = False
        self.moved = False

    def leg(self, kind: Kind, *, killed: bool, write: bool = True) -> None:
        """Start, compare with what was before, go on where clients stopped, write more, stop or kill."""
        node = self.node
        wire = self.wire = node.start(kind)
        if self.last is not None:
            _wait_for_groups(wire)
            found = differences(self.last, take(wire, GROUPS), killed=self.was_killed)
            found = [each for each in found if TIMEOUTS not in each]
            assert not found, f"after the move to {kind}:\n" + "\n".join(found)
            self.content.carry_on(wire, kafka_recovers=kind == "kafka" and self.was_killed)
            if kind == "kafka" and self.content.foreign is not None:
                assert self.content.foreign_groups(wire) == self.content.foreign
        if write:
            cleaned = node.cleaned_to(OFFSETS)
            self.content.write(wire, kind)
            eventually(
                lambda: node.cleaned_to(OFFSETS),
                lambda now: now.get(0, -1) > cleaned.get(0, -1),
                f"{kind} has compacted {OFFSETS}",
            )
        self.last = take(wire, GROUPS)
        complaints = node.complaints()
        assert not complaints, f"{kind} complains:\n" + "\n".join(complaints)
        if kind == "kafka" and self.moved and not self.was_killed:
            # By the broker epoch in the clean marker Kafka knows that replicas have lost nothing. (KIP-966)
            assert "UNCLEAN partition change" not in node.log_file.read_text(errors="replace")
        self.moved = True
        wire.close()
        self.was_killed = killed
        if killed:
            node.kill()
        else:
            node.stop()


def _wait_for_groups(wire: Wire) -> None:
    for group in GROUPS:
        wire.ask("FindCoordinator", 3, key=group, key_type=0)
    eventually(
        lambda: {g.error_code for g in wire.ask("DescribeGroups", 5, groups=GROUPS).groups},
        lambda errors: not errors.intersection(LOADING),
        "the groups' coordinators",
    )


@pytest.fixture
def journeys() -> Iterator[list[Journey]]:
    made: list[Journey] = []
    yield made
    for journey in made:
        journey.node.kill()


def test_what_kwire_wrote_kafka_serves_and_back(tmp_path: Path, journeys: list[Journey]) -> None:
    journeys.append(journey := Journey(Node(tmp_path, properties=OFTEN)))
    journey.leg("kwire", killed=False)
    journey.leg("kafka", killed=True)
    journey.leg("kwire", killed=False, write=False)


def test_what_kafka_wrote_kwire_serves_and_back(tmp_path: Path, journeys: list[Journey]) -> None:
    node = Node(tmp_path, quorum="dynamic", directory_count=2, properties=OFTEN)
    journeys.append(journey := Journey(node))
    node.format("--standalone")
    journey.leg("kafka", killed=True)
    journey.leg("kwire", killed=True)
    journey.leg("kafka", killed=False, write=False)


@pytest.mark.long
@pytest.mark.parametrize("killed", [False, True], ids=["clean", "killed"])
@pytest.mark.parametrize("directories", [1, 2])
@pytest.mark.parametrize("quorum", ["static", "dynamic"])
@pytest.mark.parametrize("first", ["kafka", "kwire"])
def test_three_times_there_and_back(
    tmp_path: Path, journeys: list[Journey], first: Kind, quorum: Quorum, directories: int, killed: bool
) -> None:
    node = Node(tmp_path, quorum=quorum, directory_count=directories, properties=OFTEN)
    journeys.append(journey := Journey(node))
    if first == "kafka" or quorum == "dynamic":
        node.format(*(["--standalone"] if quorum == "dynamic" else []))
    second: Kind = "kwire" if first == "kafka" else "kafka"
    for _ in range(3):
        journey.leg(first, killed=killed)
        journey.leg(second, killed=killed)
    journey.leg(first, killed=False, write=False)
