from __future__ import annotations

from metering.invoices.tests.samples import credit_note, invoice, line
from metering.invoices.view import aligned, view


def test_points_stand_in_one_column() -> None:
    assert aligned(["1", "", "1234.500000", "0.0059"], 2) == ["1.0000", "", "1,234.5000", "0.0059"]
    assert aligned(["10", "200.000000"], 0) == ["10", "200"]


def test_one_price_for_all_stands_in_its_line() -> None:
    part = {**line()["parts"][1]}
    (first, exactly) = view(invoice(lines=[line(parts=[part])])).lines.rows
    assert first.cells == ("Live audio", "121.000", "0.0059", "0.123456")
    assert (exactly.cells[0], exactly.style) == ("Exactly 7,260,000 ms", "part")


def test_tiers_are_parts_of_their_line() -> None:
    rows = view(invoice()).lines.rows
    assert [row.cells[0] for row in rows] == [
        "Live audio", "Exactly 7,260,000 ms", "Included", "Minutes 100 to 121",
    ]  # fmt: skip


def test_what_is_due_stands_first() -> None:
    assert view(invoice()).headline == ("Total due", "USD 0.12")
    assert view(invoice(mode="prepaid")).headline == ("Paid from prepaid credit", "USD 0.12")
    assert view(invoice(total="-5.00")).headline[0] == "In your favour"
    assert view(invoice(state="draft", issued_on="", due_on="")).headline[0] == "Total so far"
    assert view(credit_note()).headline == ("Credited to you", "USD 0.10")
    assert view(invoice(currency="JPY", decimals=0, total="1200")).headline[1] == "JPY 1,200"


def test_rounding_is_stated_where_there_is_some() -> None:
    assert [row.cells[0] for row in view(invoice()).totals] == ["Sub-total", "Rounding", "Total USD"]
    assert [row.cells[0] for row in view(credit_note()).totals] == ["Total credited USD"]


def test_a_long_summary_ends_at_a_bound() -> None:
    tags = [{"name": f"tag-{number}", "ms": 1, "amount": "0"} for number in range(150)]
    shown = view(invoice(summary={**invoice()["summary"], "tags": tags}))
    (table,) = [table for table in shown.summaries if table.title == "By tag"]
    assert len(table.rows) == 100
    assert table.note.startswith("50 more are in the JSON of this invoice.")


def test_an_address_without_end_does_not_push_the_tax_number_out() -> None:
    customer = {**invoice()["customer"], "address": ["x" * 900] * 12}
    shown = view(invoice(customer=customer)).customer
    assert (shown[0], shown[-1]) == ("Acme GmbH", "Tax number ATU1")
    assert sum(map(len, shown[1:-1])) == 1000
