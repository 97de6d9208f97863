"""From method and target to an endpoint and the parameters of its path."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import unquote_to_bytes

from attrs import define, field, frozen

from broker.http.endpoint import ControlError, Endpoint

# Names in a path are of topics (249 characters at most), groups and members, which Kafka does not bound below a frame.
_MAX_PARAMETER: Final = 4096


@frozen
class Parameter:
    """One variable segment of a path."""

    name: str
    is_number: bool


def parameters(path: str) -> list[Parameter]:
    """The variable segments of a path template, in order."""
    return [found for segment in path.split("/") if (found := _parameter(segment)) is not None]


def _parameter(segment: str) -> Parameter | None:
    if not segment.startswith("{"):
        return None
    name, _, kind = segment[1:-1].partition(":")
    return Parameter(name, kind == "int")


@define
class _Node:
    children: dict[str, _Node] = field(factory=dict)
    variable: _Node | None = None
    endpoints: dict[str, Endpoint] = field(factory=dict)


@frozen
class Match:
    """endpoint: HEAD is answered by GET's."""

    endpoint: Endpoint
    path: dict[str, str]


class Router:
    """A fixed segment is preferred to a variable one."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._root = _Node()
        for endpoint in endpoints:
            self._add(endpoint)

    def _add(self, endpoint: Endpoint) -> None:
        node = self._root
        for segment in _segments(endpoint.path):
            if _parameter(segment) is None:
                node = node.children.setdefault(segment, _Node())
            else:
                if node.variable is None:
                    node.variable = _Node()
                node = node.variable
        if endpoint.method in node.endpoints:
            raise ValueError(f"two endpoints for {endpoint.method} {endpoint.path}")
        node.endpoints[endpoint.method] = endpoint

    def find(self, method: str, raw_path: str) -> Match:
        """raw_path: still percent-encoded. Raises ControlError 404, 405, or 400 for a path that is no UTF-8."""
        segments = [_decoded(segment) for segment in _segments(raw_path)]
        found = [node for node in self._walk(self._root, segments, 0) if node.endpoints]
        if not found:
            raise ControlError(
                404, "unknown_path", f"there is nothing at {raw_path[:200]!a}; /openapi.json lists what there is"
            )
        methods = {method: endpoint for node in reversed(found) for method, endpoint in node.endpoints.items()}
        endpoint = methods.get("GET" if method == "HEAD" and "HEAD" not in methods else method)
        if endpoint is None:
            allowed = sorted({*methods, "HEAD"} if "GET" in methods else methods)
            raise ControlError(
                405,
                "method_not_allowed",
                f"{method} is not served here",
                allowed=allowed,
                headers=[("allow", ", ".join(allowed))],
            )
        values: dict[str, str] = {}
        for template, segment in zip(_segments(endpoint.path), segments, strict=True):
            parameter = _parameter(template)
            if parameter is not None:
                if parameter.is_number and not (segment.isascii() and segment.isdecimal() and len(segment) <= 10):
                    raise ControlError(
                        400, "invalid_path", f"{parameter.name} must be a number of 0 or more, not {segment[:100]!r}"
                    )
                values[parameter.name] = segment
        return Match(endpoint, values)

    def _walk(self, node: _Node, segments: list[str], index: int) -> Iterator[_Node]:
        if index == len(segments):
            yield node
            return
        segment = segments[index]
        child = node.children.get(segment)
        if child is not None:
            yield from self._walk(child, segments, index + 1)
        if node.variable is not None and segment:
            yield from self._walk(node.variable, segments, index + 1)


def _segments(path: str) -> list[str]:
    return path.split("/")[1:]


def _decoded(segment: str) -> str:
    try:
        text = unquote_to_bytes(segment).decode("utf-8")
    except UnicodeDecodeError:
        raise ControlError(400, "invalid_path", "the path is not percent-encoded UTF-8") from None
    if len(text) > _MAX_PARAMETER:
        raise ControlError(
            400, "invalid_path", f"a segment of the path has {len(text)} characters, at most {_MAX_PARAMETER} are taken"
        )
    return text
