"""DescribeClientQuotas: the quotas in the metadata log that match a filter  (Kafka: ClientQuotasImage.describe)."""

from __future__ import annotations

from typing import Final

from broker.context import RequestContext
from broker.controller.controller import Controller
from broker.controller.records import ClientQuotaRecord
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.messages.describe_client_quotas import (
    ComponentData,
    DescribeClientQuotasRequest,
    DescribeClientQuotasResponse,
    EntityData,
    EntryData,
    ValueData,
)

_EXACT: Final = 0
_DEFAULT: Final = 1
_SPECIFIED: Final = 2
_TYPES: Final = ("user", "client-id", "ip")

# An entity: its parts by type, None standing for the default of that type.
Entity = tuple[tuple[str, str | None], ...]


def describe_client_quotas(
    request: DescribeClientQuotasRequest, _ctx: RequestContext, controller: Controller
) -> DescribeClientQuotasResponse:
    """All entities that match every component; with `strict`, those that have no other parts."""
    try:
        exact, specified = _parse_filter(request.components)
    except ApiError as error:
        return DescribeClientQuotasResponse(error_code=error.code, error_message=error.message, entries=None)
    entries = []
    for entity, quotas in _quotas(controller).items():
        parts = dict(entity)
        if request.strict and len(parts) != len(exact) + len(specified):
            continue
        if any(name not in parts or parts[name] != value for name, value in exact.items()):
            continue
        if any(name not in parts for name in specified):
            continue
        entries.append(
            EntryData(
                entity=[EntityData(entity_type=name, entity_name=value) for name, value in entity],
                values=[ValueData(key=key, value=value) for key, value in quotas.items()],
            )
        )
    return DescribeClientQuotasResponse(error_message="", entries=entries)


def _parse_filter(components: list[ComponentData]) -> tuple[dict[str, str | None], set[str]]:
    exact: dict[str, str | None] = {}
    specified: set[str] = set()
    for component in components:
        kind = component.entity_type
        if not kind:
            raise ApiError(ErrorCode.INVALID_REQUEST, "Invalid empty entity type.")
        if kind in exact or kind in specified:
            raise ApiError(ErrorCode.INVALID_REQUEST, f"Entity type {kind} cannot appear more than once in the filter.")
        if kind not in _TYPES:
            raise ApiError(ErrorCode.UNSUPPORTED_VERSION, f"Unsupported entity type {kind}")
        if component.match_type == _EXACT:
            if component.match is None:
                raise ApiError(
                    ErrorCode.INVALID_REQUEST, "Request specified MATCH_TYPE_EXACT, but set match string to null."
                )
            exact[kind] = component.match
        elif component.match_type in (_DEFAULT, _SPECIFIED):
            if component.match is not None:
                name = "MATCH_TYPE_DEFAULT" if component.match_type == _DEFAULT else "MATCH_TYPE_SPECIFIED"
                raise ApiError(
                    ErrorCode.INVALID_REQUEST, f"Request specified {name}, but also specified a match string."
                )
            if component.match_type == _DEFAULT:
                exact[kind] = None
            else:
                specified.add(kind)
        else:
            raise ApiError(ErrorCode.INVALID_REQUEST, f"Unknown match type {component.match_type}")
    named = exact.keys() | specified
    if "ip" in named and len(named) > 1:
        raise ApiError(
            ErrorCode.INVALID_REQUEST,
            "Invalid entity filter component combination. IP filter component should not be used with user or "
            "clientId filter component.",
        )
    return exact, specified


def _quotas(controller: Controller) -> dict[Entity, dict[str, float]]:
    """What the records say, in the order entities came up; an entity without a quota is gone."""
    found: dict[Entity, dict[str, float]] = {}
    for record in controller.image.other_records:
        if isinstance(record, ClientQuotaRecord):
            entity = tuple((part.entity_type, part.entity_name) for part in record.entity)
            quotas = found.setdefault(entity, {})
            if record.remove:
                quotas.pop(record.key, None)
            else:
                quotas[record.key] = record.value
    return {entity: quotas for entity, quotas in found.items() if quotas}
