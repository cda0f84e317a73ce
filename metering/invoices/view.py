"""What a page shows of a document: texts, in the order in which they are read. HTML and PDF differ in how
they put them on paper, and in nothing else. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from metering.invoices.money import minutes, readable

MAX_STREAMS = 500
MAX_ROWS = 100  # of a summary
MAX_ADDRESS = 1000  # characters
NOTHING = "\N{EN DASH}"
SUMMARIES = (
    ("projects", "By project", "Project", "Not of a project"),
    ("models", "By model", "Model", "Not of a model"),
    ("kinds", "By kind", "Kind", "Not audio"),
    ("regions", "By region", "Region", "Not of a region"),
    ("tags", "By tag", "Tag", "Without a tag"),
    ("days", "By day", "Day", ""),
)


@dataclass(frozen=True)
class Row:
    cells: tuple[str, ...]
    style: str = ""  # "part" of the line above it, "strong"


@dataclass(frozen=True)
class Table:
    title: str
    header: tuple[str, ...]
    rows: tuple[Row, ...]
    texts: int = 1  # this many columns are texts, from the left; the others are numbers
    note: str = ""


@dataclass(frozen=True)
class View:
    title: str
    number: str
    seller: tuple[str, ...]
    customer: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    headline: tuple[str, str]  # what is due, and how much
    notes: tuple[str, ...]
    lines: Table
    totals: tuple[Row, ...]
    payments: Table | None
    summaries: tuple[Table, ...]
    prices: Table | None
    streams: Table | None
    proof: str


def view(document: dict[str, Any]) -> View:
    return (_credit_note if document["kind"] == "credit_note" else _invoice)(document)


def _invoice(document: dict[str, Any]) -> View:
    draft = document["state"] == "draft"
    currency = document["currency"]
    prepaid = document["mode"] == "prepaid"
    amount = money(document["total"], document)
    headline = ("Total so far" if draft else "Total due", f"{currency} {amount}")
    notes = []
    if draft:
        notes.append(
            "This is a draft and no invoice: it shows what has been recorded of the period until now."
        )
    elif prepaid:
        headline = ("Paid from prepaid credit", f"{currency} {amount}")
        notes.append("This invoice was paid from prepaid credit. Nothing is due.")
    elif Decimal(document["total"]) < 0:
        headline = ("In your favour", f"{currency} {amount}")
        notes.append("This invoice is in your favour. Nothing is due.")
    if document["credits"]:
        notes.append("Payments and credits are listed for information; they do not change the total.")
    due = [] if draft or prepaid else [("Due", day(document["due_on"]))]
    issued = [] if draft else [("Number", document["number"]), ("Issued", day(document["issued_on"]))]
    facts = (*issued, *due, *_of_period(document), ("Account", document["customer"]["account"]))
    return View(
        title="Invoice draft" if draft else "Invoice",
        number=document["number"],
        facts=facts,
        headline=headline,
        notes=tuple(notes),
        lines=_lines(document),
        totals=_totals(document, "Total"),
        payments=_payments(document),
        summaries=tuple(_summaries(document)),
        prices=_prices(document),
        streams=_streams(document),
        **_people(document),
        proof=_proof(document),
    )


def _credit_note(document: dict[str, Any]) -> View:
    corrects = document["corrects"]
    facts = (
        ("Number", document["number"]), ("Issued", day(document["issued_on"])),
        ("Corrects", f"Invoice {corrects['number']}"), ("Invoice of", day(corrects["issued_on"])),
        *_of_period(document), ("Account", document["customer"]["account"]),
    )  # fmt: skip
    return View(
        title="Credit note",
        number=document["number"],
        facts=facts,
        headline=("Credited to you", f"{document['currency']} {money(document['total'], document)}"),
        notes=(f"Reason: {document['reason']}",),
        lines=_credited(document),
        totals=_totals(document, "Total credited"),
        payments=None,
        summaries=(),
        prices=None,
        streams=None,
        **_people(document),
        proof="",
    )


def _people(document: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    seller, customer = document["seller"], document["customer"]
    tax = [f"Tax number {customer['tax_id']}"] if customer["tax_id"] else []
    return {
        "seller": _bounded([seller["name"], *seller["lines"]]),
        "customer": _bounded([customer["legal_name"], *tax, *customer["address"]], keep=1 + len(tax)),
    }


def _bounded(texts: list[str], keep: int = 1) -> tuple[str, ...]:
    """What fits on a page, whatever somebody has put into an address; `keep` is never left out."""
    found, room = texts[:keep], MAX_ADDRESS
    for text in texts[keep:]:
        found.append(text[:room])
        room -= len(text)
        if room <= 0:
            break
    # A tax number is read after the address.
    return (found[0], *found[keep:], *found[1:keep])


def _of_period(document: dict[str, Any]) -> list[tuple[str, str]]:
    period = document["period"]
    first, last = date.fromisoformat(period["first_day"]), date.fromisoformat(period["last_day"])
    return [("Period", f"{first.day}\N{EN DASH}{last.day} {last:%B %Y}"), ("Time zone", period["time_zone"])]


def _lines(document: dict[str, Any]) -> Table:
    rows: list[tuple[str, tuple[str, str, str, str]]] = []
    for line in document["lines"]:
        parts = line.get("parts", [])
        # One price for all of it needs no rows of its own.
        alone = parts[0]["per_minute"] if len(parts) == 1 and Decimal(parts[0]["per_minute"]) else ""
        long = line["minutes"] if line["ms"] else ""
        rows.append(("", (line["description"], long, alone, line["amount"])))
        if line["ms"]:
            rows.append(("part", (f"Exactly {readable(str(line['ms']), 0)} ms", "", "", "")))
        if parts and not alone:
            rows.extend(("part", _part(part)) for part in parts)
    rows = rows or [("", ("No usage and no charges", "", "", "0"))]
    least = document["decimals"]
    columns = list(zip(*(cells for _, cells in rows), strict=True))
    shown = [columns[0], aligned(columns[1], 3), aligned(columns[2], 2), aligned(columns[3], least)]
    cells = zip(*shown, strict=True)
    header = ("Description", "Minutes", "Per minute", f"Amount {document['currency']}")
    made = tuple(Row(row, style) for row, (style, _) in zip(cells, rows, strict=True))
    return Table("", header, made)


def _credited(document: dict[str, Any]) -> Table:
    lines = document["lines"]
    amounts = aligned([line["amount"] for line in lines], document["decimals"])
    rows = [Row((line["description"], amount)) for line, amount in zip(lines, amounts, strict=True)]
    return Table("", ("Description", f"Amount {document['currency']}"), tuple(rows))


def _part(part: dict[str, Any]) -> tuple[str, str, str, str]:
    if not Decimal(part["per_minute"]):
        text = "Included"
    else:
        text = f"Minutes {readable(minutes(part['from_ms']), 0)} to {readable(minutes(part['to_ms']), 0)}"
    return text, part["minutes"], part["per_minute"], part["amount"]


def _totals(document: dict[str, Any], name: str) -> tuple[Row, ...]:
    rounding = Decimal(document["rounding"])
    # With as many places as the lines above it.
    amounts = [document["subtotal"], document["rounding"], *(line["amount"] for line in document["lines"])]
    subtotal, rounded, *_ = aligned(amounts, document["decimals"])
    exact = [Row(("Sub-total", subtotal)), Row(("Rounding", rounded))] if rounding else []
    total = Row((f"{name} {document['currency']}", money(document["total"], document)), "strong")
    return (*exact, total)


def _payments(document: dict[str, Any]) -> Table | None:
    found = document["credits"]
    if not found:
        return None
    zone = ZoneInfo(document["period"]["time_zone"])
    amounts = aligned([credit["amount"] for credit in found[:MAX_ROWS]], document["decimals"])
    rows = [
        Row((local(credit["at"], zone)[:10], credit["description"] or _payment_name(credit), amount))
        for credit, amount in zip(found, amounts, strict=False)
    ]
    header = ("Day", "Description", f"Amount {document['currency']}")
    return Table("Payments and credits", header, tuple(rows), texts=2, note=_more(found, MAX_ROWS))


def _payment_name(credit: dict[str, Any]) -> str:
    return str(credit["type"]).replace("_", " ").capitalize()


def _summaries(document: dict[str, Any]) -> Iterator[Table]:
    for key, title, header, unnamed in SUMMARIES:
        found = document["summary"][key]
        if not found:
            continue
        shown = found[:MAX_ROWS]
        long = aligned([minutes(row["ms"]) for row in shown], 3)
        amounts = aligned([row["amount"] for row in shown], document["decimals"])
        names = [day(row["name"]) if key == "days" else row["name"] or unnamed for row in shown]
        rows = tuple(Row(cells) for cells in zip(names, long, amounts, strict=True))
        notes = [_more(found, MAX_ROWS)]
        if key == "tags":
            notes.append("Audio with two tags counts under each of them.")
        note = " ".join(filter(None, notes))
        yield Table(title, (header, "Minutes", f"Amount {document['currency']}"), rows, note=note)


def _prices(document: dict[str, Any]) -> Table | None:
    rows = []
    for price in document["prices"]:
        of = ", ".join(filter(None, (price["model"], price["kind"], price["region"]))) or "all audio"
        plan = f"{price['plan']}, version {price['version']}"
        if price["included_ms"]:
            rows.append(Row((price["label"], plan, of, f"first {_minutes(price['included_ms'])}", "0.00")))
        for number, tier in enumerate(price["tiers"]):
            reach = "beyond"
            if tier["up_to_ms"] is not None:
                reach = f"up to {_minutes(price['included_ms'] + tier['up_to_ms'])}"
            reach = "every minute" if len(price["tiers"]) == 1 and not price["included_ms"] else reach
            again = number > 0 or price["included_ms"] > 0
            lead = ("", "", "") if again else (price["label"], plan, of)
            rows.append(Row((*lead, reach, tier["per_minute"])))
    if not rows:
        return None
    per_minute = aligned([row.cells[-1] for row in rows], 2)
    shown = [Row((*row.cells[:-1], price)) for row, price in zip(rows, per_minute, strict=True)]
    header = (
        "Price line",
        "Plan",
        "Applies to",
        "Minutes of the period",
        f"{document['currency']} per minute",
    )
    return Table("Prices", header, tuple(shown), texts=4)


def _minutes(ms: int) -> str:
    return readable(minutes(ms), 0)


def _streams(document: dict[str, Any]) -> Table | None:
    found = document["streams"][:MAX_STREAMS]
    count = document["streams_count"]
    if not count:
        return None
    note = ""
    if count > len(found):
        note = f"{count - len(found):,} more are in the CSV and JSON of this invoice."
    zone = ZoneInfo(document["period"]["time_zone"])
    long = aligned([minutes(stream["ms"]) for stream in found], 3)
    amounts = aligned([stream["amount"] for stream in found], document["decimals"])
    rows = [
        Row((stream["request_id"] or NOTHING, _when(stream, zone), stream["model"], minute, amount))
        for stream, minute, amount in zip(found, long, amounts, strict=True)
    ]
    header = ("Request", "Processed", "Model", "Minutes", f"Amount {document['currency']}")
    return Table("Streams", header, tuple(rows), texts=3, note=note)


def _when(stream: dict[str, Any], zone: ZoneInfo) -> str:
    return local(stream["processed_at"], zone) + (" (late)" if stream["late"] else "")


def _proof(document: dict[str, Any]) -> str:
    ledger = document["ledger"]
    if not ledger["entries"]:
        return ""
    return (
        f"Of the {ledger['entries']:,} ledger entries of this period, from {ledger['first_seq']} to "
        f"{ledger['last_seq']}; {ledger['ms']:,} ms of audio. Hash of the last entry: {ledger['head']}"
    )


def _more(found: Sequence[Any], most: int) -> str:
    return f"{len(found) - most:,} more are in the JSON of this invoice." if len(found) > most else ""


def aligned(amounts: Sequence[str], least: int) -> list[str]:
    """All with as many decimal places as the one that needs most, so that the points stand in one column."""
    exponents = [Decimal(amount).normalize().as_tuple().exponent for amount in amounts if amount]
    most = max([least, *(-int(exponent) for exponent in exponents)])
    return [readable(amount, most) if amount else "" for amount in amounts]


def money(amount: str, document: dict[str, Any]) -> str:
    return readable(amount, document["decimals"])


def day(text: str) -> str:
    at = date.fromisoformat(text)
    return f"{at.day} {at:%B %Y}"


def local(instant: str, zone: ZoneInfo) -> str:
    return f"{datetime.fromisoformat(instant).astimezone(zone):%Y-%m-%d %H:%M}"
