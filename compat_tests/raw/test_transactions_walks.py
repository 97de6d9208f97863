"""Random walks of transactional requests: every answer, and what is seen of the partitions, as Kafka recorded them.

``--target kafka --record`` walks anew and keeps it in ``compat_tests/data/transaction_walks.json``.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from compat_tests.raw.walks import Walk, recorded
from compat_tests.raw.wire import Wire
from compat_tests.targets import Broker

DATA = Path(__file__).resolve().parent.parent / "data" / "transaction_walks.json"
WALKS, STEPS, LOOK_EVERY = 8, 60, 10

# Recorded on Kafka: there it is run to see that the records are still right.
pytestmark = [
    pytest.mark.usefixtures("transaction_coordinators"),
    pytest.mark.capability("transactions"),
    pytest.mark.long_on_kafka,
]


@pytest.fixture(scope="module", autouse=True)
def _recording(
    broker: Broker, transaction_coordinators: None, fresh_names: Callable[[str], str], request: pytest.FixtureRequest
) -> None:
    if not request.config.getoption("--record") or broker.kind != "kafka":
        return
    lines = []
    for seed in range(WALKS):
        with Wire(broker.address) as wire:
            steps = recorded(Walk(wire, fresh_names("walk")), seed, STEPS, LOOK_EVERY)
        lines.append("[\n" + ",\n".join(f"  {json.dumps(step)}" for step in steps) + "\n ]")
    DATA.write_text("[\n " + ",\n ".join(lines) + "\n]\n")


@pytest.mark.parametrize("number", range(WALKS))
def test_walk(wire: Wire, fresh_name: Callable[[str], str], number: int) -> None:
    walk = Walk(wire, fresh_name("walk"))
    walk.begin()
    for step, (operation, answer, seen) in enumerate(json.loads(DATA.read_text())[number]):
        assert walk.run(operation) == answer, f"step {step}: {operation}"
        if seen is not None:
            assert walk.look() == seen, f"after step {step}"
