"""Topics read out of a consumer's subscription."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.group.subscription import subscribed_topics
from kwire import codec
from kwire.errors import DecodeError
from kwire.internal.consumer_protocol import ConsumerProtocolSubscription

NAMES = st.lists(st.text("abcdefghijklmnopqrstuvwxyz-._", min_size=1, max_size=249), max_size=5)


@given(NAMES, st.integers(0, 3), st.binary(max_size=20))
def test_every_version(names: list[str], version: int, user_data: bytes) -> None:
    declared = ConsumerProtocolSubscription(topics=names, user_data=user_data)
    assert subscribed_topics(version.to_bytes(2, "big") + codec.encode(declared, version)) == names


@given(st.binary(max_size=60))
def test_anything_else_is_a_decode_error(data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        subscribed_topics(data)


@given(NAMES.filter(bool), st.data())
def test_truncated(names: list[str], data: st.DataObject) -> None:
    whole = b"\x00\x00" + codec.encode(ConsumerProtocolSubscription(topics=names), 0)
    cut = data.draw(st.integers(0, len(whole) - 5))
    with pytest.raises(DecodeError):
        subscribed_topics(whole[:cut])
