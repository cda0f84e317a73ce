"""What is read back from a PDF."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from pypdf import PdfReader

from metering.invoices.render_pdf import render_pdf
from metering.invoices.tests.samples import credit_note, invoice, line, stream


def read(document: dict[str, Any], paper: str = "a4") -> tuple[list[str], PdfReader]:
    reader = PdfReader(BytesIO(render_pdf(document, paper)))
    return [page.extract_text() for page in reader.pages], reader


def test_it_says_what_the_document_says() -> None:
    pages, reader = read(invoice())
    for text in (
        "Invoice", "2026-000123", "Example Speech Ltd", "Acme GmbH", "12 Übergasse", "USD 0.12",
        "17 January 2027", "1–31 December 2026", "Europe/Vienna", "Live audio", "121.000", "0.0059",  # noqa: RUF001
        "Exactly 7,260,000 ms", "0.123456", "−0.003456",  # noqa: RUF001
        "Page 1 of 3",
    ):  # fmt: skip
        assert text in pages[0], text
    assert "By day" in "".join(pages)
    assert "2026-12-01 00:30" in pages[-1]  # where the customer is
    assert reader.metadata is not None
    assert reader.metadata.title == "Invoice 2026-000123"


def test_a_stream_is_one_line() -> None:
    pages, _ = read(invoice(streams=[stream(1) | {"model": "moonshine-tiny-en"}], streams_count=1))
    assert "moonshine-tiny-en" in pages[-1]


def test_the_same_document_is_the_same_file() -> None:
    assert render_pdf(invoice()) == render_pdf(invoice())


@pytest.mark.parametrize(("paper", "size"), [("a4", (595, 842)), ("letter", (612, 792))])
def test_paper(paper: str, size: tuple[int, int]) -> None:
    _, reader = read(invoice(), paper)
    box = reader.pages[0].mediabox
    assert (round(box.width), round(box.height)) == size


def test_many_streams_go_over_pages_with_their_head_and_end_at_a_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("metering.invoices.view.MAX_STREAMS", 150)
    streams = [stream(number) for number in range(350)]
    pages, _ = read(invoice(streams=streams, streams_count=350))
    shown = [page for page in pages if "0000-4000-8000" in page]
    assert len(shown) > 2
    assert all("Request" in page and "Processed" in page for page in shown)
    whole = "".join(pages)
    assert whole.count("-0000-4000-8000-") == 150
    assert "200 more are in the CSV and JSON of this invoice." in whole
    assert f"Page {len(pages)} of {len(pages)}" in pages[-1]


def test_streams_that_the_document_does_not_list_are_pointed_to() -> None:
    pages, _ = read(invoice(streams=[], streams_count=60_000, streams_listed=False))
    assert "60,000 more are in the CSV and JSON of this invoice." in "".join(pages)


def test_text_is_text_and_no_markup() -> None:
    name = "<script>alert(1)</script> & <b>Sons</b>"
    pages, _ = read(invoice(customer={**invoice()["customer"], "legal_name": name}))
    assert name in pages[0].replace("\n", " ")


@pytest.mark.parametrize(
    "name",
    [
        "Ελληνική Ακουστική", "Слово и дело", "Łódź Þór Ğ", "東京都", "שלום", "مرحبا", "\u202eevil", "a\x00b",
        "\ud800", "🎧", "", "W" * 200, "e\u0301" * 50, "\u0301\u0301",
    ],
)  # fmt: skip
def test_no_name_breaks_it(name: str) -> None:
    address = [name] * 12
    customer = {**invoice()["customer"], "legal_name": name, "address": address, "tax_id": name[:64]}
    pages, _ = read(invoice(customer=customer, lines=[line(description=name)]))
    assert "USD 0.12" in "".join(pages)
    if name.isascii() is False and name[0] in "ΕСŁ":
        assert name in pages[0]


def test_a_table_longer_than_a_page_and_long_words_go_on() -> None:
    lines = [line("adjustment", description="x" * 300, parts=[]) for _ in range(60)]
    pages, _ = read(invoice(lines=lines))
    assert sum("Amount USD" in page for page in pages) > 3


def test_a_credit_note() -> None:
    pages, _ = read(credit_note())
    for text in (
        "Credit note",
        "CN-2026-000007",
        "Invoice 2026-000123",
        "An outage",
        "Credited to you",
        "0.10",
    ):
        assert text in pages[0]


def test_a_draft_says_that_it_is_none() -> None:
    pages, _ = read(invoice(state="draft", number="", issued_on="", due_on="", lines=[]))
    assert "This is a draft and no invoice" in pages[0].replace("\n", " ")
    assert "No usage and no charges" in pages[0]
