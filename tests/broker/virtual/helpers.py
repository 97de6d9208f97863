"""A server in the test's process with a registry of virtual clusters, and clients to them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from attrs import define

from broker.config.broker_config import BrokerConfig
from broker.contents.parse import parse_contents
from broker.virtual.cluster import VirtualCluster
from broker.virtual.registry import VirtualClusters
from broker.virtual.spec import ClusterSpec
from broker.virtual.storage import Inode, walk
from tests.broker.cluster_helpers import Client, Running, running_server
from tests.broker.server_helpers import settled


@define
class Plane:
    running: Running
    clusters: VirtualClusters

    def create(self, name: str | None = None, *, topics: Any = None, **fields: Any) -> VirtualCluster:
        contents = parse_contents({"topics": topics}) if topics else None
        return self.clusters.create(ClusterSpec(name=name, contents=contents, **fields))

    async def made(self, name: str | None = None, **fields: Any) -> VirtualCluster:
        """The same, with all that it declares."""
        virtual = self.create(name, **fields)
        await settled(self.running.server.reactor, lambda: virtual.ready.done, "what was declared is there")
        virtual.ready.result()
        return virtual

    async def connect(self, virtual: VirtualCluster) -> Client:
        return await self.running.connect(virtual.cluster)


@contextlib.asynccontextmanager
async def plane(directory: Path, **settings: str) -> AsyncIterator[Plane]:
    config = BrokerConfig({key.replace("_", "."): value for key, value in settings.items()})
    async with running_server(directory) as running:
        yield Plane(running, VirtualClusters(running.server, None, config))


def fingerprint(virtual: VirtualCluster) -> dict[str, str]:
    """Every file of a cluster with the hash of its bytes."""
    assert virtual.storage is not None
    return {
        path: sha256(node.content.read(node.content.size, 0)).hexdigest()
        for path, node in walk(virtual.storage.clone_tree())
        if isinstance(node, Inode)
    }
