"""`stenogate verify`: recomputes an invoice from signed receipts. No account, no network, none of our code
that made them: what it knows is in the three files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TextIO

from stenogate import bill, papers, receipts, streams
from stenogate.errors import UsageError
from stenogate.receipts import Chain

AGREES, DIFFERS = 0, 1
KEYS = "keys.json"
MAX_SHOWN = 200

ABOUT = """\
Recompute an invoice from signed receipts, without an account and without a network.

Checks that every receipt is signed by a published key and follows the one before it, that the invoice bills
each stream once and exactly as its receipt says, and that its lines and totals follow from the prices.
"""

MORE = """\
where the files come from:
  curl -H "Authorization: Token $KEY" $URL/v1/billing/invoices/2026-000123           > invoice.json
  curl -H "Authorization: Token $KEY" "$URL/v1/receipts?format=jsonl&start=2026-11-01" > receipts.jsonl
  curl $URL/v1/receipts/keys                                                         > keys.json

exit codes:
  0  all of it agrees
  1  something does not: each thing is named
  2  a file cannot be read, or is not what it should be
"""


def run(invoice_path: Path, receipts_path: Path, keys_path: Path | None, out: TextIO) -> int:
    keys = papers.keys(_keys_beside(receipts_path, keys_path))
    invoice = papers.invoice(invoice_path)
    chain = receipts.check(papers.receipts(receipts_path), keys)
    try:
        problems = [*chain.problems, *_compare(invoice, chain)]
        name, agreed = _name(invoice), _agreed(invoice, chain)
    except (KeyError, TypeError, AttributeError, ValueError, ArithmeticError):
        raise UsageError(f"{invoice_path.name} lacks something that an invoice of version 1 has") from None
    said = [f"DIFFERS  {problem}" for problem in problems[:MAX_SHOWN]]
    if len(problems) > MAX_SHOWN:
        said.append(f"DIFFERS  and {len(problems) - MAX_SHOWN} things more")
    if problems:
        said.append(f"{name} does not agree with its receipts: {len(problems)} found")
    for line in said or agreed:
        print(_harmless(line), file=out)
    return DIFFERS if problems else AGREES


def _compare(invoice: dict[str, Any], chain: Chain) -> list[str]:
    problems = []
    tenant = invoice["customer"]["tenant"]
    if chain.receipts and chain.receipts[0].tenant != tenant:
        problems.append(f"the receipts are of tenant {chain.receipts[0].tenant}, the invoice of {tenant}")
    if invoice["kind"] == "invoice":
        if not invoice["streams_listed"]:
            raise UsageError(
                "the invoice does not list its streams: save it from /v1/billing/invoices/NUMBER"
            )
        problems += streams.check(invoice, chain)
    return problems + bill.check(invoice)


def _agreed(invoice: dict[str, Any], chain: Chain) -> list[str]:
    first, last = (chain.receipts[0].number, chain.receipts[-1].number) if chain.receipts else (0, 0)
    total = f"{invoice['total']} {invoice['currency']}"
    lines = [
        f"agrees   {len(chain.receipts)} receipts, number {first} to {last}: signed, none missing between",
    ]
    if invoice["kind"] == "invoice":
        count, ms = len(invoice["streams"]), invoice["ms"]
        lines.append(f"agrees   {count} stream lines, {ms} ms: each as its receipt says, each once")
        lines.append(
            f"agrees   {len(invoice['lines'])} lines: recomputed with {len(invoice['prices'])} prices"
        )
    lines.append(f"agrees   the total of {total}")
    return [*lines, f"{_name(invoice)} agrees."]


def _harmless(line: str) -> str:
    """A text of a file that is in doubt draws nothing on the reader's terminal but letters."""
    return "".join(letter if letter.isprintable() else "?" for letter in line)


def _name(invoice: dict[str, Any]) -> str:
    kind = "credit note" if invoice["kind"] == "credit_note" else "invoice"
    return (
        f"{kind} {invoice['number']}"
        if invoice["number"]
        else f"the draft of {invoice['period']['first_day']}"
    )


def _keys_beside(receipts_path: Path, given: Path | None) -> Path:
    if given is not None:
        return given
    beside = receipts_path.parent / KEYS
    if not beside.is_file():
        raise UsageError(
            f"there is no {KEYS} beside {receipts_path.name}: save GET /v1/receipts/keys there, or name the "
            "file with --keys"
        )
    return beside
