"""What a test gives becomes what the control plane takes, or is refused with what would do."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kwire.testing import Message
from kwire.testing.topic_specs import topic_bodies
from kwire.testing.values import record_of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=10,
)


def written(body: dict[str, Any], name: str) -> bytes | None:
    """The bytes that the control plane makes of a body's field, as its documentation says."""
    if f"{name}_base64" in body:
        return base64.b64decode(body[f"{name}_base64"])
    return body[name].encode() if name in body else None


@given(st.binary(), JSON)
def test_bytes_stay_and_json_is_read_back(raw: bytes, value: Any) -> None:
    body = json.loads(json.dumps(Message(value, raw).body()))
    assert written(body, "key") == raw
    got = written(body, "value")
    if isinstance(value, str):
        assert got == value.encode()
    elif value is None:
        assert got is None
    else:
        assert got is not None
        assert json.loads(got) == value


def test_what_has_no_json_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        Message({"a": object()}).body()
    assert Message("a", headers={"trace": b"\xff"}).body()["headers"] == [{"name": "trace", "value_base64": "/w=="}]


def test_a_record_of_an_answer() -> None:
    view = {
        "partition": 1,
        "offset": 7,
        "timestamp_ms": 5,
        "key": None,
        "key_encoding": "null",
        "value": base64.b64encode(b"\xff").decode(),
        "value_encoding": "base64",
        "headers": [
            {"name": "a", "value": "ü", "encoding": "text"},
            {"name": "a", "value": "/w==", "encoding": "base64"},
        ],
    }
    record = record_of("orders", view)
    assert (record.key, record.value, record.key_text) == (None, b"\xff", None)
    assert record.header_list == (("a", "ü".encode()), ("a", b"\xff"))
    assert record.headers == {"a": b"\xff"}


def test_topics_in_each_form() -> None:
    assert topic_bodies(["a", {"name": "b", "partitions": 2}]) == [{"name": "a"}, {"name": "b", "partitions": 2}]
    given = {"a": 3, "b": None, "c": {"configs": {"preallocate": True, "retention.ms": 5, "cleanup.policy": "compact"}}}
    assert topic_bodies(given) == [
        {"name": "a", "partitions": 3},
        {"name": "b"},
        {"name": "c", "configs": {"preallocate": "true", "retention.ms": "5", "cleanup.policy": "compact"}},
    ]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("orders", "orders"),
        ({"orders": "6"}, "orders"),
        ({"orders": [6]}, "orders"),
        (3, "topics are a list or a dict"),
        ({"orders": {"configs": ["a"]}}, "configs are a dict"),
    ],
)
def test_what_is_no_topics(given: Any, told: str) -> None:
    with pytest.raises(TypeError, match=told):
        topic_bodies(given)
