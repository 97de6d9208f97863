"""Any request in a version that 4.0 removed is answered: no handler fails on odd values."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import trio

from broker.personality.personality import Personality
from kwire.api_keys import ApiKey
from kwire.messages import request_class
from kwire.messages.metadata import MetadataRequest
from kwire.records.compression import Codec
from kwire.records.legacy import write_message_set
from kwire.records.record import Record
from tests.broker.cluster_helpers import batch, running_server
from tests.broker.personality.test_old_versions import create
from tests.broker.test_any_request import Plausible


class OldPlausible(Plausible):
    """Records may be of any format."""

    def plain(self, kind: str) -> Any:
        if kind == "records":
            records = [Record(at, -1, b"k", b"v") for at in range(3)]
            choices = [
                b"",
                b"nonsense",
                batch(b"x", b"y"),
                *(
                    write_message_set(records, magic=magic, codec=codec)
                    for magic in (0, 1)
                    for codec in list(Codec)[:4]
                ),
            ]
            return self.rng.choice(choices)
        return super().plain(kind)


def test_any_request_of_a_removed_version_is_answered(
    tmp_path: Path, long_form: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with running_server(tmp_path) as running:
            cluster = running.add(kwire_as_version="3.9")
            today = {line.api_key: line.served for line in running.add("today").dispatcher._routes.values()}
            client = await running.connect(cluster)
            await create(client, "a")
            known = (await client.send(MetadataRequest(topics=None), 12)).topics
            personality = Personality.of("3.9")
            assert personality is not None
            asked = 0
            for seed in range(40 if long_form else 4):
                filler = OldPlausible(random.Random(seed))
                filler.ids = [bytes(16), *(topic.topic_id for topic in known)]
                filler.arrays = filler.structs = (0, 1, 1, 2)
                for key, served in today.items():
                    removed = range(served.first) if int(key) in personality.ranges else range(0)
                    for version in removed:
                        request: Any = filler.message(request_class(key), version)
                        if key is ApiKey.FETCH:
                            request.max_wait_ms = 0
                        if key is ApiKey.PRODUCE:
                            request.acks = request.acks or 1
                        try:
                            await client.send(request, version)
                        except EOFError:
                            raise AssertionError(
                                f"seed {seed}: no answer to {request!r} of version {version}"
                            ) from None
                        asked += 1
            assert asked > 60

    trio.run(main)
    assert not [record for record in caplog.records if record.exc_info], caplog.text
