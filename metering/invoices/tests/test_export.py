from __future__ import annotations

import csv
import json
from typing import Any

import pytest

from metering.invoices.export import csv_lines, json_pieces
from metering.invoices.tests.samples import credit_note, invoice, line, stream


def rows(document: dict[str, Any], streams: list[dict[str, Any]]) -> list[dict[str, str]]:
    return list(csv.DictReader("".join(csv_lines(document, streams)).splitlines()))


def test_every_line_and_every_stream_is_a_row() -> None:
    found = rows(invoice(), [stream(1, tags=["a", "b"]), stream(2, late=True, ms=-5, amount="-0.000001")])
    assert [row["line"] for row in found] == ["usage", "stream", "stream"]
    assert (found[0]["ms"], found[0]["amount"]) == ("7260000", "0.123456")
    assert (found[1]["project"], found[1]["tags"], found[1]["late"]) == ("Calls", "a b", "no")
    # A negative number is a number.
    assert (found[2]["ms"], found[2]["amount"], found[2]["late"]) == ("-5", "-0.000001", "yes")
    assert {row["invoice"] for row in found} == {"2026-000123"}


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", "  =1"])
def test_a_text_is_no_formula(text: str) -> None:
    project = {"id": "p", "name": text, "ms": 0, "amount": "0"}
    document = invoice(
        lines=[line(description=text)], summary={**invoice()["summary"], "projects": [project]}
    )
    whole = "".join(csv_lines(document, [stream(model=text, tags=[text], region=text)]))
    (first, second) = list(csv.DictReader(whole.split("\r\n")))
    assert first["description"].startswith("'")
    assert all(second[name].startswith("'") for name in ("model", "tags", "region", "project"))


def test_quotes_and_line_breaks_stay_in_their_cell() -> None:
    whole = "".join(csv_lines(invoice(lines=[line(description='a "b", c\nd')]), []))
    assert '"a ""b"", c\nd"' in whole


def test_json_is_the_document_with_all_streams() -> None:
    document = invoice(streams=[], streams_listed=False, streams_count=2)
    streams = [stream(1), stream(2)]
    whole = json.loads("".join(json_pieces(document, streams)))
    assert whole == {**document, "streams": streams, "streams_listed": True}


def test_json_of_a_credit_note_and_of_no_streams() -> None:
    assert json.loads("".join(json_pieces(credit_note(), []))) == credit_note()
    assert json.loads("".join(json_pieces(invoice(), [])))["streams"] == []


def test_it_comes_in_pieces() -> None:
    taken = 0

    def streams() -> Any:
        nonlocal taken
        for number in range(10):
            taken += 1
            yield stream(number)

    pieces = json_pieces(invoice(), streams())
    for _ in range(4):
        next(pieces)
    assert taken == 2
