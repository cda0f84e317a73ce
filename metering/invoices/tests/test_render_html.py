from __future__ import annotations

import re

from metering.invoices.render_html import render_html
from metering.invoices.tests.samples import credit_note, invoice, line


def test_it_says_what_the_document_says() -> None:
    page = render_html(invoice())
    for text in ("2026-000123", "Acme GmbH", "12 Übergasse", "USD 0.12", "17 January 2027", "0.123456"):
        assert text in page
    assert "2026-12-01 00:30" in page  # where the customer is


def test_text_is_text_and_no_markup() -> None:
    evil = '<script>alert("1")</script>'
    customer = {**invoice()["customer"], "legal_name": evil, "address": [evil], "account": evil}
    page = render_html(invoice(customer=customer, lines=[line(description=evil)], number=evil))
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 5


def test_it_asks_for_nothing_from_elsewhere() -> None:
    page = render_html(invoice())
    assert not re.search(r"(src|href|url\(|@import|http:|https:|//)", page)


def test_a_direction_does_not_leave_its_line() -> None:
    page = render_html(invoice(customer={**invoice()["customer"], "legal_name": "\u202eevil"}))
    assert "<bdi>\u202eevil</bdi>" in page


def test_a_credit_note() -> None:
    page = render_html(credit_note())
    for text in ("Credit note", "Invoice 2026-000123", "An outage", "Credited to you"):
        assert text in page
