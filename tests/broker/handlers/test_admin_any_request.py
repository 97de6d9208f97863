"""Any request of the topic and cluster APIs, in any version, gets an answer that can be encoded."""

from __future__ import annotations

import random
from importlib import import_module
from typing import Any

import pytest

from broker.controller.controller import NewTopic
from broker.handlers.cluster.describe_cluster import describe_cluster
from broker.handlers.cluster.describe_quorum import describe_quorum
from broker.handlers.cluster.metadata import metadata
from broker.handlers.cluster.unregister_broker import unregister_broker
from broker.handlers.cluster.update_features import update_features
from broker.handlers.topics.alter_partition_reassignments import alter_partition_reassignments
from broker.handlers.topics.create_partitions import create_partitions
from broker.handlers.topics.create_topics import create_topics
from broker.handlers.topics.delete_topics import delete_topics
from broker.handlers.topics.describe_topic_partitions import describe_topic_partitions
from broker.handlers.topics.elect_leaders import elect_leaders
from broker.handlers.topics.list_partition_reassignments import list_partition_reassignments
from kwire.schema import Struct
from tests.broker.controller.controller_world import make_controller, run
from tests.broker.controller.test_model import check, described
from tests.broker.handlers.admin_world import AdminWorld
from tests.kwire.samples import Filler

HANDLERS = {
    describe_cluster: (0, 2),
    describe_quorum: (0, 2),
    metadata: (0, 13),
    unregister_broker: (0, 0),
    update_features: (0, 2),
    alter_partition_reassignments: (0, 1),
    create_partitions: (0, 3),
    create_topics: (2, 7),
    delete_topics: (1, 6),
    describe_topic_partitions: (0, 0),
    elect_leaders: (0, 2),
    list_partition_reassignments: (0, 0),
}
NAMES = [
    "a",
    "b",
    "c.d",
    "c_d",
    "",
    ".",
    "bad name",
    "\u20ac",
    "retention.ms",
    "__consumer_offsets",
    "__cluster_metadata",
]


class Plausible(Filler):
    """Values that mean something to a handler, mostly."""

    ids: list[bytes]

    def plain(self, kind: str) -> Any:
        rng = self.rng
        if kind == "string":
            return rng.choice(NAMES)
        if kind == "uuid":
            return rng.choice(self.ids)
        if kind.startswith("int"):
            edges = {"int8": 127, "int16": 32767, "int32": 2**31 - 1, "int64": 2**63 - 1}
            return rng.choice((-2, -1, 0, 1, 1, 2, 3, 3, 5, edges[kind], -edges[kind] - 1))
        return super().plain(kind)


def request_class(handler: Any) -> type[Struct]:
    name = "".join(word.capitalize() for word in handler.__name__.split("_"))
    found: type[Struct] = getattr(import_module(f"kwire.messages.{handler.__name__}"), f"{name}Request")
    return found


@pytest.mark.parametrize("handler", HANDLERS, ids=lambda handler: handler.__name__)
def test_any_request(handler: Any, long_form: bool) -> None:
    first, last = HANDLERS[handler]
    for seed in range(600 if long_form else 60):
        rng = random.Random(seed)
        world = AdminWorld(nodes=rng.choice((1, 3)))
        created = run(world.controller.create_topics([NewTopic("a", 3, 1), NewTopic("c.d", 1, 1)]))
        filler = Plausible(rng)
        filler.ids = [bytes(16), *(each.topic_id for each in created), b"?" * 16]
        filler.arrays = filler.structs = (0, 1, 2, 3)
        for version in range(first, last + 1):
            request = filler.message(request_class(handler), version)
            try:
                world.call(handler, request, version)
            except Exception as error:
                raise AssertionError(f"seed {seed}, version {version}: {request}") from error
        check(world.controller.image)
        live = described(world.controller.image)
        again, _ = make_controller(world.log)
        again.load()
        assert described(again.image) == live
