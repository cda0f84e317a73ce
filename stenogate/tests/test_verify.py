"""An invoice and receipts as the service makes them agree; whatever is changed in any of them is found."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from metering.invoices import draft
from metering.invoices.output import pieces
from metering.ledger import accounts
from metering.ledger.append import NewEntry, append
from metering.models import Account, Receipt
from metering.models.ledger import EntryKind
from metering.receipts import keys
from metering.receipts.shown import shown
from metering.receipts.tests import book
from metering.receipts.tests.test_due import turn
from stenogate import verify
from stenogate.errors import UsageError
from tenants.scope import tenant_scope

MINUTE = 60_000


@dataclass
class Papers:
    invoice: dict[str, Any]
    receipts: list[dict[str, Any]]
    keys: dict[str, Any]
    of_rival: list[dict[str, Any]]

    def run(self, folder: Path) -> tuple[int, str]:
        (folder / "invoice.json").write_text(json.dumps(self.invoice))
        (folder / "keys.json").write_text(json.dumps(self.keys, default=str))
        (folder / "receipts.jsonl").write_text("".join(json.dumps(one) + "\n" for one in self.receipts))
        out = io.StringIO()
        code = verify.run(folder / "invoice.json", folder / "receipts.jsonl", None, out)
        return code, out.getvalue()


def _made(acme: Any, rival: Any) -> Papers:
    book.priced(acme, "ours", minimum_ms=0)
    book.priced(rival, "theirs")
    streams = {
        "a": [book.stream(acme, "a", 3 * MINUTE, tags=["x"])],
        "b": [book.stream(acme, f"b.{n}", 4 * MINUTE + n) for n in (0, 1)],
        "c": [book.stream(acme, "c", 90_001, kind="recorded", model="n", tags=["x", "y"])],
        "d": [book.stream(acme, "d", 12_345)],
    }
    for name, events in streams.items():
        book.used(acme, *events)
        book.ended(acme, name, sum(one["to_ms"] for one in events))
    book.used(rival, book.stream(rival, "a", 5000))
    book.ended(rival, "a", 5000)
    turn()
    taken_back = NewEntry(
        EntryKind.CORRECTION, "counted twice", "reconcile:a", ms=-MINUTE, stream="a", from_ms=0, to_ms=MINUTE
    )
    append(acme.tenant.id, [taken_back])
    turn(book.LATER)
    # What comes now is waived.
    charged = accounts.account_of(acme.tenant.id).charged
    accounts.change(acme.tenant.id, actor=None, hard_cap=charged + Decimal("0.001"))
    book.used(acme, book.stream(acme, "e", 5 * MINUTE))
    book.ended(acme, "e", 5 * MINUTE)
    turn(book.LATER)
    with tenant_scope(acme.tenant.id):
        period = Account.objects.get().period
    assert period is not None
    document = draft(acme.tenant.id, period)
    text = b"".join(pieces(".json", document, document["streams"])).decode()
    return Papers(json.loads(text), _receipts(acme), {"keys": keys.published()}, _receipts(rival))


def _receipts(household: Any) -> list[dict[str, Any]]:
    with tenant_scope(household.tenant.id):
        return [dict(shown(row)) for row in Receipt.objects.order_by("number")]


_kept: list[Papers] = []


@pytest.fixture
def papers(acme: Any, rival: Any, monkeypatch: pytest.MonkeyPatch) -> Papers:
    """Made once, and a copy for each test."""
    if not _kept:
        monkeypatch.setenv("RECEIPT_KEYS", keys.make("2026-11"))
        _kept.append(_made(acme, rival))
    return copy.deepcopy(_kept[0])


def test_what_the_service_makes_agrees(papers: Papers, tmp_path: Path) -> None:
    kinds = {line["type"] for line in papers.invoice["lines"]}
    assert {"usage", "correction", "waived"} <= kinds
    assert len(papers.receipts) == 6  # five streams, and one of them twice
    code, said = papers.run(tmp_path)
    assert code == 0, said
    assert "6 receipts, number 1 to 6" in said
    assert f"the total of {papers.invoice['total']} USD" in said


def test_receipts_of_an_invoice_may_begin_in_the_middle_of_the_chain(papers: Papers, tmp_path: Path) -> None:
    # As those of the second month do; here, so that the first stream's has been superseded.
    papers.receipts = papers.receipts[1:]
    assert papers.run(tmp_path)[0] == 0


Tamper = Callable[[Papers], None]


def line(papers: Papers, type_: str) -> dict[str, Any]:
    return next(one for one in papers.invoice["lines"] if one["type"] == type_)


def put(*path: Any, value: Any) -> Tamper:
    def tamper(papers: Papers) -> None:
        at: Any = papers.invoice
        for name in path[:-1]:
            at = at[name]
        assert at[path[-1]] != value
        at[path[-1]] = value

    return tamper


def more_of_a_stream(papers: Papers) -> None:
    """The same lie everywhere it can be seen on the invoice itself."""
    stream = papers.invoice["streams"][-1]
    stream["ranges"][-1]["to_ms"] += 1000
    stream["ms"] += 1000


def stream_twice(papers: Papers) -> None:
    papers.invoice["streams"].append(papers.invoice["streams"][-1])
    papers.invoice["streams_count"] += 1


def stream_gone(papers: Papers) -> None:
    del papers.invoice["streams"][-1]
    papers.invoice["streams_count"] -= 1


def body_changed(papers: Papers) -> None:
    papers.receipts[2]["body"] = papers.receipts[2]["body"].replace('"ms":', '"ms": ')


def of_another_stream(papers: Papers) -> None:
    papers.receipts[2]["signature"] = papers.receipts[1]["signature"]


def hash_changed(papers: Papers) -> None:
    papers.receipts[2]["hash"] = "00" * 32


def tiers_changed(papers: Papers) -> None:
    papers.invoice["prices"][0]["tiers"][0]["per_minute"] = "0.9"


def of_the_rival(papers: Papers) -> None:
    papers.receipts = papers.of_rival


def key_changed(papers: Papers) -> None:
    papers.keys["keys"][0]["x"] = "A" * 43


def key_gone(papers: Papers) -> None:
    papers.keys["keys"].clear()


def usage_ms(papers: Papers) -> None:
    line(papers, "usage")["ms"] += 1


def usage_amount(papers: Papers) -> None:
    line(papers, "usage")["amount"] = "9.000000"


def correction_amount(papers: Papers) -> None:
    line(papers, "correction")["amount"] = "0.000000"


def waived_to_us(papers: Papers) -> None:
    line(papers, "waived")["amount"] = "1.000000"


def part_amount(papers: Papers) -> None:
    line(papers, "usage")["parts"][-1]["amount"] = "0.000001"


def line_twice(papers: Papers) -> None:
    papers.invoice["lines"].append(line(papers, "waived"))


def made_up_minimum(papers: Papers) -> None:
    papers.invoice["lines"].append({**line(papers, "waived"), "type": "minimum", "amount": "1.000000"})


def round_up(papers: Papers) -> None:
    papers.invoice["decimals"] = -2
    papers.invoice["total"] = papers.invoice["due"] = "100"
    papers.invoice["rounding"] = str(100 - Decimal(papers.invoice["subtotal"]))


TAMPERED: dict[str, tuple[Tamper, str]] = {
    "more of a stream": (more_of_a_stream, "of e at price"),
    "a stream twice": (stream_twice, "is billed twice from 0 to 300000 ms"),
    "a stream less": (stream_gone, "of this period are not on the invoice"),
    "a stream's ms": (put("streams", 0, "ms", value=1), "stream line 1 (a): it says 1 ms"),
    "a stream's price": (put("streams", 0, "price", value=None), "stream a: the invoice bills"),
    "a stream's name": (put("streams", 0, "request_id", value="z"), "it has a range of stream a"),
    "a stream's amount": (put("streams", 0, "amount", value="0.000001"), "its streams are"),
    "how many streams": (put("streams_count", value=99), "streams_count: there are 5"),
    "the period": (put("period", "first_day", value="2020-01-01"), "receipt"),
    "a receipt's body": (body_changed, "line 3: its signature is not one of the key '2026-11'"),
    "a receipt's signature": (of_another_stream, "line 3: its signature"),
    "a receipt's hash": (hash_changed, "line 3: its hash is not that of its body"),
    "a receipt's key": (
        lambda papers: papers.receipts[0].update(key="other"),
        "not among the published ones",
    ),
    "a receipt gone": (lambda papers: papers.receipts.pop(2), "receipt 3 is missing"),
    "receipts gone": (lambda papers: papers.receipts.__delitem__(slice(1, 4)), "receipts 2 to 4 are missing"),
    "the last receipt gone": (
        lambda papers: papers.receipts.pop(),
        "stream e: it is billed, and has no receipt",
    ),
    "a receipt twice": (lambda papers: papers.receipts.append(papers.receipts[0]), "number 1 is there twice"),
    "a revision held back": (lambda papers: papers.receipts.pop(4), "receipt 5 is missing"),
    "receipts of another tenant": (of_the_rival, "the receipts are of tenant"),
    "no receipts": (lambda papers: papers.receipts.clear(), "has no receipt"),
    "the published key": (key_changed, "its signature"),
    "no published key": (key_gone, "not among the published ones"),
    "a price": (tiers_changed, "its tiers is not as in receipt"),
    "what is included": (put("prices", 0, "included_ms", value=1), "its included_ms is not as in receipt"),
    "a price's currency": (put("prices", 0, "currency", value="EUR"), "its price is in EUR"),
    "no prices": (put("prices", value=[]), "is not on the invoice"),
    "a line's ms": (usage_ms, "line 1: "),
    "a line's amount": (usage_amount, "and it says 9.000000"),
    "a correction": (correction_amount, "and it says 0.000000"),
    "what is waived": (waived_to_us, "waived is to the customer's credit"),
    "a tier": (part_amount, "line 1: its part from"),
    "what is free": (put("lines", 0, "included_ms", value=1), "are not what is included"),
    "a line twice": (line_twice, "there are two lines waived"),
    "a minimum": (made_up_minimum, "no minimum charge of 1.000000 was agreed"),
    "a line of its own kind": (put("lines", 0, "type", value="fee"), "nobody knows what the type 'fee' is"),
    "the sub-total": (put("subtotal", value="9.000000"), "subtotal: the lines are"),
    "the total": (put("total", value="9.00"), "total: "),
    "what is due": (put("due", value="9.00"), "due: it is"),
    "the rounding": (put("rounding", value="1.000000"), "rounding: it is"),
    "all ms": (put("ms", value=1), "ms: the streams are"),
    "ms of the ledger": (put("ledger", "ms", value=1), "ledger.ms: the streams are"),
    "ms of a model": (put("summary", "models", 0, "ms", value=1), "summary by models: of 'm'"),
    "ms of a project": (put("summary", "projects", 0, "ms", value=1), "summary by projects"),
    "where to round": (round_up, "decimals: USD has 2, and it says -2"),
    "ms of a tag": (put("summary", "tags", 0, "ms", value=1), "summary by tags: of"),
    "money of a region": (
        put("summary", "regions", 0, "amount", value="9.0"),
        "summary by regions: together",
    ),
    "ms of a day": (put("summary", "days", 0, "ms", value=1), "summary by days"),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_what_was_changed_is_found_and_named(what: str, papers: Papers, tmp_path: Path) -> None:
    tamper, named = TAMPERED[what]
    tamper(papers)
    code, said = papers.run(tmp_path)
    assert code == 1
    assert any(named in one for one in said.splitlines() if one.startswith("DIFFERS  ")), said


def test_what_cannot_be_read_is_refused_with_what_to_do(papers: Papers, tmp_path: Path) -> None:
    papers.run(tmp_path)
    good = {path.name: path.read_text() for path in tmp_path.iterdir()}
    cases = {
        ("invoice.json", ""): "it is not JSON",
        ("invoice.json", "[]"): "it is no object",
        ("invoice.json", "{}"): "/v1/billing/invoices/NUMBER",
        ("invoice.json", good["invoice.json"].replace('"ms": ', '"ms": 0.5', 1)): "not a whole number",
        ("invoice.json", '{"v": 1, "v": 1}'): "a name twice",
        ("invoice.json", '{"v": 1, "kind": "invoice"}'): "lacks something",
        ("invoice.json", "[" * 100_000): "it is nested too deeply",
        ("invoice.json", '{"v": ' + "1" * 5000 + "}"): "it is not JSON",
        ("invoice.json", good["invoice.json"].replace('"number": ""', '"nummer": ""')): "lacks something",
        ("invoice.json", changed(good, subtotal="1E+999999999")): "lacks something",
        ("invoice.json", changed(good, subtotal="NaN")): "lacks something",
        ("receipts.jsonl", "{}\nnonsense\n"): "receipts.jsonl, line 2",
        ("keys.json", "{}"): "/v1/receipts/keys",
        ("keys.json", '{"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": "AA"}]}'): "not 32 bytes",
    }
    for (name, text), said in cases.items():
        for other, was in good.items():
            (tmp_path / other).write_text(was)
        (tmp_path / name).write_text(text)
        with pytest.raises(UsageError, match=said):
            verify.run(tmp_path / "invoice.json", tmp_path / "receipts.jsonl", None, io.StringIO())


def changed(good: dict[str, str], **changes: Any) -> str:
    return json.dumps({**json.loads(good["invoice.json"]), **changes})


def test_what_a_file_says_draws_nothing_but_letters(papers: Papers, tmp_path: Path) -> None:
    papers.invoice["number"] = "1\x1b[2K\ragrees\n\ud800"
    code, said = papers.run(tmp_path)
    assert (code, said.splitlines()[-1]) == (0, "invoice 1?[2K?agrees?? agrees.")


def test_without_keys_it_says_where_to_get_them(papers: Papers, tmp_path: Path) -> None:
    papers.run(tmp_path)
    moved = (tmp_path / "keys.json").rename(tmp_path / "elsewhere.json")
    invoice, receipts = tmp_path / "invoice.json", tmp_path / "receipts.jsonl"
    with pytest.raises(UsageError, match="--keys"):
        verify.run(invoice, receipts, None, io.StringIO())
    assert verify.run(invoice, receipts, moved, io.StringIO()) == 0


def test_an_invoice_that_does_not_list_its_streams_is_refused(papers: Papers, tmp_path: Path) -> None:
    papers.invoice["streams_listed"] = False
    with pytest.raises(UsageError, match="does not list its streams"):
        papers.run(tmp_path)
