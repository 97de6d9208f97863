"""Errors in each API's own shape, beside what the handler answers for the rest.

A request is seen as a list of elements (`elements`): the partitions, topics, groups, resources it names, each with
what it is about (`Subject`). `narrowed` takes elements out of a request; `with_errors` gives a response in which some
elements have an error and the others what the handler said, in the request's order; `whole_error` is the answer where
an error is for the whole. All of it follows from the layouts and the message classes; nothing here changes a message in
place, as handlers may keep theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from attrs import define, field

from broker.faults.layouts import NAMES, Kind, Layout, Level, field_of, in_version, layouts_of
from kwire.api_keys import ApiKey
from kwire.error_codes import ErrorCode
from kwire.messages import response_class
from kwire.schema import Struct
from kwire.uuids import ZERO

_TOPIC_RESOURCE: Final = 2
_GROUP_RESOURCE: Final = 32
_GROUP_KEY: Final = 0
_TRANSACTION_KEY: Final = 1
_ERROR_FIELDS: Final = ("error_code", "partition_error_code")
_MINUS_ONE: Final = frozenset(
    (
        "base_offset",
        "committed_offset",
        "end_offset",
        "generation_id",
        "high_watermark",
        "low_watermark",
        "node_id",
        "offset",
        "port",
        "producer_epoch",
        "producer_id",
        "timestamp",
    )
)
"""What is told as unknown beside an error, whatever the schema's default is."""
_DESCRIBED: Final = 5
_SHOWN: Final = 249
_ECHOED: Final = ("member_id", "client_instance_id", "endpoint_type")
"""Fields of the whole that an error answer repeats."""

Key = tuple[object, ...]
Resolve = Callable[[bytes], "str | None"]


@define(slots=True, frozen=True)
class Subject:
    """What a part of a request is about; None: nothing of that kind."""

    topic: str | None = None
    partition: int | None = None
    group: str | None = None
    transactional_id: str | None = None


@define(slots=True, frozen=True)
class Element:
    """key: the ids along the answered levels. sources: the objects that hold them, one for each of these levels."""

    key: Key
    sources: tuple[Any, ...]
    subject: Subject


@define(slots=True)
class _Node:
    source: Any
    children: dict[object, _Node] = field(factory=dict)
    failed: bool = False


def copied(message: Any) -> Any:
    """A shallow copy of a struct."""
    cls = type(message)
    made: Any = object.__new__(cls)
    for each in cls.struct_fields:
        setattr(made, each.name, getattr(message, each.name))
    made.unknown_tagged_fields = message.unknown_tagged_fields
    return made


def whole_subject(request: Any) -> Subject:
    """What a request as a whole is about: its group and transactional id."""
    if request is None:
        return Subject()
    group = getattr(request, "group_id", None) or None
    transactional_id = (
        getattr(request, "transactional_id", None) or getattr(request, "v3_and_below_transactional_id", None) or None
    )
    if type(request).__name__ == "FindCoordinatorRequest" and request.key:
        return Subject(
            group=request.key if request.key_type == _GROUP_KEY else None,
            transactional_id=request.key if request.key_type == _TRANSACTION_KEY else None,
        )
    return Subject(group=group, transactional_id=transactional_id)


def elements(request: Any, layout: Layout, resolve: Resolve) -> list[Element]:
    """The elements a request names, in its order. resolve: the name of a topic id, or None."""
    found: list[Element] = []
    key_type = getattr(request, "key_type", _GROUP_KEY)

    def walk(message: Any, depth: int, key: Key, sources: tuple[Any, ...], subject: Subject) -> None:
        if depth == len(layout.levels):
            found.append(Element(key, sources, subject))
            return
        level = layout.levels[depth]
        for position, item in enumerate(getattr(message, level.request) or ()):
            about, own = _identify(level, item, position, subject, resolve, key_type)
            if level.response is None:
                walk(item, depth + 1, key, sources, about)
            else:
                walk(item, depth + 1, (*key, own), (*sources, item), about)

    walk(request, 0, (), (), whole_subject(request))
    return found


def described(api: ApiKey, version: int, request: Any, resolve: Resolve) -> str:
    """What a request is about, for people: `orders-0, orders-1` or `group billing`."""
    found = layouts_of(api, version)
    subjects = [each.subject for each in elements(request, found[0], resolve)] if found else [whole_subject(request)]
    texts = [_text_of(each) for each in subjects[:_DESCRIBED]]
    if len(subjects) > _DESCRIBED:
        texts.append(f"and {len(subjects) - _DESCRIBED} more")
    return ", ".join(text for text in texts if text)


def _text_of(subject: Subject) -> str:
    parts = []
    if subject.group is not None:
        parts.append(f"group {subject.group[:_SHOWN]}")
    if subject.transactional_id is not None:
        parts.append(f"transactional id {subject.transactional_id[:_SHOWN]}")
    if subject.topic is not None:
        topic = subject.topic[:_SHOWN]
        parts.append(topic if subject.partition is None else f"{topic}-{subject.partition}")
    return " ".join(parts)


def response_elements(request: Any, response: Any, layout: Layout, resolve: Resolve) -> list[Element]:
    """The elements a response tells of: of a request that named none (all topics, a fetch session)."""
    found: list[Element] = []
    levels = layout.answered
    key_type = getattr(request, "key_type", _GROUP_KEY)

    def walk(message: Any, depth: int, key: Key, sources: tuple[Any, ...], subject: Subject) -> None:
        if depth == len(levels):
            found.append(Element(key, sources, subject))
            return
        level = levels[depth]
        for position, item in enumerate(getattr(message, level.response or "") or ()):
            about, own = _identify(level, item, position, subject, resolve, key_type)
            walk(item, depth + 1, (*key, own), (*sources, item), about)

    walk(response, 0, (), (), whole_subject(request))
    return found


def _identify(
    level: Level, item: Any, position: int, subject: Subject, resolve: Resolve, key_type: int
) -> tuple[Subject, object]:
    """What an item is about, given what stands above it, and by what it is known among its neighbours."""
    kind = level.kind
    if kind is Kind.PARTITION:
        index = item if isinstance(item, int) else _first(item, NAMES[kind])
        return Subject(subject.topic, index, subject.group, subject.transactional_id), index
    if kind is Kind.TOPIC:
        name, topic_id = _topic(item)
        if not name and topic_id != ZERO:
            name = resolve(topic_id)
        return Subject(name or None, None, subject.group, subject.transactional_id), name or topic_id
    if kind is Kind.GROUP:
        group = item if isinstance(item, str) else item.group_id
        return Subject(group=group), group
    if kind is Kind.TRANSACTION:
        transactional_id = item if isinstance(item, str) else item.transactional_id
        return Subject(transactional_id=transactional_id), transactional_id
    if kind is Kind.COORDINATOR:
        key = item if isinstance(item, str) else item.key
        if key_type == _GROUP_KEY:
            return Subject(group=key), key
        return Subject(transactional_id=key if key_type == _TRANSACTION_KEY else None), key
    if kind is Kind.RESOURCE:
        topic = item.resource_name if item.resource_type == _TOPIC_RESOURCE else None
        group = item.resource_name if item.resource_type == _GROUP_RESOURCE else None
        return Subject(topic=topic, group=group), (item.resource_type, item.resource_name)
    return subject, _other_key(item, position)


def _other_key(item: Any, position: int) -> object:
    if hasattr(item, "member_id"):
        return (item.member_id, item.group_instance_id)
    named = _first(item, ("user", "name", "producer_id"))
    return position if named is None else named


def _first(item: Any, names: Iterable[str]) -> Any:
    for name in names:
        value = getattr(item, name, None)
        if value is not None:
            return value
    return None


def _topic(item: Any) -> tuple[str | None, bytes]:
    if isinstance(item, str):
        return item, ZERO
    for name in ("name", "topic", "topic_name"):
        value = getattr(item, name, None)
        if value:
            return value, getattr(item, "topic_id", ZERO)
    return None, getattr(item, "topic_id", ZERO)


# -- taking out, putting in


def narrowed(request: Any, layout: Layout, keys: set[Key], resolve: Resolve) -> Any:
    """A copy of a request without the elements of these keys; what is left empty by that goes too."""
    key_type = getattr(request, "key_type", _GROUP_KEY)

    def walk(message: Any, depth: int, key: Key, subject: Subject) -> Any:
        level = layout.levels[depth]
        kept = []
        for position, item in enumerate(getattr(message, level.request) or ()):
            about, own = _identify(level, item, position, subject, resolve, key_type)
            along = key if level.response is None else (*key, own)
            if depth + 1 < len(layout.levels):
                smaller = walk(item, depth + 1, along, about)
                if getattr(smaller, layout.levels[depth + 1].request) or not getattr(
                    item, layout.levels[depth + 1].request
                ):
                    kept.append(smaller)
            elif along not in keys:
                kept.append(item)
        made = copied(message)
        setattr(made, level.request, kept)
        return made

    return walk(request, 0, (), Subject())


@define(slots=True, frozen=True)
class Failure:
    """What is told in an element's, or the whole's, place."""

    code: ErrorCode
    message: str | None = None


def with_errors(
    response: Any,
    layout: Layout,
    version: int,
    told: Iterable[Element],
    failures: Mapping[Key, Failure],
    request: Any,
    resolve: Resolve,
) -> Any:
    """A response with errors for the elements of `failures` and what `response` says of all others.

    told: the request's elements, and those of the response that the request did not name. response: the handler's, or
    an empty one.
    """
    roots: dict[object, _Node] = {}
    for element in told:
        nodes, node = roots, None
        for own, source in zip(element.key, element.sources, strict=True):
            node = nodes.get(own)
            if node is None:
                node = nodes[own] = _Node(source)
            nodes = node.children
        if node is not None:
            node.failed = element.key in failures
    levels = layout.answered
    key_type = getattr(request, "key_type", _GROUP_KEY)

    def build(message_class: type[Struct], items: list[Any], nodes: dict[object, _Node], depth: int, key: Key) -> Any:
        level = levels[depth]
        item_class = _item_class(message_class, level)
        last = depth + 1 == len(levels)
        there: dict[object, list[Any]] = {}
        for position, item in enumerate(items):
            _, own = _identify(level, item, position, Subject(), resolve, key_type)
            there.setdefault(own, []).append(item)
        made: list[Any] = []
        for own, node in nodes.items():
            had = there.pop(own, [])
            along = (*key, own)
            if last:
                if node.failed:
                    made.append(_failed(item_class, level, node.source, version, failures[along], resolve))
                else:
                    made += had
                continue
            child = levels[depth + 1].response or ""
            below = build(
                item_class, [each for item in had for each in getattr(item, child)], node.children, depth + 1, along
            )
            if not had and not below:
                continue
            parent = copied(had[0]) if had else _fresh(item_class, level, node.source, version, resolve)
            setattr(parent, child, below)
            made.append(parent)
        for rest in there.values():
            made += rest
        return made

    answer = copied(response)
    name = levels[0].response or ""
    setattr(answer, name, build(type(response), list(getattr(response, name) or ()), roots, 0, ()))
    return answer


def _item_class(cls: type[Struct], level: Level) -> type[Struct]:
    found = field_of(cls, level.response or "")
    assert found is not None
    assert isinstance(found.item, type)
    return found.item


def _fresh(cls: type[Struct], level: Level, source: Any, version: int, resolve: Resolve) -> Any:
    """An element of a response that repeats the ids of its source."""
    made: Any = cls()
    for name in NAMES[level.kind]:
        declared = field_of(cls, name)
        if declared is None:
            continue
        if isinstance(source, (str, int)):
            if name != "topic_id":
                setattr(made, name, source)
        elif level.kind is Kind.TOPIC and name != "topic_id":
            text, topic_id = _topic(source)
            if not text and not declared.nullable_in(version):
                text = resolve(topic_id) or ""
            setattr(made, name, text or (None if declared.nullable_in(version) else ""))
        elif level.kind is Kind.PARTITION:
            setattr(made, name, _first(source, NAMES[level.kind]))
        elif name == "user":
            made.user = source.name if hasattr(source, "name") else source.user
        elif hasattr(source, name):
            setattr(made, name, getattr(source, name))
    return made


def _failed(cls: type[Struct], level: Level, source: Any, version: int, failure: Failure, resolve: Resolve) -> Any:
    if isinstance(source, cls) and hasattr(source, "replica_nodes"):
        made: Any = copied(source)  # partitions of metadata: what is known of them stays, but for a leader
        made.leader_id = -1
    else:
        made = _fresh(cls, level, source, version, resolve)
    _set_error(made, version, failure)
    return made


def _set_error(made: Any, version: int, failure: Failure) -> None:
    for declared in type(made).struct_fields:
        name = declared.name
        if not declared.in_version(version):
            continue
        if name in _ERROR_FIELDS:
            setattr(made, name, int(failure.code))
        elif name == "error_message" and failure.message is not None:
            made.error_message = failure.message
        elif name in _MINUS_ONE and declared.kind.startswith("int"):
            setattr(made, name, -1)
        elif declared.kind == "records":
            setattr(made, name, b"")


def error_field_of_whole(api: ApiKey, version: int) -> bool:
    """Whether the response of this version can tell an error of the whole."""
    return in_version(response_class(api), "error_code", version)


def whole_error(api: ApiKey, version: int, request: Any, failure: Failure) -> Any:
    """The response that tells an error of the whole, ids repeated."""
    cls = response_class(api)
    made: Any = cls()
    _set_error(made, version, failure)
    for name in _ECHOED:
        if field_of(cls, name) is not None and hasattr(request, name):
            setattr(made, name, getattr(request, name))
    if api is ApiKey.DESCRIBE_LOG_DIRS and not in_version(cls, "error_code", version):
        result: Any = _item_class(cls, Level("", "results", Kind.OTHER))()
        result.error_code = int(failure.code)
        made.results = [result]
    return made


def layout_for(api: ApiKey, version: int, *, named: bool) -> Layout | None:
    """The layout by which an error is told; None: for the whole.

    named: whether a topic or partition is asked for. Without, APIs whose errors are told at the top do that where the
    version can, else one level up (the group of an OffsetFetch).
    """
    found = layouts_of(api, version)
    if not found:
        return None
    if named or not found[0].top_first:
        return found[0]
    if error_field_of_whole(api, version):
        return None
    return found[-1]
