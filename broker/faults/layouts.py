"""Where each API's request names what it is about, and where its response tells of each of them.

A layout is a path of levels: an array in the request, the array that answers it in the response, and what its elements
are. Which ids an element of the response repeats follows from its kind; all else of an error answer follows from the
classes. APIs without a layout have one error for the whole. `top_first`: APIs with both that tell most errors at the
top (Kafka: the request classes' getErrorResponse, and what its coordinators do).
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from attrs import define

from kwire.api_keys import ApiKey
from kwire.messages import request_class
from kwire.schema import Field, Struct


class Kind(Enum):
    """What the elements of a level are."""

    TOPIC = "topic"
    PARTITION = "partition"
    GROUP = "group"
    TRANSACTION = "transactional id"
    COORDINATOR = "coordinator key"
    RESOURCE = "resource"
    OTHER = "other"


NAMES: Final[dict[Kind, tuple[str, ...]]] = {
    Kind.TOPIC: ("name", "topic", "topic_name", "topic_id"),
    Kind.PARTITION: ("index", "partition", "partition_index", "partition_id"),
    Kind.GROUP: ("group_id",),
    Kind.TRANSACTION: ("transactional_id",),
    Kind.COORDINATOR: ("key",),
    Kind.RESOURCE: ("resource_type", "resource_name"),
    Kind.OTHER: ("member_id", "group_instance_id", "producer_id", "user", "name", "path"),
}
"""The fields by which an element is known, in requests and responses alike."""


@define(slots=True, frozen=True)
class Level:
    """request: the array in the request. response: the one in the response; None: the answer has no such level."""

    request: str
    response: str | None
    kind: Kind


@define(slots=True, frozen=True)
class Layout:
    levels: tuple[Level, ...]
    top_first: bool = False

    @property
    def answered(self) -> tuple[Level, ...]:
        """The levels that the response has."""
        return tuple(level for level in self.levels if level.response is not None)


_SHORT: Final = {
    "t": Kind.TOPIC,
    "p": Kind.PARTITION,
    "g": Kind.GROUP,
    "x": Kind.TRANSACTION,
    "k": Kind.COORDINATOR,
    "r": Kind.RESOURCE,
    "o": Kind.OTHER,
}


def _layout(request: str, response: str, kinds: str, *, top_first: bool = False) -> Layout:
    """Paths with slashes; `-` in the response's for a level it does not have."""
    parts = zip(request.split("/"), response.split("/"), kinds, strict=True)
    return Layout(
        tuple(Level("" if a == "-" else a, None if b == "-" else b, _SHORT[k]) for a, b, k in parts), top_first
    )


_TOPICS_PARTITIONS: Final = _layout("topics/partitions", "topics/partitions", "tp")

_LAYOUTS: Final[dict[ApiKey, tuple[Layout, ...]]] = {
    ApiKey.PRODUCE: (_layout("topic_data/partition_data", "responses/partition_responses", "tp"),),
    ApiKey.FETCH: (_layout("topics/partitions", "responses/partitions", "tp"),),
    ApiKey.LIST_OFFSETS: (_TOPICS_PARTITIONS,),
    ApiKey.METADATA: (_layout("topics", "topics", "t"),),
    ApiKey.OFFSET_COMMIT: (_TOPICS_PARTITIONS,),
    ApiKey.OFFSET_FETCH: (
        _layout("topics/partition_indexes", "topics/partitions", "tp", top_first=True),
        _layout("groups/topics/partition_indexes", "groups/topics/partitions", "gtp", top_first=True),
        _layout("groups", "groups", "g"),
    ),
    ApiKey.FIND_COORDINATOR: (_layout("coordinator_keys", "coordinators", "k"),),
    ApiKey.LEAVE_GROUP: (_layout("members", "members", "o", top_first=True),),
    ApiKey.DESCRIBE_GROUPS: (_layout("groups", "groups", "g"),),
    ApiKey.CREATE_TOPICS: (_layout("topics", "topics", "t"),),
    ApiKey.DELETE_TOPICS: (_layout("topic_names", "responses", "t"), _layout("topics", "responses", "t")),
    ApiKey.DELETE_RECORDS: (_TOPICS_PARTITIONS,),
    ApiKey.OFFSET_FOR_LEADER_EPOCH: (_TOPICS_PARTITIONS,),
    ApiKey.ADD_PARTITIONS_TO_TXN: (
        _layout("transactions/topics/partitions", "results_by_transaction/topic_results/results_by_partition", "xtp"),
        _layout("v3_and_below_topics/partitions", "results_by_topic_v3_and_below/results_by_partition", "tp"),
    ),
    ApiKey.WRITE_TXN_MARKERS: (_layout("markers/topics/partition_indexes", "markers/topics/partitions", "otp"),),
    ApiKey.TXN_OFFSET_COMMIT: (_TOPICS_PARTITIONS,),
    ApiKey.CREATE_ACLS: (_layout("creations", "results", "o"),),
    ApiKey.DELETE_ACLS: (_layout("filters", "filter_results", "o"),),
    ApiKey.DESCRIBE_CONFIGS: (_layout("resources", "results", "r"),),
    ApiKey.ALTER_CONFIGS: (_layout("resources", "responses", "r"),),
    ApiKey.INCREMENTAL_ALTER_CONFIGS: (_layout("resources", "responses", "r"),),
    ApiKey.ALTER_REPLICA_LOG_DIRS: (_layout("dirs/topics/partitions", "-/results/partitions", "otp"),),
    ApiKey.CREATE_PARTITIONS: (_layout("topics", "results", "t"),),
    ApiKey.DELETE_GROUPS: (_layout("groups_names", "results", "g"),),
    ApiKey.ELECT_LEADERS: (_layout("topic_partitions/partitions", "replica_election_results/partition_result", "tp"),),
    ApiKey.ALTER_PARTITION_REASSIGNMENTS: (_layout("topics/partitions", "responses/partitions", "tp"),),
    ApiKey.OFFSET_DELETE: (_layout("topics/partitions", "topics/partitions", "tp", top_first=True),),
    ApiKey.DESCRIBE_QUORUM: (_layout("topics/partitions", "topics/partitions", "tp", top_first=True),),
    ApiKey.DESCRIBE_USER_SCRAM_CREDENTIALS: (_layout("users", "results", "o", top_first=True),),
    ApiKey.DESCRIBE_PRODUCERS: (_layout("topics/partition_indexes", "topics/partitions", "tp"),),
    ApiKey.DESCRIBE_TRANSACTIONS: (_layout("transactional_ids", "transaction_states", "x"),),
    ApiKey.DESCRIBE_TOPIC_PARTITIONS: (_layout("topics", "topics", "t"),),
}


_ANSWERS_ONLY: Final[dict[ApiKey, Layout]] = {
    ApiKey.METADATA: _layout("topics/-", "topics/partitions", "tp"),
    ApiKey.DESCRIBE_TOPIC_PARTITIONS: _layout("topics/-", "topics/partitions", "tp"),
}


def answers_only(api: ApiKey) -> Layout | None:
    """Of APIs whose answers tell of partitions that no request names: where they do."""
    return _ANSWERS_ONLY.get(api)


def all_layouts(api: ApiKey) -> tuple[Layout, ...]:
    """Those of all versions, and of the answer alone."""
    found = _LAYOUTS.get(api, ())
    return (*found, _ANSWERS_ONLY[api]) if api in _ANSWERS_ONLY else found


def layouts_of(api: ApiKey, version: int) -> tuple[Layout, ...]:
    """The layouts an API's version has, the most detailed first; none: its errors are for the whole."""
    cls = request_class(api)
    return tuple(each for each in _LAYOUTS.get(api, ()) if in_version(cls, each.levels[0].request, version))


def field_of(cls: type[Struct], name: str) -> Field | None:
    """The declaration of a field, or None."""
    for each in cls.struct_fields:
        if each.name == name:
            return each
    return None


def in_version(cls: type[Struct], name: str, version: int) -> bool:
    """Whether a class has the field in this version."""
    found = field_of(cls, name)
    return found is not None and found.in_version(version)
