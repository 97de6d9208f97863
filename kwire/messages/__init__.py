"""The requests and responses of the protocol, one module per API. Importing this package imports none of them."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from kwire.api_keys import ApiKey
from kwire.schema import Struct


def request_class(api_key: ApiKey) -> type[Struct]:
    """The request class of an API, its module imported when first asked for."""
    return _class(api_key, "Request")


def response_class(api_key: ApiKey) -> type[Struct]:
    """The response class of an API."""
    return _class(api_key, "Response")


def _class(api_key: ApiKey, kind: str) -> type[Struct]:
    name = api_key.name.lower()
    module = import_module(f"kwire.messages.{name}")
    stem = "".join(part.capitalize() for part in name.split("_"))
    return cast(type[Struct], getattr(module, stem + kind))
