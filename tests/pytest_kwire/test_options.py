"""Options and ini settings, and what is said when the broker is not what it should be."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.pytest_kwire.runs import QUIET

pytest_plugins = ["pytester"]

TEST = """
def test_it(kafka_cluster):
    made = kafka_cluster.topics.create("orders")
    assert len(made.partitions) == 4
"""


def test_settings_and_the_log_of_the_broker_that_is_started(pytester: pytest.Pytester, tmp_path: Path) -> None:
    pytester.makeini(
        "[pytest]\nkwire_settings =\n    num.partitions=4\n    log.retention.hours = 1\nkwire_log_level = DEBUG\n"
    )
    pytester.makepyfile(TEST)
    log = tmp_path / "broker.log"
    pytester.runpytest_inprocess(*QUIET, "--kwire-log", str(log)).assert_outcomes(passed=1)
    assert " DEBUG " in log.read_text()


def test_a_setting_that_is_none(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nkwire_settings = num.partitions\n")
    pytester.makepyfile(TEST)
    result = pytester.runpytest_inprocess(*QUIET)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*kwire_settings: 'num.partitions' must be KEY=VALUE*"])


def test_a_number_of_requests_that_is_none(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nkwire_requests = few\n")
    result = pytester.runpytest_inprocess(*QUIET)
    result.stderr.fnmatch_lines(["*kwire_requests is a number of requests, 0 for none, not 'few'*"])


def test_a_broker_that_cannot_start(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nkwire_settings = num.partitions=many\n")
    pytester.makepyfile(TEST)
    result = pytester.runpytest_inprocess(*QUIET)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*BrokerStartError: the broker ended with exit code 2*", "*num.partitions*"])


def test_nobody_at_the_url(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TEST)
    with socket.socket() as held:  # and does not listen
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        result = pytester.runpytest_inprocess(*QUIET, "--kwire-url", url)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*BrokerUnreachableError: no kwire answers at {url}: *"])


def test_a_broker_that_dies_during_the_run_is_told_at_its_end(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import os, signal
        from kwire.testing import wait_for

        def test_it(kafka_broker):
            os.kill(kafka_broker.pid, signal.SIGKILL)
            wait_for(kafka_broker.death)

        def test_next(kafka_cluster):
            pass
        """
    )
    result = pytester.runpytest_inprocess(*QUIET)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*= kwire =*", "the broker ended with exit code -9; its log ends with:"])


def test_a_failing_test_shows_as_many_requests_as_asked_for(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nkwire_requests = 0\n")
    pytester.makepyfile("def test_it(kafka_cluster): assert False")
    result = pytester.runpytest_inprocess(*QUIET)
    result.stdout.fnmatch_lines(["*- kafka cluster test-test_it-*", "bootstrap_servers: *"])
    result.stdout.no_fnmatch_line("*the last*requests*")
