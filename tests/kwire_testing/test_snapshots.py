"""The Python door to snapshots, forks, exports."""

from __future__ import annotations

from pathlib import Path

import pytest

from kwire.testing import Broker, Cluster, ControlRequestError


def test_seed_once_fork_per_test(cluster: Cluster) -> None:
    cluster.create_topic("t", 1)
    cluster.produce("t", "seeded")
    taken = cluster.snapshots.take("s")
    assert (taken.name, taken.topics, taken.forks) == ("s", 1, 0)
    for _ in range(3):
        with cluster.snapshots.fork("s") as fork:
            assert [each.value for each in fork.records("t")] == [b"seeded"]
            fork.produce("t", "only here")
    assert cluster.snapshots.get("s").forks == 3
    assert [each.value for each in cluster.records("t")] == [b"seeded"]
    cluster.produce("t", "more")
    servers = cluster.bootstrap_servers
    cluster.snapshots.restore("s")
    assert [each.value for each in cluster.records("t")] == [b"seeded"]
    assert cluster.bootstrap_servers == servers
    cluster.snapshots.delete("s")
    assert cluster.snapshots.all() == []
    with pytest.raises(ControlRequestError, match="has no snapshot 's'"):
        cluster.snapshots.fork("s")


def test_export_and_import(broker: Broker, cluster: Cluster, tmp_path: Path) -> None:
    cluster.create_topic("t", 1)
    cluster.produce("t", "kept")
    written = cluster.snapshots.export(tmp_path / "out")
    assert written.files > 0
    with broker.import_cluster(tmp_path / "out", "imported") as again:
        assert again.name == "imported"
        assert [each.value for each in again.records("t")] == [b"kept"]
    cluster.snapshots.export(tmp_path / "kafka", format="kafka")
    assert (tmp_path / "kafka/meta.properties").exists()
