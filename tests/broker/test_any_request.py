"""Any request that can be sent, of every API and version served, is answered: no handler fails on odd values."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import trio

from kwire.api_keys import ApiKey
from kwire.messages import request_class
from kwire.messages.api_versions import ApiVersionsRequest
from kwire.messages.metadata import MetadataRequest
from tests.broker.cluster_helpers import batch, running_server
from tests.kwire.samples import Filler

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
    "1",
    "-1",
    "x" * 250,
]
# They are answered when others have joined, or never: whether the connection lives is asked over another.
MAY_WAIT = (ApiKey.JOIN_GROUP, ApiKey.SYNC_GROUP)


class Plausible(Filler):
    """Values that mean something to a handler, mostly."""

    ids: list[bytes]

    def plain(self, kind: str) -> Any:
        rng = self.rng
        if kind == "string":
            return rng.choice(NAMES)
        if kind == "uuid":
            return rng.choice(self.ids)
        if kind in ("int8", "int16", "int32", "int64"):
            top = 2 ** (int(kind[3:]) - 1) - 1
            return rng.choice((-2, -1, 0, 0, 1, 1, 2, 3, 5, 100, top, -top - 1))
        if kind == "records" and rng.random() < 0.8:
            return batch(b"x", b"y")
        return super().plain(kind)


def test_any_request_is_answered(tmp_path: Path, long_form: bool, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with running_server(tmp_path) as running:
            cluster = running.add()
            client = await running.connect(cluster)
            await client.create_topic("a", partitions=2)
            served = (await client.send(ApiVersionsRequest(), 0)).api_keys
            known = (await client.send(MetadataRequest(topics=None), 12)).topics
            for seed in range(20 if long_form else 2):
                filler = Plausible(random.Random(seed))
                filler.ids = [bytes(16), b"?" * 16, *(topic.topic_id for topic in known)]
                filler.arrays = filler.structs = (0, 1, 1, 2)
                for api in served:
                    key = ApiKey(api.api_key)
                    for version in range(max(api.min_version, 3 if key is ApiKey.PRODUCE else 0), api.max_version + 1):
                        request: Any = filler.message(request_class(key), version)
                        if key is ApiKey.FETCH:
                            request.max_wait_ms = 0
                        if key is ApiKey.PRODUCE:
                            request.acks = request.acks or 1
                        try:
                            if key in MAY_WAIT:
                                other = await running.connect(cluster)
                                await other.send_only(request, version)
                                await client.send(ApiVersionsRequest(), 0)
                                await other.stream.aclose()
                            else:
                                await client.send(request, version)
                        except EOFError:
                            raise AssertionError(f"seed {seed}, {key.name} version {version}: {request}") from None

    trio.run(main)
    bugs = [record for record in caplog.records if record.exc_info]
    assert not bugs, caplog.text
