"""The map of the broker: one line per API, with the versions served, the handler, and the services it may use.

ApiVersions, the coverage page and the dispatch table are all derived from this table. Handlers and message classes are
imported when an API is first called, so that a broker starts without loading what nobody uses.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from attrs import define, field

from broker.dispatch import BoundRoute, Handler
from kwire import codec
from kwire.api_keys import ApiKey
from kwire.messages import request_class

if TYPE_CHECKING:
    from broker.services import Services


@define(slots=True, frozen=True)
class VersionRange:
    """Versions from `first` to `last`, both included."""

    first: int
    last: int

    @classmethod
    def parse(cls, text: str) -> VersionRange:
        """'3-13' or '0'."""
        first, _, last = text.partition("-")
        return cls(int(first), int(last or first))

    def __contains__(self, version: int) -> bool:
        return self.first <= version <= self.last

    def __str__(self) -> str:
        return f"{self.first}-{self.last}" if self.last != self.first else str(self.first)


@define(slots=True)
class Route:
    """One API.

    served: what is answered. advertised: what ApiVersions says (they differ for Produce, which Kafka advertises from
    0); None: answered but not advertised. handler: module below broker.handlers; its function has the module's name.
    uses: the services the handler is called with, after the request and the context. shortcut: a class below
    broker.handlers that is tried first, for requests that repeat.
    """

    api_key: ApiKey
    served: VersionRange
    advertised: VersionRange | None
    handler: str
    uses: tuple[Any, ...]
    shortcut: str | None = None
    _bound: dict[int, BoundRoute] = field(factory=dict, init=False)

    @property
    def name(self) -> str:
        """Kafka's name of the API, e.g. ListOffsets."""
        return api_name(self.api_key)

    def serves(self, version: int) -> bool:
        return version in self.served

    def load_handler(self) -> Any:
        """The handler function itself."""
        module = importlib.import_module(f"broker.handlers.{self.handler}")
        return getattr(module, self.handler.rpartition(".")[2])

    def bind(self, version: int) -> BoundRoute:
        """Ready to decode and call one version."""
        bound = self._bound.get(version)
        if bound is None:
            flexible_from = self.api_key.first_flexible
            flexible = flexible_from is not None and version >= flexible_from
            bound = self._bound[version] = BoundRoute(
                api_key=int(self.api_key),
                api_version=version,
                flexible_request_header=flexible,
                flexible_response_header=flexible and self.api_key is not ApiKey.API_VERSIONS,
                decode=codec.decoder(request_class(self.api_key), version),
                call=self._with_services(),
                shortcut=self._load_shortcut(),
            )
        return bound

    def _load_shortcut(self) -> Any:
        if self.shortcut is None:
            return None
        module, _, name = self.shortcut.rpartition(".")
        return getattr(importlib.import_module(f"broker.handlers.{module}"), name)(*self.uses)

    def _with_services(self) -> Handler:
        handler = self.load_handler()
        uses = self.uses
        if len(uses) == 1:
            (only,) = uses
            return cast(Handler, lambda request, ctx: handler(request, ctx, only))
        return cast(Handler, lambda request, ctx: handler(request, ctx, *uses))

    def unsupported_version_handler(self) -> Handler:
        """ApiVersions' own answer to a version it does not know."""
        module = importlib.import_module(f"broker.handlers.{self.handler}")
        uses = self.uses
        return cast(Handler, lambda _request, ctx: module.unsupported_version(ctx, *uses))


def api_name(api_key: ApiKey) -> str:
    """LIST_OFFSETS -> ListOffsets."""
    return "".join(word.capitalize() for word in api_key.name.split("_"))


def route(
    api_key: ApiKey,
    served: str,
    handler: str,
    uses: tuple[Any, ...] = (),
    advertised: str | None = "as served",
    shortcut: str | None = None,
) -> Route:
    """A line of the table."""
    served_range = VersionRange.parse(served)
    if advertised == "as served":
        advertised_range: VersionRange | None = served_range
    else:
        advertised_range = VersionRange.parse(advertised) if advertised else None
    return Route(api_key, served_range, advertised_range, handler, uses, shortcut)


def routes(s: Services) -> list[Route]:
    """Every API this broker answers."""
    k = ApiKey
    return [
        route(
            k.PRODUCE,
            "3-13",
            "records.produce",
            (s.partitions, s.verifier),
            advertised="0-13",
            shortcut="records.produce_shape.ProduceShortcut",
        ),
        route(k.FETCH, "4-18", "records.fetch", (s.partitions, s.fetch_sessions, s.clock)),
        route(k.LIST_OFFSETS, "1-11", "records.list_offsets", (s.partitions,)),
        route(k.METADATA, "0-13", "cluster.metadata", (s.controller, s.addresses)),
        route(k.OFFSET_COMMIT, "2-10", "groups.offset_commit", (s.groups,)),
        route(k.OFFSET_FETCH, "1-10", "groups.offset_fetch", (s.groups,)),
        route(
            k.FIND_COORDINATOR,
            "0-6",
            "groups.find_coordinator",
            (s.groups, s.transactions, s.addresses, s.hints),
        ),
        route(k.JOIN_GROUP, "0-9", "groups.join_group", (s.groups,)),
        route(k.HEARTBEAT, "0-4", "groups.heartbeat", (s.groups,)),
        route(k.LEAVE_GROUP, "0-5", "groups.leave_group", (s.groups,)),
        route(k.SYNC_GROUP, "0-5", "groups.sync_group", (s.groups,)),
        route(k.DESCRIBE_GROUPS, "0-6", "groups.describe_groups", (s.groups,)),
        route(k.LIST_GROUPS, "0-5", "groups.list_groups", (s.groups,)),
        route(k.SASL_HANDSHAKE, "0-1", "security.sasl_handshake"),
        route(k.API_VERSIONS, "0-4", "cluster.api_versions", (s.versions,)),
        route(k.CREATE_TOPICS, "2-7", "topics.create_topics", (s.controller,)),
        route(k.DELETE_TOPICS, "1-6", "topics.delete_topics", (s.controller,)),
        route(k.DELETE_RECORDS, "0-2", "records.delete_records", (s.partitions,)),
        route(
            k.INIT_PRODUCER_ID,
            _init_producer_id_versions(s),
            "transactions.init_producer_id",
            (s.transactions, s.producer_ids),
        ),
        route(k.OFFSET_FOR_LEADER_EPOCH, "2-4", "records.offset_for_leader_epoch", (s.partitions,)),
        route(k.ADD_PARTITIONS_TO_TXN, "0-5", "transactions.add_partitions_to_txn", (s.transactions,)),
        route(k.ADD_OFFSETS_TO_TXN, "0-4", "transactions.add_offsets_to_txn", (s.transactions,)),
        route(k.END_TXN, "0-5", "transactions.end_txn", (s.transactions,)),
        route(k.WRITE_TXN_MARKERS, "1-2", "transactions.write_txn_markers", (s.markers,)),
        route(k.TXN_OFFSET_COMMIT, "0-5", "transactions.txn_offset_commit", (s.groups, s.partitions, s.verifier)),
        route(k.DESCRIBE_ACLS, "1-3", "security.describe_acls"),
        route(k.CREATE_ACLS, "1-3", "security.create_acls"),
        route(k.DELETE_ACLS, "1-3", "security.delete_acls"),
        route(k.DESCRIBE_CONFIGS, "1-4", "configs.describe_configs", (s.configs,)),
        route(k.ALTER_CONFIGS, "0-2", "configs.alter_configs", (s.configs,)),
        route(k.ALTER_REPLICA_LOG_DIRS, "1-2", "storage.alter_replica_log_dirs", (s.log_dirs,)),
        route(k.DESCRIBE_LOG_DIRS, "1-5", "storage.describe_log_dirs", (s.log_dirs,)),
        route(k.SASL_AUTHENTICATE, "0-2", "security.sasl_authenticate"),
        route(k.CREATE_PARTITIONS, "0-3", "topics.create_partitions", (s.controller,)),
        route(k.CREATE_DELEGATION_TOKEN, "1-3", "security.create_delegation_token"),
        route(k.RENEW_DELEGATION_TOKEN, "1-2", "security.renew_delegation_token"),
        route(k.EXPIRE_DELEGATION_TOKEN, "1-2", "security.expire_delegation_token"),
        route(k.DESCRIBE_DELEGATION_TOKEN, "1-3", "security.describe_delegation_token"),
        route(k.DELETE_GROUPS, "0-2", "groups.delete_groups", (s.groups,)),
        route(k.ELECT_LEADERS, "0-2", "topics.elect_leaders", (s.controller,)),
        route(k.INCREMENTAL_ALTER_CONFIGS, "0-1", "configs.incremental_alter_configs", (s.configs,)),
        route(k.ALTER_PARTITION_REASSIGNMENTS, "0-1", "topics.alter_partition_reassignments", (s.controller,)),
        route(k.LIST_PARTITION_REASSIGNMENTS, "0", "topics.list_partition_reassignments", (s.controller,)),
        route(k.OFFSET_DELETE, "0", "groups.offset_delete", (s.groups,)),
        route(k.DESCRIBE_CLIENT_QUOTAS, "0-1", "security.describe_client_quotas", (s.controller,)),
        route(k.DESCRIBE_USER_SCRAM_CREDENTIALS, "0", "security.describe_user_scram_credentials", (s.controller,)),
        route(k.DESCRIBE_QUORUM, "0-2", "cluster.describe_quorum", (s.controller, s.addresses)),
        route(k.UPDATE_FEATURES, "0-2", "cluster.update_features", (s.controller,)),
        route(k.DESCRIBE_CLUSTER, "0-2", "cluster.describe_cluster", (s.controller, s.addresses)),
        route(k.DESCRIBE_PRODUCERS, "0", "records.describe_producers", (s.partitions,)),
        route(k.DESCRIBE_TRANSACTIONS, "0", "transactions.describe_transactions", (s.transactions,)),
        route(k.LIST_TRANSACTIONS, "0-2", "transactions.list_transactions", (s.transactions,)),
        route(k.UNREGISTER_BROKER, "0", "cluster.unregister_broker", (s.controller,)),
        route(k.CONSUMER_GROUP_HEARTBEAT, "0-1", "groups.consumer_group_heartbeat"),
        route(
            k.GET_TELEMETRY_SUBSCRIPTIONS, "0", "telemetry.get_telemetry_subscriptions", (s.telemetry,), advertised=None
        ),
        route(k.PUSH_TELEMETRY, "0", "telemetry.push_telemetry", (s.telemetry,), advertised=None),
        route(k.LIST_CONFIG_RESOURCES, "0-1", "configs.list_config_resources", (s.configs,)),
        route(k.DESCRIBE_TOPIC_PARTITIONS, "0", "topics.describe_topic_partitions", (s.controller, s.addresses)),
    ]


def _init_producer_id_versions(s: Services) -> str:
    """v6 (two-phase commit, KIP-939) is the one version Kafka 4.3 holds back as unstable."""
    return "0-6" if s.unstable_versions else "0-5"


def table(lines: Iterable[Route]) -> dict[int, Route]:
    """By API key."""
    return {int(line.api_key): line for line in lines}
