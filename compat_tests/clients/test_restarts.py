"""The broker is stopped or killed, and started again, under running clients: nothing is lost, nothing comes twice.

One restart serves all clients: the module's fixture runs it, and a test for each client judges its part.
"""

import logging
import re
from collections.abc import Callable

import pytest
from attrs import define

from compat_tests.clients.restarts import CLIENTS, Run
from compat_tests.clients.support import Endpoint
from compat_tests.clients.warnings_log import WarningsLog
from compat_tests.raw.wire import Wire
from compat_tests.targets import OwnBroker

BEFORE, AFTER = 100, 100
LOGGER_OF = {"kafka-python": "kafka", "confluent-kafka": "librdkafka", "aiokafka": "aiokafka"}
# A broker that is gone and comes back is what these tests are about; when it comes back decides which of these lines a
# client logs. Any other line (a sequence out of order, an unknown producer, ...) is judged as everywhere.
OF_A_RESTART = re.compile(
    r"refused|reset by peer|disconnected|not ready|closed|closing socket|lost|timed? ?out|connect|coordinator|heartbeat"
    r"|commit|metadata|NotLeaderForPartition|LeaderNotAvailable|Fetch to node|rebalanc|Unhandled exception in task",
    re.IGNORECASE,
)
EACH_CLIENT = [pytest.param(name, marks=pytest.mark.client(name)) for name in CLIENTS]


@define
class Outcome:
    runs: dict[str, Run]
    warnings: dict[str, list[str]]


def numbers_in_log(broker: OwnBroker, topic: str) -> list[int]:
    """All values of partition 0, in order, read with a consumer of its own."""
    from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

    with Wire(broker.address) as wire:
        _, end = wire.start_and_end(topic)
    consumer = Consumer({"bootstrap.servers": broker.plain, "group.id": "unused", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    found: list[int] = []
    while len(found) < end:
        # It waits for as many as are asked for.
        messages = consumer.consume(min(1000, end - len(found)), timeout=10)
        assert messages, f"{len(found)} of {end} records of {topic} were read, no more come"
        found.extend(int(m.value()) for m in messages)
    consumer.close()
    return found


def over_a_restart(broker: OwnBroker, fresh: Callable[[str], str], end: Callable[[OwnBroker], None]) -> Outcome:
    """Run all clients, end the broker by ``end`` when all have done some work, start it, let them work on."""
    logs = {name: WarningsLog() for name in CLIENTS}
    for name, log in logs.items():
        logging.getLogger(LOGGER_OF[name]).addHandler(log)
    runs = {name: Run(name, fresh(f"{name}-log"), fresh(f"{name}-group")) for name in CLIENTS}
    try:
        with Wire(broker.address) as wire:
            for run in runs.values():
                wire.create(run.topic)
        for run in runs.values():
            run.start(Endpoint(broker.plain))
        for run in runs.values():
            run.wait_for(BEFORE, "work before the restart")
        end(broker)
        broker.start()
        for run in runs.values():
            run.wait_for(AFTER, "work after the restart")
        for run in runs.values():
            run.stop()
            run.stored = numbers_in_log(broker, run.topic)
    finally:
        for name, log in logs.items():
            logging.getLogger(LOGGER_OF[name]).removeHandler(log)
    return Outcome(runs, {name: log.lines for name, log in logs.items()})


@pytest.fixture(scope="module")
def killed(_second_broker: OwnBroker, fresh_names: Callable[[str], str]) -> Outcome:
    """What became of the clients when the broker was killed with signal 9."""
    _second_broker.start()
    return over_a_restart(_second_broker, fresh_names, OwnBroker.kill)


@pytest.fixture(scope="module")
def stopped(_second_broker: OwnBroker, fresh_names: Callable[[str], str]) -> Outcome:
    """What became of the clients when the broker was stopped in an orderly way."""
    _second_broker.start()
    return over_a_restart(_second_broker, fresh_names, OwnBroker.stop)


def judge(outcome: Outcome, client: str, client_log: WarningsLog) -> None:
    run = outcome.runs[client]
    for line in outcome.warnings[client]:
        if not OF_A_RESTART.search(line):
            client_log.add(line)
    assert run.failures == []
    assert run.acknowledged == list(range(len(run.acknowledged))), "every number is acknowledged, in order"
    assert run.stored == run.acknowledged, "what is stored is what was acknowledged, once each and in order"
    assert sorted(set(run.seen)) == run.acknowledged, "the group's member has read every number"


@pytest.mark.capability("restart: kill -9 under an idempotent producer")
@pytest.mark.parametrize("client", EACH_CLIENT)
def test_killed(killed: Outcome, client: str, client_log: WarningsLog) -> None:
    judge(killed, client, client_log)


@pytest.mark.capability("restart: stopped and started under running clients")
@pytest.mark.parametrize("client", EACH_CLIENT)
def test_stopped(stopped: Outcome, client: str, client_log: WarningsLog) -> None:
    judge(stopped, client, client_log)
