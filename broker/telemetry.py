"""Clients' metrics subscriptions (KIP-714; Kafka's ClientMetricsManager): who is asked for what, and how often."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from attrs import define

from broker.clock import Clock
from broker.config.broker_config import BrokerConfig
from broker.config.definitions import client_metrics_definitions
from broker.context import RequestContext
from broker.controller.ports import RESOURCE_CLIENT_METRICS
from kwire import uuids
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.records.crc import crc32c

if TYPE_CHECKING:
    from broker.controller.controller import Controller

_ALL_METRICS: Final = "*"
_DEFAULT_INTERVAL_MS: Final = 300_000
# How many clients are remembered; beyond it the one that was silent longest is forgotten.
_MOST_INSTANCES: Final = 16_384


@define(slots=True)
class ClientInstance:
    """One client. metrics: prefixes of the names it is asked for, `*` for all. last_get_ms, last_push_ms: 0 never."""

    instance_id: bytes
    subscription_id: int
    push_interval_ms: int
    metrics: Sequence[str]
    revision: int
    last_get_ms: int = 0
    last_push_ms: int = 0
    terminating: bool = False


class Telemetry:
    """All clients' subscriptions. new_uuid: fresh 16-byte uuids."""

    # zstd, lz4, gzip, snappy: in the order Kafka prefers them
    accepted_compression_types: Final = (4, 3, 1, 2)

    def __init__(
        self, config: BrokerConfig, controller: Controller, clock: Clock, new_uuid: Callable[[], bytes]
    ) -> None:
        self._config = config
        self._controller = controller
        self._clock = clock
        self._new_uuid = new_uuid
        self._instances: OrderedDict[bytes, ClientInstance] = OrderedDict()
        self._revision = 0
        self._subscriptions: list[_Subscription] = []
        self._configs: dict[str, dict[str, str]] = {}

    @property
    def max_bytes(self) -> int:
        """The largest push taken, telemetry.max.bytes."""
        return self._config.get_int("telemetry.max.bytes")

    def subscribe(self, instance_id: bytes, ctx: RequestContext) -> ClientInstance:
        """The subscription of a client, which gets an id when it has none (zeros).

        Raises ApiError THROTTLING_QUOTA_EXCEEDED when its push interval is not over and nothing changed.
        """
        if instance_id == uuids.ZERO:
            instance_id = self._new_uuid()
        instance = self._instance(instance_id, ctx)
        now_ms = self._clock.now_ms()
        if now_ms - max(instance.last_get_ms, instance.last_push_ms) < instance.push_interval_ms:
            raise ApiError(ErrorCode.THROTTLING_QUOTA_EXCEEDED)
        instance.last_get_ms = now_ms
        return instance

    def push(
        self,
        instance_id: bytes,
        subscription_id: int,
        *,
        terminating: bool,
        compression_type: int,
        size: int,
        ctx: RequestContext,
    ) -> None:
        """Take a client's metrics, `size` bytes as they came. Raises ApiError with the first thing wrong."""
        if instance_id[:15] == bytes(15) and instance_id[15] < 100:  # zero, and what Kafka keeps for itself
            raise ApiError(ErrorCode.INVALID_REQUEST)
        instance = self._instance(instance_id, ctx)
        try:
            if instance.terminating:
                raise ApiError(ErrorCode.INVALID_REQUEST)
            if not self._may_push(instance) and not terminating:
                raise ApiError(ErrorCode.THROTTLING_QUOTA_EXCEEDED)
            if subscription_id != instance.subscription_id:
                raise ApiError(ErrorCode.UNKNOWN_SUBSCRIPTION_ID)
            if not 0 <= compression_type <= 4:
                raise ApiError(ErrorCode.UNSUPPORTED_COMPRESSION_TYPE)
            if size > self.max_bytes:
                raise ApiError(ErrorCode.TELEMETRY_TOO_LARGE)
        finally:
            instance.terminating = terminating

    def _may_push(self, instance: ClientInstance) -> bool:
        """A push right after a subscription is fine: clients spread theirs over the interval."""
        now_ms = self._clock.now_ms()
        allowed = (
            instance.last_get_ms > instance.last_push_ms or now_ms - instance.last_push_ms >= instance.push_interval_ms
        )
        if allowed:
            instance.last_push_ms = now_ms
        return allowed

    def _instance(self, instance_id: bytes, ctx: RequestContext) -> ClientInstance:
        self._refresh_subscriptions()
        instance = self._instances.get(instance_id)
        if instance is None or instance.revision != self._revision:
            instance = self._instances[instance_id] = self._matched(instance_id, ctx)
            if len(self._instances) > _MOST_INSTANCES:
                self._instances.popitem(last=False)
        self._instances.move_to_end(instance_id)
        return instance

    def _refresh_subscriptions(self) -> None:
        image = self._controller.image
        configs = {
            resource.name: dict(image.configs(RESOURCE_CLIENT_METRICS, resource.name))
            for resource in image.config_resources(RESOURCE_CLIENT_METRICS)
        }
        if configs != self._configs:
            self._configs = configs
            self._subscriptions = [_Subscription(texts) for texts in configs.values()]
            self._revision += 1

    def _matched(self, instance_id: bytes, ctx: RequestContext) -> ClientInstance:
        connection = ctx.connection
        attributes = {
            "client_instance_id": uuids.to_string(instance_id),
            "client_id": ctx.client_id,
            "client_software_name": connection.client_software_name,
            "client_software_version": connection.client_software_version,
            "client_source_address": connection.peer_host,
        }
        interval_ms = _DEFAULT_INTERVAL_MS
        metrics: dict[str, None] = {}
        for subscription in self._subscriptions:
            if subscription.matches(attributes):
                interval_ms = min(interval_ms, subscription.interval_ms)
                metrics.update(dict.fromkeys(subscription.metrics))
        names = [_ALL_METRICS] if _ALL_METRICS in metrics else list(metrics)
        return ClientInstance(
            instance_id, subscription_id(names, interval_ms, instance_id), interval_ms, names, self._revision
        )


class _Subscription:
    """One client metrics resource: which clients, which metrics, how often."""

    __slots__ = ("interval_ms", "metrics", "patterns")

    def __init__(self, texts: dict[str, str]) -> None:
        values = {
            name: definition.parse(texts[name]) if name in texts else definition.default()
            for name, definition in client_metrics_definitions().items()
        }
        interval, metrics, match = values["interval.ms"], values["metrics"], values["match"]
        self.interval_ms = interval if isinstance(interval, int) else _DEFAULT_INTERVAL_MS
        self.metrics = metrics if isinstance(metrics, list) else []
        pairs = [entry.partition("=") for entry in match] if isinstance(match, list) else []
        self.patterns = {label.strip(): re.compile(pattern.strip()) for label, _, pattern in pairs}

    def matches(self, attributes: dict[str, str | None]) -> bool:
        return all(
            (value := attributes.get(label)) is not None and pattern.fullmatch(value) is not None
            for label, pattern in self.patterns.items()
        )


def subscription_id(metrics: Sequence[str], interval_ms: int, instance_id: bytes) -> int:
    """Kafka's number for a client's subscription: CRC-32C of its content, xor Java's hash of the client's id."""
    text = "[" + ", ".join(metrics) + "]" + str(interval_ms)
    high, low = int.from_bytes(instance_id[:8], "big"), int.from_bytes(instance_id[8:], "big")
    both = high ^ low
    number = (crc32c(text.encode()) ^ (both >> 32) ^ both) & 0xFFFFFFFF
    return number - (1 << 32) if number >= 1 << 31 else number
