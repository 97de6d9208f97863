"""Bodies and queries of every endpoint: whatever comes is read, or refused with 400."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import inspect

from broker.control.table import table
from broker.http.bodies import Body, Query
from broker.http.endpoint import ControlError, Endpoint

WITH_BODY = [each for each in table() if each.body is not None]
WITH_QUERY = [each for each in table() if each.query is not None]


def named(endpoint: Endpoint) -> str:
    return f"{endpoint.method} {endpoint.path}"


def names(wanted: Any) -> list[str]:
    """Fields of a Struct."""
    described = inspect.type_info(wanted)
    return [each.encode_name for each in described.fields] if isinstance(described, inspect.StructType) else []


def outcome(read: Callable[[Any], Any], data: Any) -> tuple[Any, ControlError | None]:
    """What was read, or the refusal; any other error is passed on."""
    try:
        return read(data), None
    except ControlError as refused:
        return None, refused


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize("endpoint", WITH_BODY, ids=named)
@settings(max_examples=30)
@given(st.data())
def test_any_json_is_read_or_refused(endpoint: Endpoint, data: st.DataObject) -> None:
    fields = st.sampled_from([*names(endpoint.body), "other"])
    value = data.draw(st.dictionaries(fields, VALUES, max_size=4) | VALUES)
    body, refused = outcome(Body(endpoint.body).read, json.dumps(value).encode())
    if refused is None:
        # What was read says the same when it is written and read again.
        assert Body(endpoint.body).read(msgspec.json.encode(body)) == body
    else:
        assert (refused.status, refused.code) == (400, "invalid_body")
        assert refused.message
        json.dumps(refused.allowed)


@pytest.mark.parametrize("endpoint", WITH_BODY, ids=named)
@settings(max_examples=20)
@given(st.binary(max_size=30))
def test_any_bytes_are_read_or_refused(endpoint: Endpoint, data: bytes) -> None:
    _, refused = outcome(Body(endpoint.body).read, data)
    assert refused is None or (refused.status == 400 and refused.code in ("invalid_body", "invalid_json"))


@pytest.mark.parametrize("endpoint", WITH_QUERY, ids=named)
@settings(max_examples=30)
@given(st.data())
def test_any_query_is_read_or_refused(endpoint: Endpoint, data: st.DataObject) -> None:
    fields = st.sampled_from([*names(endpoint.query), "other"])
    pairs = data.draw(st.lists(st.tuples(fields, st.text(max_size=5)), max_size=4))
    text = data.draw(st.just(urlencode(pairs)) | st.text(st.characters(max_codepoint=127), max_size=20))
    _, refused = outcome(Query(endpoint.query).read, text)
    assert refused is None or (refused.status, refused.code) == (400, "invalid_query")


@pytest.mark.parametrize("endpoint", [*WITH_BODY, *WITH_QUERY], ids=named)
def test_unknown_fields_are_refused(endpoint: Endpoint) -> None:
    """Everywhere, with what is known."""
    for wanted, read in ((endpoint.body, _body), (endpoint.query, _query)):
        if wanted is not None:
            with pytest.raises(ControlError) as refused:
                read(wanted)
            assert set(refused.value.allowed or ()) == set(names(wanted))


def _body(wanted: Any) -> None:
    Body(wanted).read(b'{"no_such_field": 1}')


def _query(wanted: Any) -> None:
    Query(wanted).read("no_such_field=1")
