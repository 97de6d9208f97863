"""What a fresh cluster for each test costs, in processor time of both sides, which a busy machine does not change."""

from __future__ import annotations

import time

import psutil

from kwire.testing import Broker

# 3 s for 200 tests, of the broker and of its client together.
CLUSTERS = 50
LIMIT_S = 3.0 * CLUSTERS / 200


def test_a_fresh_cluster_for_each_test(broker: Broker) -> None:
    process = psutil.Process(broker.pid)
    with broker.create_cluster(topics={"orders": 1}):
        pass  # What the first one loads is the session's.

    def spent_s() -> float:
        times = process.cpu_times()
        return times.user + times.system + time.process_time()

    before_s = spent_s()
    for _ in range(CLUSTERS):
        with broker.create_cluster(topics={"orders": 1}):
            pass
    assert spent_s() - before_s <= LIMIT_S
