"""Random messages exchanged with Kafka's own serializers, both ways, byte for byte. Needs Java and Kafka's jars."""

from __future__ import annotations

import random

import pytest

from kwire import codec
from kwire.schema import info_of
from tests.kwire.java_exchange import JARS, PAST_JAR, Item, current_jars, exchange, past_jars, why_not
from tests.kwire.samples import all_versions, fill, to_json

pytestmark = pytest.mark.java


@pytest.mark.parametrize("past", [False, True], ids=["kafka-4.3.1", "kafka-3.9.1"])
def test_exchange(past: bool, long_form: bool) -> None:
    jars = past_jars() if past else current_jars()
    for jar in (PAST_JAR if past else JARS, JARS):
        reason = why_not(jar)
        if reason:
            pytest.skip(reason)
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    messages, items = [], []
    for cls, version in all_versions():
        low, high = info_of(cls).versions
        if (low <= version <= high) == past:
            continue
        for number in range(20 if long_form else 2):
            message = fill(cls, version, rng, unknown_tags=False)
            messages.append(message)
            if number % 2:  # the JSON has no unknown tagged fields, so only the bytes do
                tagged = fill(cls, version, rng)
                items.append(Item(cls, version, to_json(message, version), codec.encode(tagged, version)))
            else:
                items.append(Item(cls, version, to_json(message, version), codec.encode(message, version)))
    for message, item, answer in zip(messages, items, exchange(items, jars), strict=True):
        where = f"{item.cls.__name__} v{item.version}, seed {seed}"
        assert answer.filled == codec.encode(message, item.version), where
        assert codec.decode(item.cls, item.version, answer.filled) == message, where
        assert answer.rewritten == item.data, where
