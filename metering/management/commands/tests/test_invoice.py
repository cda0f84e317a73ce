"""`manage.py invoice`, as an operator types it."""

from __future__ import annotations

import csv
import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from metering.invoices.tests.conftest import clock as clock
from metering.invoices.tests.month import line, plan, put_on, use, utc


@pytest.fixture(autouse=True)
def _used(acme: Any, rival: Any, clock: Any) -> None:
    both = plan("both", lines=[line("Audio", (None, "1"))])
    for who in (acme, rival):
        put_on(who, both)
        use(who, utc(2024, 1, 10), f"of-{who.tenant.slug}", 600_000)


def invoice(*arguments: object) -> str:
    out = StringIO()
    call_command("invoice", *map(str, arguments), stdout=out)
    return out.getvalue().strip()


JANUARY = ("--tenant", "acme", "--period", "2024-01")


def test_from_draft_to_credit_note(acme: Any, rival: Any, clock: Any, tmp_path: Path) -> None:
    clock.set(2024, 2, 1)
    assert invoice("draft", *JANUARY) == "Invoice (draft) of acme for 2024-01: USD 10.00."
    with pytest.raises(CommandError, match="force"):
        invoice("finalise", *JANUARY)
    assert invoice("finalise", *JANUARY, "--force") == "Invoice 2024-000001 of acme for 2024-01: USD 10.00."
    said = invoice("credit", "--number", "2024-000001", "--reason", "Outage", "--line", "2.50=Two hours")
    assert said == "Credit note CN-2024-000001 of acme for 2024-01: USD 2.50."
    assert "USD 7.50" in invoice("credit", "--number", "2024-000001", "--reason", "The rest")
    with pytest.raises(CommandError, match="Nothing is left"):
        invoice("credit", "--number", "2024-000001", "--reason", "More")
    out = tmp_path / "note.pdf"
    assert invoice("render", "--number", "CN-2024-000001", "--out", out).endswith(f"\nWritten to {out}.")
    assert out.read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("suffix", ["html", "pdf", "csv", "json"])
def test_a_file_is_what_its_suffix_says(
    acme: Any, rival: Any, clock: Any, tmp_path: Path, suffix: str
) -> None:
    out = tmp_path / f"invoice.{suffix}"
    invoice("draft", *JANUARY, "--out", out)
    content = out.read_bytes()
    match suffix:
        case "html":
            assert content.startswith(b"<!DOCTYPE html>")
        case "pdf":
            assert content.startswith(b"%PDF")
        case "csv":
            rows = list(csv.DictReader(content.decode().splitlines()))
            assert [row["request_id"] for row in rows] == ["", "of-acme"]
        case "json":
            assert [one["request_id"] for one in json.loads(content)["streams"]] == ["of-acme"]
    assert b"of-rival" not in content


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("draft", "--tenant", "nobody", "--period", "2024-01"), "There is no tenant 'nobody'."),
        (("draft", "--tenant", "acme", "--period", "January"), "'January' is no month."),
        (("draft", "--tenant", "acme", "--period", "2024-13"), "'2024-13' is no month."),
        (("draft", "--tenant", "acme", "--period", "9999-12"), "A billing period is a month"),
        (
            ("draft", *JANUARY, "--out", "invoice.docx"),
            "Let its name end in one of .html, .pdf, .csv, .json.",
        ),
        (("draft", *JANUARY, "--out", "/nowhere/invoice.pdf"), "/nowhere/invoice.pdf cannot be written"),
        (("finalise", "--tenant", "acme", "--period", "2023-11", "--force"), "has nothing in this period"),
        (("render", "--number", "2024-000009"), "There is no invoice '2024-000009'."),
    ],
)
def test_what_is_wrong_is_said(
    acme: Any, rival: Any, clock: Any, arguments: tuple[str, ...], said: str
) -> None:
    with pytest.raises(CommandError) as refusal:
        invoice(*arguments)
    assert said in str(refusal.value)


def test_a_credit_note_whose_file_cannot_be_written_says_that_it_is_made(
    acme: Any, rival: Any, clock: Any
) -> None:
    clock.set(2024, 2, 3)
    invoice("finalise", *JANUARY)
    out = StringIO()
    wanted = ("--number", "2024-000001", "--reason", "x", "--line", "2.50=x", "--out", "/nowhere/note.pdf")
    with pytest.raises(CommandError, match="CN-2024-000001 is made all the same: invoice render --number"):
        call_command("invoice", "credit", *wanted, stdout=out)
    assert out.getvalue() == "Credit note CN-2024-000001 of acme for 2024-01: USD 2.50.\n"


def test_a_line_has_an_amount(acme: Any, rival: Any, clock: Any) -> None:
    clock.set(2024, 2, 3)
    invoice("finalise", *JANUARY)
    with pytest.raises(CommandError, match=r"12\.50=What it is for"):
        invoice("credit", "--number", "2024-000001", "--reason", "x", "--line", "two=x")
    with pytest.raises(CommandError, match=r"1E\+30 is no amount"):
        invoice("credit", "--number", "2024-000001", "--reason", "x", "--line", "1e30=x")
    with pytest.raises(CommandError, match="is no line"):
        invoice("credit", "--number", "2024-000001", "--reason", "x", "--line", "2.50")
