"""What there is: `/v1` and the OpenAPI document."""

from __future__ import annotations

from typing import Any

import msgspec

from broker.http.endpoint import Call, Endpoint, Json
from broker.http.openapi import document


class Root(msgspec.Struct):
    """kwire: its version. kafka: the Apache Kafka it is like. clusters: their names."""

    kwire: str
    kafka: str
    clusters: list[str]
    openapi: str


def show_root(call: Call) -> Root:
    from broker.cli.version import KAFKA_VERSION, kwire_version

    return Root(
        kwire=kwire_version(),
        kafka=KAFKA_VERSION,
        clusters=[each.name for each in call.plane.clusters.all()],
        openapi="/openapi.json",
    )


def openapi(*, with_token: bool) -> dict[str, Any]:
    """The document of the whole table."""
    from broker.cli.version import kwire_version
    from broker.control.table import table

    return document(table(), title="kwire", version=kwire_version(), with_token=with_token)


def show_openapi(call: Call) -> Json:
    return Json(openapi(with_token="authorization" in call.headers))


endpoints = [
    Endpoint("GET", "/v1", show_root, answer=Root, summary="What runs here", tag="about"),
    Endpoint("GET", "/openapi.json", show_openapi, answer=Json, summary="This document", tag="about"),
]
