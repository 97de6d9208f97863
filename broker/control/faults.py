"""`/v1/clusters/{cluster}/faults`: fault rules."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from broker.control.plane import cluster_of
from broker.faults.faults import MOST_RULES, TooManyRulesError, UnknownRuleError
from broker.faults.rules import Rule
from broker.faults.spec import MOST_LIST, MOST_MS, MOST_TEXT, RuleError
from broker.http.endpoint import Call, ControlError, Endpoint

Text = Annotated[str, Meta(min_length=1, max_length=MOST_TEXT)]
Index = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Ms = Annotated[int, Meta(ge=0, le=MOST_MS)]
Passed = Annotated[int, Meta(ge=0, le=1_000_000_000)]
Moment = Annotated[int, Meta(ge=0, le=2**53)]
Lasting = Annotated[int, Meta(ge=1, le=10**12)]
Count = Annotated[int, Meta(ge=1, le=1_000_000_000)]
_PATTERN = "exact, or a pattern with *, ? and [...]"


class FaultRule(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What a rule matches, when it acts, and one action (delay_ms and throttle_ms may stand beside another)."""

    name: Annotated[str | None, Meta(description="to find it again by; no number")] = None
    api: Annotated[
        Text | Annotated[list[Text], Meta(min_length=1, max_length=MOST_LIST)] | None,
        Meta(description="Kafka's names of APIs (Produce), or patterns (*Group*); all without"),
    ] = None
    version: Annotated[int | str | None, Meta(description='"9", "3-7" or "9+"')] = None
    client_id: Annotated[Text | None, Meta(description=_PATTERN)] = None
    client_software: Annotated[
        Text | None, Meta(description=f"name, or name and version, as told in ApiVersions; {_PATTERN}")
    ] = None
    group: Annotated[Text | None, Meta(description=_PATTERN)] = None
    transactional_id: Annotated[Text | None, Meta(description=_PATTERN)] = None
    topic: Annotated[Text | None, Meta(description=_PATTERN)] = None
    partition: Index | Annotated[list[Index], Meta(min_length=1, max_length=MOST_LIST)] | None = None
    node: Annotated[
        Index | Annotated[list[Index], Meta(min_length=1, max_length=MOST_LIST)] | None,
        Meta(description="ids of the cluster's nodes"),
    ] = None
    listener: Annotated[Text | None, Meta(description=_PATTERN)] = None
    skip: Annotated[Passed | None, Meta(description="matches to let pass first")] = None
    every: Annotated[Count | None, Meta(description="of the rest, each n-th")] = None
    times: Annotated[Count | None, Meta(description="how often it acts at most")] = None
    probability: Annotated[float, Meta(ge=0, le=1)] | None = None
    seed: Annotated[int | None, Meta(description="of its chance; the same seed, the same course. 0 without")] = None
    for_ms: Annotated[Lasting | None, Meta(description="how long it holds, by the cluster's clock")] = None
    until_ms: Annotated[Moment | None, Meta(description="until when, by the cluster's clock; since 1970")] = None
    when: Annotated[
        Literal["before", "after"] | None, Meta(description="before (the default) or after the state changed")
    ] = None
    error: Annotated[Text | None, Meta(description="an error of Kafka's, by name: NOT_LEADER_OR_FOLLOWER")] = None
    message: Annotated[Text | None, Meta(description="with error, where the answer has a place for it")] = None
    delay_ms: Annotated[
        Ms | Annotated[list[Ms], Meta(min_length=2, max_length=2)] | None,
        Meta(description="so many milliseconds of the cluster's clock, or [least, most]"),
    ] = None
    throttle_ms: Annotated[
        Index | None, Meta(description="told to the client; its connection is not read meanwhile (KIP-219)")
    ] = None
    drop_connection: bool | None = None
    drop_request: Annotated[bool | None, Meta(description="not handled, not answered; the connection stays")] = None
    drop_reply: Annotated[bool | None, Meta(description="handled, not answered; the connection stays")] = None
    corrupt: Annotated[
        Annotated[int, Meta(ge=1, le=MOST_LIST)]
        | Annotated[list[Index], Meta(min_length=1, max_length=MOST_LIST)]
        | None,
        Meta(description="how many bytes of the answer's body are flipped, or which (offsets)"),
    ] = None
    truncate: Annotated[
        int | None,
        Meta(
            description="how many bytes of the answer are sent (its size counts), or, below 0, how many fewer; then"
            " the connection is closed"
        ),
    ] = None
    stall: Annotated[
        bool | int | None, Meta(description="held back until the rule is removed (true), or for so many milliseconds")
    ] = None
    disk_error: Annotated[
        Literal["append", "read", "sync"] | list[Literal["append", "read", "sync"]] | None,
        Meta(description="these operations fail with EIO on matching partitions"),
    ] = None
    disk_full: Annotated[bool | None, Meta(description="appends to matching partitions fail with ENOSPC")] = None
    connect: Annotated[
        Literal["refuse", "reset"] | None, Meta(description="new connections are closed at once, or reset")
    ] = None


class SeenRequest(msgspec.Struct):
    """A request of the rule's APIs. outcome: "fired"; "passed": matched, but let pass; "other": no match."""

    api: str
    version: int
    client_id: str | None
    about: str
    outcome: str
    at_ms: int


class FaultView(msgspec.Struct):
    """A rule at work.

    rule: as it was written, without defaults. state: "active", "spent" (it has acted `times` times) or "expired".
    matched: requests it was about while active. fired: how often it acted. holding: requests it holds back now.
    recent: the last requests of its APIs.
    """

    id: int
    name: str | None
    rule: dict[str, Any]
    state: Literal["active", "spent", "expired"]
    matched: int
    fired: int
    holding: int
    added_ms: int
    recent: list[SeenRequest]


class FaultList(msgspec.Struct):
    rules: list[FaultView]


def view(rule: Rule) -> FaultView:
    return FaultView(
        id=rule.id,
        name=rule.spec.name,
        rule=rule.spec.to_plain(),
        state=rule.state,
        matched=rule.matched,
        fired=rule.fired,
        holding=len(rule.stalled),
        added_ms=rule.added_ms,
        recent=[SeenRequest(s.api, s.version, s.client_id, s.about, s.outcome, s.at_ms) for s in rule.recent],
    )


def list_rules(call: Call) -> FaultList:
    return FaultList([view(rule) for rule in cluster_of(call).faults.all()])


def add_rule(call: Call, body: FaultRule) -> FaultView:
    try:
        return view(cluster_of(call).faults.add(msgspec.to_builtins(body)))
    except RuleError as error:
        raise ControlError(400, "invalid_rule", f"body.{error.field}: {error}", allowed=error.allowed) from None
    except TooManyRulesError as error:
        raise ControlError(409, "too_many_rules", str(error)) from None


def show_rule(call: Call) -> FaultView:
    faults = cluster_of(call).faults
    try:
        return view(faults.get(call.path["rule"]))
    except UnknownRuleError as error:
        raise _unknown(error) from None


def remove_rule(call: Call) -> FaultView:
    faults = cluster_of(call).faults
    try:
        return view(faults.remove(call.path["rule"]))
    except UnknownRuleError as error:
        raise _unknown(error) from None


def clear_rules(call: Call) -> FaultList:
    return FaultList([view(rule) for rule in cluster_of(call).faults.clear()])


def _unknown(error: UnknownRuleError) -> ControlError:
    return ControlError(404, "unknown_rule", str(error), allowed=error.known)


_PATH = "/v1/clusters/{cluster}/faults"
_RULE = _PATH + "/{rule}"

endpoints = [
    Endpoint("GET", _PATH, list_rules, answer=FaultList, summary="A cluster's fault rules", tag="faults"),
    Endpoint(
        "POST",
        _PATH,
        add_rule,
        body=FaultRule,
        answer=FaultView,
        status=201,
        summary="Add a fault rule",
        description="Of the requests that match, the first `skip` pass, then each `every`-th is up, `probability`"
        " decides, and after `times` the rule is spent. Rules are asked in the order they were added; all that match"
        f" act, until one ends the matter. At most {MOST_RULES} in a cluster.",
        tag="faults",
    ),
    Endpoint(
        "DELETE",
        _PATH,
        clear_rules,
        answer=FaultList,
        summary="Remove all fault rules of a cluster",
        description="What they held back goes on. The answer is the rules as they were.",
        tag="faults",
    ),
    Endpoint("GET", _RULE, show_rule, answer=FaultView, summary="A fault rule, by id or name", tag="faults"),
    Endpoint(
        "DELETE",
        _RULE,
        remove_rule,
        answer=FaultView,
        summary="Remove a fault rule, by id or name",
        description="What it held back goes on; partitions that its disk errors put offline are opened again.",
        tag="faults",
    ),
]
