"""Every API and version that is served, through a connection: an error by rule, for all and for a part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from broker.faults.answers import elements, layout_for, response_elements
from broker.routes import api_name
from kwire.api_keys import ApiKey
from kwire.error_codes import ErrorCode
from kwire.messages import request_class
from kwire.schema import Struct
from tests.broker.faults.fault_helpers import Faulty, faulty
from tests.broker.faults.filled import filled, served

# One that no handler gives.
CODE = ErrorCode.STALE_BROKER_EPOCH
SERVED = served()


def _codes(message: Any) -> list[int]:
    found = []
    for field in type(message).struct_fields:
        value = getattr(message, field.name)
        if field.name in ("error_code", "partition_error_code"):
            found.append(value)
        for item in value if isinstance(value, list) else ():
            if isinstance(item, Struct):
                found += _codes(item)
    return found


def _request(api: ApiKey, version: int) -> Any:
    request = filled(request_class(api), version)
    if api is ApiKey.PRODUCE:
        request.acks = 1
        request.transactional_id = None
    elif api is ApiKey.FETCH:
        request.session_id, request.session_epoch = 0, -1
    return request


async def _asked(plane: Faulty, api: ApiKey, version: int) -> Any:
    request = _request(api, version)
    client = await plane.connect()
    try:
        return await client.send(request, version)
    finally:
        await client.stream.aclose()


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_error_for_all(tmp_path: Path, when: str) -> None:
    async def main() -> None:
        async with faulty(tmp_path) as plane:
            for api, versions in SERVED.items():
                if when == "after" and layout_for(api, versions.last, named=True) is None:
                    continue  # the handler would act on what makes no sense, and its answer is thrown away
                rule = plane.faults.add({"api": api_name(api), "error": CODE.name, "when": when})
                for version in range(versions.first, versions.last + 1):
                    codes = _codes(await _asked(plane, api, version))
                    assert int(CODE) in codes, (api.name, version, codes)
                    layout = layout_for(api, version, named=False)
                    if layout is not None and when == "before":
                        assert set(codes) <= {int(CODE), 0}, (api.name, version, codes)
                assert rule.fired == versions.last - versions.first + 1, api.name
                plane.faults.clear()

    trio.run(main)


def test_an_error_for_a_part_and_the_handlers_answer_for_the_rest(tmp_path: Path) -> None:
    async def main() -> None:
        async with faulty(tmp_path) as plane:
            tried = 0
            for api, versions in SERVED.items():
                for version in range(versions.first, versions.last + 1):
                    tried += await _part(plane, api, version)
            assert tried > 60

    trio.run(main)


async def _part(plane: Faulty, api: ApiKey, version: int) -> bool:
    layout = layout_for(api, version, named=True)
    if layout is None:
        return False
    request = _request(api, version)
    subjects = [each.subject for each in elements(request, layout, lambda _id: None)]
    one = subjects[-1]
    filters = {
        name: getattr(one, name)
        for name in ("topic", "partition", "group", "transactional_id")
        if getattr(one, name) is not None
    }
    if not filters or all(subject == one for subject in subjects):
        return False
    if "topic" not in filters and "partition" in filters:
        return False  # by topic id: of topics that are not there
    rule = plane.faults.add({"api": api_name(api), "error": CODE.name, **filters})
    try:
        answer = await _asked(plane, api, version)
        assert rule.fired == 1, (api.name, version)
        told = response_elements(request, answer, layout, lambda _id: None)
        # What these say of the whole, in their handlers' answer, is that there is no such group or quorum.
        if api not in (ApiKey.OFFSET_FETCH, ApiKey.OFFSET_DELETE, ApiKey.DESCRIBE_QUORUM):
            assert len(told) >= len(subjects), (api.name, version)
        codes = [code for code in _codes(answer) if code == CODE]
        assert len(codes) == sum(subject == one for subject in subjects), (api.name, version, answer)
    finally:
        plane.faults.clear()
    return True
