"""A fault rule as it is written: what it matches, when it acts, what it does; and what is allowed.

`parse` takes plain values, as JSON has them, and checks all of them before anything is made of them: names of APIs and
errors, versions against what is served, filters against what an API's requests can tell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final

from attrs import define, fields

from broker.controller.names import CLUSTER_METADATA_TOPIC
from broker.faults.layouts import Kind, all_layouts, field_of
from broker.routes import Route, VersionRange
from kwire.api_keys import ApiKey
from kwire.error_codes import ErrorCode
from kwire.messages import request_class

MOST_TEXT: Final = 1000
MOST_LIST: Final = 1000
MOST_COUNT: Final = 1_000_000_000
MOST_MS: Final = 7 * 86_400_000
MOST_BYTES: Final = 2**31 - 1

DISK_OPERATIONS: Final = ("append", "read", "sync")
CONNECT_WAYS: Final = ("refuse", "reset")
PRINCIPAL: Final = (
    "error",
    "drop_connection",
    "drop_request",
    "drop_reply",
    "corrupt",
    "truncate",
    "stall",
    "disk_error",
    "disk_full",
    "connect",
)
"""Actions of which a rule has at most one. delay_ms and throttle_ms stand alone, or with one of these."""
_AFTER_ONLY: Final = ("drop_reply", "corrupt", "truncate")
_ELEMENT_FILTERS: Final = ("group", "transactional_id", "topic", "partition")
_REQUEST_FILTERS: Final = ("api", "version", "client_id", "client_software", "group", "transactional_id")
_COUNTING: Final = ("skip", "every", "times", "probability", "seed", "for_ms", "until_ms")


class RuleError(ValueError):
    """A rule that cannot be. field: which part of it; allowed: what could stand there, where that can be listed."""

    def __init__(self, field: str, message: str, allowed: Sequence[Any] | None = None) -> None:
        super().__init__(message)
        self.field = field
        self.allowed = allowed


@define(slots=True, frozen=True)
class RuleSpec:
    """A rule, checked. None and empty: not asked for.

    Text filters are exact, or patterns with `*`, `?`, `[...]`. api: names as Kafka has them, or patterns. version:
    "9", "3-7", "9+". node: ids; partition: indexes. skip: matches to let pass first; every: of the rest each n-th;
    times: how often it acts at most; probability and seed: chance, the same for the same seed. for_ms: from when it was
    added, on the cluster's clock; until_ms: that clock's wall time. when: before or after the handler.
    delay_ms: [least, most]. corrupt: how many bytes, or at which offsets of the answer's body. truncate: bytes that are
    sent of the frame (its size counts), or, below 0, how many fewer than all. stall: until released (True) or for so
    many milliseconds.
    """

    name: str | None = None
    api: tuple[str, ...] = ()
    version: str | None = None
    client_id: str | None = None
    client_software: str | None = None
    group: str | None = None
    transactional_id: str | None = None
    topic: str | None = None
    partition: frozenset[int] | None = None
    node: frozenset[int] | None = None
    listener: str | None = None
    skip: int = 0
    every: int = 1
    times: int | None = None
    probability: float = 1.0
    seed: int = 0
    for_ms: int | None = None
    until_ms: int | None = None
    when: str = "before"
    error: ErrorCode | None = None
    message: str | None = None
    delay_ms: tuple[int, int] | None = None
    throttle_ms: int | None = None
    drop_connection: bool = False
    drop_request: bool = False
    drop_reply: bool = False
    corrupt: int | tuple[int, ...] | None = None
    truncate: int | None = None
    stall: bool | int = False
    disk_error: tuple[str, ...] = ()
    disk_full: bool = False
    connect: str | None = None
    keys: frozenset[ApiKey] = frozenset()
    """The APIs meant by `api`."""
    versions: tuple[int, int] | None = None

    @property
    def is_disk(self) -> bool:
        return bool(self.disk_error) or self.disk_full

    @property
    def is_connect(self) -> bool:
        return self.connect is not None

    @property
    def is_request(self) -> bool:
        return not (self.is_disk or self.is_connect)

    @property
    def names_elements(self) -> bool:
        """Whether it asks for certain parts of a request."""
        return any(getattr(self, name) is not None for name in _ELEMENT_FILTERS)

    def to_plain(self) -> dict[str, Any]:
        """As it was written: only what differs from the defaults."""
        plain: dict[str, Any] = {}
        for each in fields(RuleSpec):
            value = getattr(self, each.name)
            if each.name in ("keys", "versions") or value == each.default:
                continue
            if isinstance(value, ErrorCode):
                value = value.name
            elif isinstance(value, frozenset):
                value = sorted(value)
            elif isinstance(value, tuple):
                value = list(value)
            plain[each.name] = value
        return plain


def text_fits(pattern: str | None, text: str | None) -> bool:
    """Whether a text filter lets a text pass; None fits no filter but None."""
    return pattern is None or (text is not None and (pattern == text or fnmatchcase(text, pattern)))


def parse(given: Mapping[str, Any], routes: Mapping[int, Route]) -> RuleSpec:
    """Raises RuleError for the first thing that cannot be. routes: what the cluster serves, by API key."""
    known = [each.name for each in fields(RuleSpec) if each.name not in ("keys", "versions")]
    for name in given:
        if name not in known:
            raise RuleError(name, f"a rule has no field {name!r}", known)
    values: dict[str, Any] = {}
    for name, value in given.items():
        if value is not None:
            values[name] = _READERS[name](name, value)
    spec = RuleSpec(**values)
    _check_action(spec)
    return _with_apis(spec, routes)


def _check_action(spec: RuleSpec) -> None:
    chosen = [name for name in PRINCIPAL if _is_set(getattr(spec, name))]
    if len(chosen) > 1:
        raise RuleError(chosen[1], f"{chosen[0]} and {chosen[1]} exclude each other: a rule has one action")
    if not chosen and spec.delay_ms is None and spec.throttle_ms is None:
        raise RuleError("error", "the rule does nothing: it needs an action", [*PRINCIPAL, "delay_ms", "throttle_ms"])
    if spec.message is not None and spec.error is None:
        raise RuleError("message", "message goes with error")
    if spec.when == "after" and spec.drop_request:
        raise RuleError("when", "drop_request acts before the request is handled", ["before"])
    if not spec.is_request:
        for name in ("delay_ms", "throttle_ms", *_REQUEST_FILTERS):
            if _is_set(getattr(spec, name)):
                raise RuleError(name, f"{name} does not go with {chosen[0]}, which is about no request")
        if spec.when != "before":
            raise RuleError("when", f"when does not go with {chosen[0]}")
    if spec.is_disk and (spec.node is not None or spec.listener is not None):
        field = "node" if spec.node is not None else "listener"
        raise RuleError(field, f"{field} does not go with {chosen[0]}: the disk is the cluster's")
    if spec.is_disk and spec.topic == CLUSTER_METADATA_TOPIC:
        raise RuleError("topic", f"{chosen[0]} is not for {spec.topic}: the metadata log is left alone")
    if spec.is_connect and (spec.topic is not None or spec.partition is not None):
        raise RuleError("topic", "a connection is about no topic or partition: connect goes with node and listener")
    if spec.for_ms is not None and spec.until_ms is not None:
        raise RuleError("until_ms", "for_ms and until_ms exclude each other")


def _is_set(value: Any) -> bool:
    """0 counts: `truncate: 0` sends nothing."""
    return value is not None and value is not False and value != ()


def _with_apis(spec: RuleSpec, routes: Mapping[int, Route]) -> RuleSpec:
    from attrs import evolve

    if not spec.is_request:
        return spec
    served = {route.name: route for route in routes.values()}
    keys: set[ApiKey] = set()
    for pattern in spec.api:
        found = [route.api_key for name, route in served.items() if fnmatchcase(name.lower(), pattern.lower())]
        if not found:
            raise RuleError("api", f"no API that is served here is called {pattern!r}", sorted(served))
        keys.update(found)
    if not spec.api:
        keys.update(route.api_key for route in routes.values())
    versions = None if spec.version is None else _versions(spec.version)
    if versions is not None:
        kept = {key for key in keys if _overlap(versions, routes[int(key)].served)}
        if not kept:
            allowed = {routes[int(key)].name: str(routes[int(key)].served) for key in sorted(keys)}
            raise RuleError(
                "version",
                f"version {spec.version} of {', '.join(spec.api) or 'any API'} is not served",
                [f"{name}: {served_as}" for name, served_as in allowed.items()],
            )
        keys = kept
    for name in _ELEMENT_FILTERS:
        if getattr(spec, name) is not None:
            kept = {key for key in keys if _tells(key, name)}
            if not kept:
                raise RuleError(
                    name,
                    f"no request of {', '.join(spec.api)} tells a {name.replace('_', ' ')}",
                    sorted(route.name for route in routes.values() if _tells(route.api_key, name)),
                )
            keys = kept
    return evolve(spec, keys=frozenset(keys), versions=versions)


def _overlap(wanted: tuple[int, int], served: VersionRange) -> bool:
    return wanted[0] <= served.last and served.first <= wanted[1]


_KINDS: Final = {
    "topic": (Kind.TOPIC, Kind.RESOURCE),
    "partition": (Kind.PARTITION,),
    "group": (Kind.GROUP, Kind.COORDINATOR, Kind.RESOURCE),
    "transactional_id": (Kind.TRANSACTION, Kind.COORDINATOR),
}
_FIELDS: Final = {
    "topic": (),
    "partition": (),
    "group": ("group_id",),
    "transactional_id": ("transactional_id", "v3_and_below_transactional_id"),
}


def _tells(api: ApiKey, what: str) -> bool:
    """Whether requests (or, of open ones, answers) of an API name such a thing."""
    cls = request_class(api)
    if any(field_of(cls, name) is not None for name in _FIELDS[what]):
        return True
    return any(level.kind in _KINDS[what] for layout in all_layouts(api) for level in layout.levels)


# -- readers of single fields


def _wrong(name: str, value: Any, wanted: str, allowed: Sequence[Any] | None = None) -> RuleError:
    return RuleError(name, f"{name} must be {wanted}, not {str(value)[:100]!r}", allowed)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MOST_TEXT:
        raise _wrong(name, value, f"a text of 1 to {MOST_TEXT} characters")
    return value


def _name(name: str, value: Any) -> str:
    text = _text(name, value)
    if text.isdecimal() or len(text) > 100 or "/" in text:
        raise _wrong(name, value, "a text of at most 100 characters that is no number and has no slash")
    return text


def _texts(name: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (_text(name, value),)
    if not isinstance(value, Sequence) or not 0 < len(value) <= MOST_LIST:
        raise _wrong(name, value, "a text or a list of texts")
    return tuple(_text(name, each) for each in value)


def _count(least: int, most: int) -> Callable[[str, Any], int]:
    def read(name: str, value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise _wrong(name, value, f"a whole number from {least} to {most}")
        return value

    return read


_index: Final = _count(0, MOST_BYTES)


def _indexes(name: str, value: Any) -> frozenset[int]:
    if isinstance(value, int):
        return frozenset((_index(name, value),))
    if not isinstance(value, Sequence) or isinstance(value, str) or not 0 < len(value) <= MOST_LIST:
        raise _wrong(name, value, "a number or a list of numbers")
    return frozenset(_index(name, each) for each in value)


def _chance(name: str, value: Any) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value <= 1:
        raise _wrong(name, value, "a number from 0 to 1")
    return float(value)


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _wrong(name, value, "true or false", [True, False])
    return value


def _one_of(*allowed: str) -> Callable[[str, Any], str]:
    def read(name: str, value: Any) -> str:
        if value not in allowed:
            raise _wrong(name, value, "one of " + ", ".join(allowed), allowed)
        return str(value)

    return read


def _version(name: str, value: Any) -> str:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str):
        raise _wrong(name, value, 'a version (9), or a range ("3-7", "9+")')
    try:
        low, high = _versions(text)
    except ValueError:
        raise _wrong(name, value, 'a version (9), or a range ("3-7", "9+")') from None
    if not 0 <= low <= high:
        raise _wrong(name, value, "a range that goes up")
    return text


def _versions(text: str) -> tuple[int, int]:
    if len(text) > 12:
        raise ValueError(text)
    if text.endswith("+"):
        return int(text[:-1]), 0x7FFF
    low, _, high = text.partition("-")
    return int(low), int(high or low)


def _error(name: str, value: Any) -> ErrorCode:
    codes = {code.name: code for code in ErrorCode if code is not ErrorCode.NONE}
    found = codes.get(value.upper()) if isinstance(value, str) else None
    if found is None:
        raise RuleError(name, f"Kafka has no error called {str(value)[:100]!r}", list(codes))
    return found


_ms: Final = _count(0, MOST_MS)


def _delay(name: str, value: Any) -> tuple[int, int]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        if len(value) != 2 or _ms(name, value[0]) > _ms(name, value[1]):
            raise _wrong(name, value, "milliseconds, or [least, most]")
        return int(value[0]), int(value[1])
    return _ms(name, value), value


def _corrupt(name: str, value: Any) -> int | tuple[int, ...]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        if not 0 < len(value) <= MOST_LIST:
            raise _wrong(name, value, "a number of bytes, or a list of offsets")
        return tuple(_index(name, each) for each in value)
    return _count(1, MOST_LIST)(name, value)


def _stall(name: str, value: Any) -> bool | int:
    return value if isinstance(value, bool) else _count(1, MOST_MS)(name, value)


def _operations(name: str, value: Any) -> tuple[str, ...]:
    if value is True:
        return DISK_OPERATIONS
    found = tuple(dict.fromkeys(_texts(name, value)))
    for each in found:
        if each not in DISK_OPERATIONS:
            raise _wrong(name, each, "of " + ", ".join(DISK_OPERATIONS), DISK_OPERATIONS)
    return found


_READERS: Final[dict[str, Callable[[str, Any], Any]]] = {
    "name": _name,
    "api": _texts,
    "version": _version,
    "client_id": _text,
    "client_software": _text,
    "group": _text,
    "transactional_id": _text,
    "topic": _text,
    "partition": _indexes,
    "node": _indexes,
    "listener": _text,
    "skip": _count(0, MOST_COUNT),
    "every": _count(1, MOST_COUNT),
    "times": _count(1, MOST_COUNT),
    "probability": _chance,
    "seed": _count(-(2**63), 2**63 - 1),
    "for_ms": _count(1, MOST_COUNT * 1000),
    "until_ms": _count(0, 2**53),
    "when": _one_of("before", "after"),
    "error": _error,
    "message": _text,
    "delay_ms": _delay,
    "throttle_ms": _count(0, MOST_BYTES),
    "drop_connection": _flag,
    "drop_request": _flag,
    "drop_reply": _flag,
    "corrupt": _corrupt,
    "truncate": _count(-MOST_BYTES, MOST_BYTES),
    "stall": _stall,
    "disk_error": _operations,
    "disk_full": _flag,
    "connect": _one_of(*CONNECT_WAYS),
}
