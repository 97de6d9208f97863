"""What a test gets from the fixtures and the marker."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kwire.testing import Broker

pytest_plugins = ["pytester"]
Run = Callable[..., pytest.RunResult]


def test_each_test_has_a_cluster_of_its_own_and_it_is_gone_afterwards(run: Run, running_broker: Broker) -> None:
    before = running_broker.cluster_names()
    result = run(
        """
        seen = []

        def test_one(kafka_cluster, bootstrap_servers):
            seen.append(kafka_cluster.name)
            assert bootstrap_servers == kafka_cluster.bootstrap_servers

        def test_two(kafka_cluster, kafka_broker):
            assert kafka_cluster.name not in seen
            assert kafka_cluster.name in kafka_broker.cluster_names()
            assert seen[0] not in kafka_broker.cluster_names()
        """
    )
    result.assert_outcomes(passed=2)
    assert running_broker.cluster_names() == before


def test_the_marker_says_how_the_cluster_is_made(run: Run) -> None:
    result = run(
        """
        import pytest

        pytestmark = pytest.mark.kafka(nodes=2, topics={"orders": 6})

        def test_module(kafka_cluster):
            assert len(kafka_cluster.bootstrap_servers.split(",")) == 2
            (orders,) = kafka_cluster.http.request("GET", kafka_cluster.path + "/topics")["topics"]
            assert (orders["name"], orders["partitions"]) == ("orders", 6)

        @pytest.mark.kafka(topics={"orders": 2}, groups={"g": {"orders": {0: 0}}}, now_ms=1_700_000_000_000)
        def test_begun_with(kafka_cluster):
            assert kafka_cluster.groups["g"].committed() == {("orders", 0): 0}
            assert 0 <= kafka_cluster.clock.now_ms - 1_700_000_000_000 < 60_000

        @pytest.mark.kafka(nodes=1, configs={"num.partitions": 4, "auto.create.topics.enable": False})
        def test_nearest(kafka_cluster):
            assert len(kafka_cluster.bootstrap_servers.split(",")) == 1
            kafka_cluster.create_topic("made")
            made = kafka_cluster.http.request("GET", kafka_cluster.path + "/topics/made")
            assert len(made["partitions"]) == 4
            assert len(kafka_cluster.http.request("GET", kafka_cluster.path + "/topics/orders")["partitions"]) == 6
        """
    )
    result.assert_outcomes(passed=3)


def test_a_mistyped_option_of_the_marker_is_an_error_that_says_what_there_is(run: Run) -> None:
    result = run(
        """
        import pytest

        @pytest.mark.kafka(node=3)
        def test_it(kafka_cluster):
            pass
        """
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*UsageError: @pytest.mark.kafka of *test_it takes nodes=, racks=,*and not node*"])


def test_what_the_broker_refuses_is_told(run: Run) -> None:
    result = run(
        """
        import pytest

        @pytest.mark.kafka(nodes=0)
        def test_it(kafka_cluster):
            pass
        """
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*ControlRequestError:*400*"])


def test_clusters_of_as_many_nodes_as_one_likes(run: Run, running_broker: Broker) -> None:
    before = running_broker.cluster_names()
    result = run(
        """
        def test_it(kafka_nodes, kafka_cluster):
            three = kafka_nodes(3, topics=["t"])
            two = kafka_nodes(2)
            assert len(three.bootstrap_servers.split(",")) == 3
            assert len(two.bootstrap_servers.split(",")) == 2
            assert len({three.name, two.name, kafka_cluster.name}) == 3
        """
    )
    result.assert_outcomes(passed=1)
    assert running_broker.cluster_names() == before


def test_seeded_once_and_forked_for_each_test(run: Run, running_broker: Broker) -> None:
    before = running_broker.cluster_names()
    result = run(
        """
        import pytest

        @pytest.fixture(scope="module")
        def kafka_seed(kafka_broker):
            with kafka_broker.create_cluster(topics={"orders": 1}) as cluster:
                cluster.produce("orders", *({"id": n} for n in range(10)))
                yield cluster

        @pytest.mark.parametrize("n", range(3))
        def test_fork(kafka_cluster, n):
            assert [record.json for record in kafka_cluster.records("orders")] == [{"id": n} for n in range(10)]
            kafka_cluster.produce("orders", "mine")

        @pytest.mark.kafka(topics={"more": 2})
        def test_more(kafka_cluster):
            assert sorted(kafka_cluster.topics.names()) == ["more", "orders"]

        @pytest.mark.kafka(snapshot=None)
        def test_no_fork(kafka_cluster):
            assert kafka_cluster.topics.names() == []

        @pytest.mark.kafka(nodes=3)
        def test_not_both(kafka_cluster):
            pass

        @pytest.fixture
        def five():
            return 5

        @pytest.mark.kafka(snapshot="five")
        def test_of_no_cluster(kafka_cluster):
            pass
        """
    )
    result.assert_outcomes(passed=5, errors=2)
    result.stdout.fnmatch_lines(["*UsageError: *test_of_no_cluster: a fork is of a cluster; the fixture gives 5"])
    result.stdout.fnmatch_lines(["*UsageError: *test_not_both: a fork has its parent's nodes; *"])
    assert running_broker.cluster_names() == before


def test_in_asyncio_and_in_trio(run: Run) -> None:
    result = run(
        """
        import asyncio

        import pytest
        import trio
        from kwire.testing import in_thread

        async def seen(cluster):
            await cluster.aio.produce("orders", {"id": 1}, {"id": 2})
            found = await cluster.aio.consume_until("orders", 2)
            assert [record.json for record in found] == [{"id": 1}, {"id": 2}]
            assert await in_thread(cluster.topics.names) == ["orders"]

        @pytest.mark.kafka(topics={"orders": 1})
        @pytest.mark.parametrize("run", [asyncio.run, trio.run], ids=["asyncio", "trio"])
        def test_it(kafka_cluster, run):
            async def main():
                await seen(kafka_cluster)
            run(main()) if run is asyncio.run else run(main)
        """
    )
    result.assert_outcomes(passed=2)


def test_with_a_plugin_for_asynchronous_tests(run: Run) -> None:
    pytest.importorskip("anyio")
    result = run(
        """
        import pytest

        @pytest.mark.anyio
        async def test_it(kafka_cluster, bootstrap_servers):
            await kafka_cluster.aio.produce("orders", "a")
            assert len(await kafka_cluster.aio.records("orders")) == 1
        """
    )
    result.assert_outcomes(passed=2)
    result.stdout.no_fnmatch_line("*warning*")


def test_a_failing_tests_report_shows_requests_and_groups(run: Run) -> None:
    result = run(
        """
        import pytest
        from kafka import KafkaConsumer

        @pytest.mark.kafka(topics={"orders": 1})
        def test_it(kafka_cluster):
            kafka_cluster.produce("orders", "a", "b")
            consumer = KafkaConsumer(
                "orders", group_id="billing", bootstrap_servers=kafka_cluster.bootstrap_servers,
                auto_offset_reset="earliest",
            )
            while not consumer.poll(timeout_ms=10_000, max_records=1):
                pass
            try:
                assert False, "not what was expected"
            finally:
                consumer.close()
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*not what was expected*", "*kafka cluster test-test_it-*", "*group billing*", "*JoinGroup*"]
    )
