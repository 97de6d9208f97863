"""What is decided about one order: no broker needed."""

import pytest
from invoicing.orders import BadOrderError, invoice_of, parse_order


def test_an_invoice() -> None:
    order = parse_order(
        b'{"order_id": "o-1", "country": "DE", "lines": [{"sku": "book", "quantity": 2, "unit_price_cents": 1050}]}'
    )
    assert invoice_of(order, lambda _: 0.19) == {
        "order_id": "o-1",
        "net_cents": 2100,
        "tax_cents": 399,
        "total_cents": 2499,
    }


@pytest.mark.parametrize(
    "data",
    [
        None,
        b"{",
        b"[]",
        b"{}",
        b'{"order_id": "o", "country": "DE", "lines": []}',
        b'{"order_id": "o", "country": "DE", "lines": [{"sku": "s", "quantity": -1, "unit_price_cents": 1}]}',
        b'{"order_id": "o", "country": "DE", "lines": [{"sku": "s", "quantity": "2", "unit_price_cents": 1}]}',
    ],
)
def test_a_bad_order(data: bytes | None) -> None:
    with pytest.raises(BadOrderError):
        parse_order(data)
