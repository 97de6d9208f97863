"""Errors in each API's own shape: every API and version that is served, through the codec and back."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from broker.faults.answers import (
    Element,
    Failure,
    elements,
    error_field_of_whole,
    layout_for,
    narrowed,
    response_elements,
    whole_error,
    with_errors,
)
from broker.faults.layouts import NAMES, Kind
from kwire import codec
from kwire.api_keys import ApiKey
from kwire.error_codes import ErrorCode
from kwire.messages import request_class, response_class
from kwire.schema import Struct, info_of
from tests.broker.faults.filled import filled, served

FAILURE = Failure(ErrorCode.KAFKA_STORAGE_ERROR, "a test's")
NAMED = {b"\x07" * 16: "by-id"}
SERVED = served()
APIS = pytest.mark.parametrize("api", list(SERVED), ids=[api.name for api in SERVED])


def _ids(element: Any) -> list[Any]:
    """What an element of an answer is known by, without defaults."""
    return [getattr(element, name) for names in NAMES.values() for name in names if hasattr(element, name)]


def _errors(message: Any) -> list[tuple[tuple[Any, ...], int]]:
    """(ids from the top down, code) of every error field that is set."""
    found: list[tuple[tuple[Any, ...], int]] = []

    def walk(each: Any, path: tuple[Any, ...]) -> None:
        for field in type(each).struct_fields:
            value = getattr(each, field.name)
            if field.name in ("error_code", "partition_error_code") and value:
                found.append((path, value))
            if isinstance(value, list):
                for item in value:
                    if isinstance(item, Struct):
                        walk(item, path)

    walk(message, ())
    return found


def _versions(api: ApiKey) -> list[int]:
    """All that the codec speaks, also those that only an older release's personality serves."""
    return info_of(request_class(api)).all_versions()


@APIS
def test_every_api_tells_an_error(api: ApiKey) -> None:
    for version in _versions(api):
        for named in (False, True):
            _tells_an_error(api, version, named)


def _tells_an_error(api: ApiKey, version: int, named: bool) -> None:
    request = codec.decode(request_class(api), version, codec.encode(filled(request_class(api), version), version))
    layout = layout_for(api, version, named=named)
    if layout is None:
        answer = whole_error(api, version, request, FAILURE)
        wanted = 1
    else:
        told = elements(request, layout, NAMED.get)
        assert told, "a filled request names something"
        answer = with_errors(
            response_class(api)(), layout, version, told, {each.key: FAILURE for each in told}, request, NAMED.get
        )
        wanted = len(told)
    back = codec.decode(response_class(api), version, codec.encode(answer, version))
    assert [code for _, code in _errors(back)] == [int(ErrorCode.KAFKA_STORAGE_ERROR)] * wanted
    if layout is None:
        if hasattr(request, "member_id") and hasattr(back, "member_id") and api is not ApiKey.LEAVE_GROUP:
            assert back.member_id == request.member_id
        return
    again = response_elements(request, back, layout, NAMED.get)
    assert [each.key for each in again] == [each.key for each in told], "the ids are the request's, in its order"
    assert [each.subject for each in again] == [each.subject for each in told] or layout.levels[0].response is None


@APIS
def test_some_elements_beside_what_was_answered(api: ApiKey) -> None:
    for version in _versions(api):
        _some_elements(api, version)


def _some_elements(api: ApiKey, version: int) -> None:
    layout = layout_for(api, version, named=True)
    if layout is None:
        return
    request = filled(request_class(api), version)
    told = elements(request, layout, NAMED.get)
    random = Random(f"{api.name} {version}")
    dropped = {each.key: FAILURE for each in told if random.random() < 0.5}
    smaller = narrowed(request, layout, set(dropped), NAMED.get)
    left = elements(smaller, layout, NAMED.get)
    if not any(level.kind is Kind.OTHER for level in layout.levels):
        assert [each.key for each in left] == [each.key for each in told if each.key not in dropped]
        assert elements(request, layout, NAMED.get) == told, "the request itself is as it was"
    other = Failure(ErrorCode.UNKNOWN_SERVER_ERROR)
    handlers = with_errors(
        response_class(api)(), layout, version, told, {each.key: other for each in told}, request, NAMED.get
    )
    answer = with_errors(handlers, layout, version, told, dropped, request, NAMED.get)
    codes = [code for _, code in _errors(codec.decode(response_class(api), version, codec.encode(answer, version)))]
    assert codes == [int(dropped.get(each.key, other).code) for each in told]


def test_a_rest_that_the_request_did_not_name_stays() -> None:
    from kwire.messages.metadata import MetadataRequest, MetadataResponse, MetadataResponseTopic

    layout = layout_for(ApiKey.METADATA, 9, named=False)
    assert layout is not None
    request = MetadataRequest(topics=None)
    handlers = MetadataResponse(topics=[MetadataResponseTopic(name=name) for name in ("a", "b", "c")])
    told: list[Element] = response_elements(request, handlers, layout, NAMED.get)
    failures = {each.key: FAILURE for each in told if each.subject.topic == "b"}
    answer = with_errors(handlers, layout, 9, told, failures, request, NAMED.get)
    assert [(topic.name, topic.error_code) for topic in answer.topics] == [("a", 0), ("b", 56), ("c", 0)]
    assert [topic.error_code for topic in handlers.topics] == [0, 0, 0]


def test_every_api_can_tell_an_error_somewhere() -> None:
    for api in SERVED:
        for version in _versions(api):
            assert (
                layout_for(api, version, named=False)
                or error_field_of_whole(api, version)
                or (api is ApiKey.DESCRIBE_LOG_DIRS and version < 3)
            ), (api.name, version)
