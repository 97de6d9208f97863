"""The service against a broker: what comes out, and that nothing comes out twice."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from conftest import Shop
from invoicing.orders import TaxServiceDownError
from invoicing.service import Outgoing, Service


def test_each_order_is_invoiced(shop: Shop) -> None:
    for number in range(20):
        shop.order(f"o-{number}", cents=100 * number)
    with shop.service():
        invoices = shop.invoices(20)
    assert [each["order_id"] for each in invoices] == [f"o-{number}" for number in range(20)]
    assert invoices[10]["total_cents"] == 1190


def test_a_bad_order_goes_to_the_dead_letters_and_holds_up_nobody(shop: Shop) -> None:
    shop.send("bad", b"{")
    shop.order("good")
    with shop.service():
        (invoice,) = shop.invoices(1)
        (dead,) = shop.dead(1)
    assert invoice["order_id"] == "good"
    assert (dead.key(), dead.value()) == (b"bad", b"{")
    assert dict(dead.headers())["reason"].startswith(b"not JSON")


def test_an_order_is_tried_again_when_the_tax_service_is_down(shop: Shop) -> None:
    failures = iter([True, True, False])

    def tax_rate(country: str) -> float:
        if next(failures):
            raise TaxServiceDownError("no answer")
        return 0.19

    shop.tax_rate = tax_rate
    shop.order("o-1")
    with shop.service(retry_after_s=0.1):
        assert [each["order_id"] for each in shop.invoices(1)] == ["o-1"]


def test_after_three_attempts_it_is_given_up(shop: Shop) -> None:
    def tax_rate(country: str) -> float:
        raise TaxServiceDownError("no answer")

    shop.tax_rate = tax_rate
    shop.order("o-1")
    with shop.service(retry_after_s=0.1):
        (dead,) = shop.dead(1)
    assert dict(dead.headers())["reason"] == b"tried 3 times: no answer"


class PowerCutError(Exception):
    """The service dies."""


class Dying(Service):
    """Dies when its third invoice is with the broker and not committed."""

    count = 0
    died = threading.Event()

    def produced(self, out: Outgoing) -> None:
        self.count += 1
        if self.count == 3:
            self._producer.flush(10)
            self.died.set()
            raise PowerCutError


def test_a_crash_in_the_middle_of_a_transaction_invoices_nothing_twice(shop: Shop) -> None:
    for number in range(5):
        shop.order(f"o-{number}")
    with pytest.raises(PowerCutError), shop.service(Dying):
        Dying.died.wait(20)
    with shop.service():
        invoices = shop.invoices(5)
    assert sorted(each["order_id"] for each in invoices) == [f"o-{number}" for number in range(5)]


# What only a broker that helps to test can show


def test_an_answer_that_is_lost_makes_no_second_invoice(shop: Shop, kwire_only: Any) -> None:
    rule = kwire_only.faults.add(
        api="Produce", topic=shop.settings.invoices, drop_connection=True, when="after", times=2
    )
    for number in range(5):
        shop.order(f"o-{number}")
    with shop.service():
        invoices = shop.invoices(5)
    assert sorted(each["order_id"] for each in invoices) == [f"o-{number}" for number in range(5)]
    rule.assert_fired(2)
