"""Clients' metrics subscriptions on a whole broker; expectations are Kafka 4.3.1's answers."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import trio

from broker.clock import ManualClock
from broker.telemetry import subscription_id
from kwire import uuids
from kwire.messages.get_telemetry_subscriptions import GetTelemetrySubscriptionsRequest
from kwire.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
)
from kwire.messages.push_telemetry import PushTelemetryRequest
from tests.broker.cluster_helpers import Client, running_server

INTERVAL_MS = 300_000
CLIENT = uuid.UUID("29bd4d27-c3a5-4935-a90b-8244c47ba8a9").bytes


async def subscribe(client: Client, instance_id: bytes) -> Any:
    return await client.send(GetTelemetrySubscriptionsRequest(client_instance_id=instance_id), 0)


async def push(client: Client, instance_id: bytes, subscription: int, **more: Any) -> int:
    request = PushTelemetryRequest(client_instance_id=instance_id, subscription_id=subscription, **more)
    code: int = (await client.send(request, 0)).error_code
    return code


def test_subscription_ids_are_kafkas() -> None:
    assert subscription_id([], INTERVAL_MS, CLIENT) == 1404007713


def test_subscribing_and_pushing(tmp_path: Path) -> None:
    async def main() -> None:
        clock = ManualClock()
        async with running_server(tmp_path) as running:
            client = await running.connect(running.add(clock=clock))
            fresh = await subscribe(client, uuids.ZERO)
            assert fresh.error_code == 0
            assert fresh.client_instance_id != uuids.ZERO

            answer = await subscribe(client, CLIENT)
            assert (answer.error_code, answer.client_instance_id, answer.subscription_id) == (0, CLIENT, 1404007713)
            assert (answer.push_interval_ms, answer.telemetry_max_bytes) == (INTERVAL_MS, 1048576)
            assert (answer.accepted_compression_types, answer.requested_metrics) == ([4, 3, 1, 2], [])
            assert answer.delta_temporality

            again = await subscribe(client, CLIENT)
            assert (again.error_code, again.client_instance_id, again.accepted_compression_types) == (
                89,
                uuids.ZERO,
                [],
            )

            assert await push(client, CLIENT, 1404007713) == 0
            assert await push(client, CLIENT, 1404007713) == 89
            clock.advance(INTERVAL_MS)
            assert await push(client, CLIENT, 5) == 117
            clock.advance(INTERVAL_MS)
            assert await push(client, CLIENT, 1404007713, compression_type=9) == 76
            clock.advance(INTERVAL_MS)
            assert await push(client, CLIENT, 1404007713, metrics=bytes(1048577)) == 118
            clock.advance(INTERVAL_MS)
            assert (await subscribe(client, CLIENT)).error_code == 0
            assert await push(client, CLIENT, 1404007713, terminating=True) == 0
            assert await push(client, CLIENT, 1404007713, terminating=True) == 42

            assert await push(client, uuids.ZERO, 0) == 42
            assert await push(client, uuid.UUID(int=7 << 64).bytes, 0) == 117

    trio.run(main)


def test_what_is_asked_for_follows_the_settings(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_server(tmp_path) as running:
            client = await running.connect(running.add())
            assert (await subscribe(client, CLIENT)).requested_metrics == []
            for name, match in (
                ("all", ""),
                ("mine", "client_id=te.*,client_source_address=127\\..*"),
                ("no", "client_id=x"),
            ):
                configs = [
                    AlterableConfig("interval.ms", 0, "1000" if name == "mine" else "2000"),
                    AlterableConfig("metrics", 0, f"org.{name}."),
                    AlterableConfig("match", 0, match),
                ]
                request = IncrementalAlterConfigsRequest(resources=[AlterConfigsResource(16, name, configs)])
                assert (await client.send(request, 1)).responses[0].error_code == 0
            changed = await subscribe(client, CLIENT)
            assert changed.error_code == 0, "a changed subscription is answered before the interval is over"
            assert sorted(changed.requested_metrics) == ["org.all.", "org.mine."]
            assert changed.push_interval_ms == 1000
            assert changed.subscription_id == subscription_id(changed.requested_metrics, 1000, CLIENT)

    trio.run(main)
