"""Matching and counting: pure, the same for the same seed; what may be written, and what is told of the rest."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.faults.answers import Subject
from broker.faults.rules import Facts, Rule
from broker.faults.spec import PRINCIPAL, RuleError, RuleSpec, parse
from broker.routes import Route, table
from kwire.api_keys import ApiKey
from tests.broker.faults.filled import served_routes

ROUTES: dict[int, Route] = table(served_routes())
FACTS = Facts(version=9, client_id="c", software_name="java", software_version="4.1", node=1, listener="L")


def rule(**given: Any) -> Rule:
    return Rule(1, parse({"drop_reply": True} | given, ROUTES))


@given(
    skip=st.integers(0, 5),
    every=st.integers(1, 4),
    times=st.none() | st.integers(1, 4),
    probability=st.sampled_from([1.0, 0.5, 0.0]),
    seed=st.integers(0, 3),
    count=st.integers(0, 40),
)
def test_counting(skip: int, every: int, times: int | None, probability: float, seed: int, count: int) -> None:
    def course() -> tuple[list[bool], Rule]:
        one = rule(skip=skip, every=every, times=times, probability=probability, seed=seed)
        acts = []
        for _ in range(count):
            if one.is_over(0.0, 0):
                break
            acts.append(one.take())
        return acts, one

    acts, one = course()
    assert acts == course()[0], "the same seed, the same course"
    assert one.fired == sum(acts)
    assert one.matched == len(acts)
    assert not any(acts[:skip])
    up = [index for index in range(len(acts)) if index >= skip and (index - skip) % every == 0]
    assert all(index in up for index, acted in enumerate(acts) if acted)
    if probability == 1.0:
        assert [index for index, acted in enumerate(acts) if acted] == up[: times if times is not None else None]
    if probability == 0.0:
        assert one.fired == 0
    if times is not None:
        assert one.fired <= times
        assert one.is_spent == (one.fired == times)
        assert one.state == ("spent" if one.fired == times else "active")
        assert len(acts) == count or acts[-1], "a spent rule counts no more"


@given(added_ms=st.integers(0, 10**6), for_ms=st.integers(1, 10**6), later_ms=st.integers(0, 2 * 10**6))
def test_expiry(added_ms: int, for_ms: int, later_ms: int) -> None:
    one = rule(for_ms=for_ms)
    one.expires_ms = float(added_ms + for_ms)
    assert one.is_over(added_ms + later_ms, 0) == (later_ms >= for_ms)
    if later_ms >= for_ms:
        assert one.state == "expired"
        assert one.is_over(0.0, 0), "what is over stays over"
    wall = rule(until_ms=for_ms)
    wall.expires_at_ms = for_ms
    assert wall.is_over(0.0, later_ms) == (later_ms >= for_ms)


@pytest.mark.parametrize(
    ("filters", "fits"),
    [
        ({}, True),
        ({"version": "9"}, True),
        ({"version": "3-8"}, False),
        ({"version": "9+"}, True),
        ({"client_id": "c"}, True),
        ({"client_id": "[ab]"}, False),
        ({"client_id": "?"}, True),
        ({"client_software": "java"}, True),
        ({"client_software": "java 4.*"}, True),
        ({"client_software": "java 3.*"}, False),
        ({"node": [1, 2]}, True),
        ({"node": 2}, False),
        ({"listener": "l"}, False),
        ({"listener": "L", "client_id": "d"}, False),
    ],
)
def test_matching_from_outside(filters: dict[str, Any], fits: bool) -> None:
    assert rule(api="Produce", **filters).fits(FACTS) is fits


@pytest.mark.parametrize(
    ("filters", "subject", "fits"),
    [
        ({"topic": "a"}, Subject("a", 0), True),
        ({"topic": "a*"}, Subject("ab", 0), True),
        ({"topic": "a"}, Subject("A", 0), False),
        ({"topic": "a[1]"}, Subject("a[1]"), True),
        ({"topic": "a"}, Subject(group="a"), False),
        ({"partition": [0, 2]}, Subject("a", 2), True),
        ({"partition": 0}, Subject("a", 2), False),
        ({"partition": 0}, Subject("a"), False),
        ({"topic": "a", "partition": 1}, Subject("b", 1), False),
        ({"group": "g"}, Subject("a", 1, "g"), True),
        ({"group": "g", "topic": "b"}, Subject("a", 1, "g"), False),
        ({"transactional_id": "t-?"}, Subject(transactional_id="t-1"), True),
    ],
)
def test_matching_of_parts(filters: dict[str, Any], subject: Subject, fits: bool) -> None:
    assert rule(**filters).fits_subject(subject) is fits


def test_a_client_without_an_id_fits_no_pattern() -> None:
    nobody = Facts(9, None, "", "", 1, "L")
    assert not rule(client_id="*").fits(nobody)
    assert rule().fits(nobody)


def test_which_apis_are_meant() -> None:
    assert rule(api="produce").spec.keys == {ApiKey.PRODUCE}
    assert ApiKey.CONSUMER_GROUP_HEARTBEAT in rule(api="*heartbeat*").spec.keys
    assert rule(api=["Produce", "Fetch"]).spec.keys == {ApiKey.PRODUCE, ApiKey.FETCH}
    assert rule().spec.keys == {ApiKey(key) for key in ROUTES}
    topics = rule(topic="t").spec.keys
    assert {ApiKey.PRODUCE, ApiKey.METADATA, ApiKey.DESCRIBE_CONFIGS, ApiKey.DELETE_TOPICS} <= topics
    assert ApiKey.HEARTBEAT not in topics
    assert ApiKey.HEARTBEAT in rule(group="g").spec.keys
    assert ApiKey.FIND_COORDINATOR in rule(transactional_id="g").spec.keys


@given(size=st.integers(0, 300), wanted=st.integers(1, 50), seed=st.integers(0, 5))
def test_corruption_flips_what_it_says(size: int, wanted: int, seed: int) -> None:
    body = bytes(range(256)) * 2
    body = body[:size]
    given = {"drop_reply": False, "corrupt": wanted, "seed": seed}
    first = bytes(rule(**given).corrupted(bytearray(body)))
    assert first == bytes(rule(**given).corrupted(bytearray(body)))
    assert sum(a != b for a, b in zip(first, body, strict=True)) == min(wanted, size)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=6,
)
FIELDS = [name for name in RuleSpec.__slots__ if name not in ("keys", "versions", "__weakref__")]


@given(
    st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=5), JSON, max_size=5),
    st.sampled_from(
        [{}, {"error": "NOT_LEADER_OR_FOLLOWER"}, {"delay_ms": 5}, {"drop_reply": True}, {"disk_full": True}]
    ),
)
def test_any_json_is_a_rule_or_refused(given: dict[str, Any], action: dict[str, Any]) -> None:
    try:
        spec = parse(given | action, ROUTES)
    except RuleError:
        return
    plain = spec.to_plain()
    assert parse(json.loads(json.dumps(plain)), ROUTES) == spec, "a rule says what it is"


def test_each_action_alone() -> None:
    values: dict[str, Any] = {
        "error": "UNKNOWN_SERVER_ERROR",
        "corrupt": 1,
        "truncate": 0,
        "disk_error": "read",
        "connect": "reset",
        "stall": 5,
    }
    for one in PRINCIPAL:
        assert parse({one: values.get(one, True)}, ROUTES)
        for other in PRINCIPAL:
            if other != one:
                with pytest.raises(RuleError, match="exclude each other"):
                    parse({one: values.get(one, True), other: values.get(other, True)}, ROUTES)


@pytest.mark.parametrize("action", [{"disk_full": True}, {"disk_error": "append"}])
def test_a_disk_rule_that_would_never_act_is_refused(action: dict[str, Any]) -> None:
    with pytest.raises(RuleError, match="the metadata log is left alone"):
        parse({"topic": "__cluster_metadata", **action}, ROUTES)
