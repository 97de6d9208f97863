"""The OpenAPI 3.1 document, made from the table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final

import msgspec

from broker.http.endpoint import Endpoint, EventStream, Json, Text
from broker.http.router import parameters

_REF: Final = "#/components/schemas/{name}"


class ErrorDetails(msgspec.Struct, omit_defaults=True):
    """What went wrong."""

    code: Annotated[str, msgspec.Meta(description="For programs, in snake_case.")]
    message: Annotated[str, msgspec.Meta(description="What happened, why, and what to do.")]
    allowed: Annotated[list[Any] | None, msgspec.Meta(description="What would have been taken.")] = None


class ErrorAnswer(msgspec.Struct):
    """Every refusal has this form."""

    error: ErrorDetails


def document(endpoints: Iterable[Endpoint], *, title: str, version: str, with_token: bool) -> dict[str, Any]:
    """The whole document, as plain values."""
    table = list(endpoints)
    types = list(_types(table))
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    by_type = {id(kind): schema for kind, schema in zip(types, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in table:
        path = re.sub(r"\{(\w+):int\}", r"{\1}", endpoint.path)
        paths.setdefault(path, {})[endpoint.method.lower()] = _operation(endpoint, by_type, components)
    found: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": title,
            "version": version,
            "description": "Clusters, nodes, faults, time, groups, topics and the transcript of a kwire broker.",
        },
        "tags": [{"name": tag} for tag in dict.fromkeys(endpoint.tag for endpoint in table if endpoint.tag)],
        "paths": paths,
        "components": {"schemas": components},
    }
    if with_token:
        found["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        found["security"] = [{"token": []}]
    return found


def _types(table: Sequence[Endpoint]) -> Iterable[Any]:
    yield ErrorAnswer
    seen: set[int] = set()
    for endpoint in table:
        for kind in (endpoint.body, endpoint.query, endpoint.answer, endpoint.event):
            if kind is not None and kind not in (EventStream, Text, Json) and id(kind) not in seen:
                seen.add(id(kind))
                yield kind


def _operation(endpoint: Endpoint, by_type: dict[int, Any], components: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _operation_id(endpoint),
        "summary": endpoint.summary,
        "tags": [endpoint.tag] if endpoint.tag else [],
        "responses": {
            str(endpoint.status if endpoint.answer is not None else 204): _answer(endpoint, by_type),
            **{str(status): _answer(endpoint, by_type) for status in endpoint.also},
            "default": {
                "description": "Refused: the message says why, and what is allowed.",
                "content": {"application/json": {"schema": by_type[id(ErrorAnswer)]}},
            },
        },
    }
    if endpoint.description:
        operation["description"] = endpoint.description
    if endpoint.open:
        operation["security"] = []
    wanted = [
        {
            "name": each.name,
            "in": "path",
            "required": True,
            "schema": {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}
            if each.is_number
            else {"type": "string", "minLength": 1},
        }
        for each in parameters(endpoint.path)
    ]
    if endpoint.query is not None:
        wanted += _query_parameters(by_type[id(endpoint.query)], components)
    if wanted:
        operation["parameters"] = wanted
    if endpoint.body is not None:
        schema = by_type[id(endpoint.body)]
        operation["requestBody"] = {
            "required": bool(_resolved(schema, components).get("required", schema.get("type") == "array")),
            "content": {"application/json": {"schema": schema}},
        }
    return operation


def _answer(endpoint: Endpoint, by_type: dict[int, Any]) -> dict[str, Any]:
    if endpoint.answer is None:
        return {"description": "Done."}
    content: dict[str, Any] = {media_type: {"schema": {"type": "string"}} for media_type in endpoint.produces}
    description = "The answer."
    if endpoint.answer is EventStream:
        schema: dict[str, Any] = {"type": "string"}
        if endpoint.event is not None:
            schema["contentMediaType"] = "application/json"
            schema["contentSchema"] = by_type[id(endpoint.event)]
        content["text/event-stream"] = {"schema": schema}
        description = "Server-sent events; the data of each is JSON. An event named `dropped` tells of lost ones."
    elif endpoint.answer is Json:
        content["application/json"] = {"schema": {"type": "object"}}
    elif endpoint.answer is Text:
        if not content:
            content["text/plain"] = {"schema": {"type": "string"}}
    else:
        content["application/json"] = {"schema": by_type[id(endpoint.answer)]}
    return {"description": description, "content": content}


def _query_parameters(schema: dict[str, Any], components: dict[str, Any]) -> list[dict[str, Any]]:
    described = _resolved(schema, components)
    required = described.get("required", [])
    found = []
    for name, each in described.get("properties", {}).items():
        parameter = {"name": name, "in": "query", "required": name in required, "schema": _without_null(each)}
        if "description" in each:
            parameter["description"] = each["description"]
        found.append(parameter)
    return found


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A query parameter is left out, it is never null."""
    choices = schema.get("anyOf")
    if choices is None:
        return {key: value for key, value in schema.items() if key != "default" or value is not None}
    kept = [choice for choice in choices if choice.get("type") != "null"]
    rest = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
    return {**kept[0], **rest} if len(kept) == 1 else {**rest, "anyOf": kept}


def _resolved(schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    found: dict[str, Any] = components[reference.rpartition("/")[2]]
    return found


def _operation_id(endpoint: Endpoint) -> str:
    words = [re.sub(r"[^A-Za-z0-9]+", "_", segment).strip("_") for segment in endpoint.path.split("/")]
    return "_".join([endpoint.method.lower(), *(word.removesuffix("_int") for word in words if word)])
