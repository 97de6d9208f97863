"""What an order is, and what its invoice says. Pure: no Kafka here."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

TaxRate = Callable[[str], float]
"""Country -> rate, e.g. 0.19. Raises `TaxServiceDown` when it cannot tell just now."""


class BadOrderError(Exception):
    """An order nobody can make an invoice of, however often it is tried."""


class TaxServiceDownError(Exception):
    """The tax service does not answer: trying again later may help."""


@dataclass(frozen=True)
class Line:
    sku: str
    quantity: int
    unit_price_cents: int


@dataclass(frozen=True)
class Order:
    order_id: str
    country: str
    lines: tuple[Line, ...]


def parse_order(data: bytes | None) -> Order:
    """An order from its JSON. Raises BadOrderError with what is wrong."""
    try:
        fields = json.loads(data or b"")
    except ValueError as error:
        raise BadOrderError(f"not JSON: {error}") from None
    try:
        lines = tuple(
            Line(str(each["sku"]), _count(each, "quantity"), _count(each, "unit_price_cents"))
            for each in fields["lines"]
        )
        order = Order(str(fields["order_id"]), str(fields["country"]), lines)
    except (KeyError, TypeError) as error:
        raise BadOrderError(f"a field is missing or of the wrong kind: {error}") from None
    if not order.lines:
        raise BadOrderError("an order without lines")
    return order


def _count(fields: dict[str, Any], name: str) -> int:
    value = fields[name]
    if not isinstance(value, int) or value < 0:
        raise BadOrderError(f"{name} is {value!r}, not a number from 0 on")
    return value


def invoice_of(order: Order, tax_rate: TaxRate) -> dict[str, Any]:
    """The invoice, ready for JSON. Raises what `tax_rate` raises."""
    net_cents = sum(line.quantity * line.unit_price_cents for line in order.lines)
    tax_cents = round(net_cents * tax_rate(order.country))
    return {
        "order_id": order.order_id,
        "net_cents": net_cents,
        "tax_cents": tax_cents,
        "total_cents": net_cents + tax_cents,
    }
