"""The crash matrix: with streams running something is broken and brought back; then everything must agree.

CRASH_SEED chooses other moments, and which streams are how long; the seed is printed.
"""

from __future__ import annotations

import os
import random
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from ops.stripe.process import control
from tests.acceptance.stack import Stack, running_stack, wait_for
from tests.crash.clerk import Clerk, ClerkError
from tests.crash.faults import BACK_S, HOUR_S, Row, Scene
from tests.crash.load import Load
from tests.crash.sampler import Sampler

TENANTS = ("acme", "rival", "third")
LIVE = 2  # streams of each tenant at a time, beside its recording
SETTINGS = {"ENGINE": "scripted", "USAGE_EVERY_SECONDS": "1", "MAX_STREAMS": "100", "DEMO": "true"}
BROKEN_AFTER_MS = (1_000, 6_000)  # of the audio of a tenant
SETTLED_S = 90.0


@dataclass(frozen=True)
class Books:
    """Of one tenant, when all has settled."""

    sent_ms: int
    ledger_ms: int
    log_ms: int
    provider_ms: int
    invoice_ms: int
    ledger_amount: str
    provider_amount: str
    invoice_total: str
    provider_total: str
    streams_that_differ: dict[str, list[int]]


@dataclass
class Result:
    row: str
    streams: int
    recovery_s: float
    settled_s: float
    mended: int  # differences that reconciliation found and mended
    books: dict[str, Books] = field(default_factory=dict)
    over: list[str] = field(default_factory=list)  # whenever it was
    waits: str = ""  # why it did not settle


def seed() -> int:
    return int(os.environ.get("CRASH_SEED", "1"))


@dataclass
class Matrix:
    stack: Stack
    clerk: Clerk
    load: Load
    sampler: Sampler
    tenants: dict[str, dict[str, str]]
    rng: random.Random
    began: str  # the day

    def play(self, row: Row) -> Result:
        scene = Scene(self.stack, self.clerk)
        streams, seen = self.load.streams, len(self.sampler.over)
        self.load.begin()
        try:
            self._talking(self.rng.randrange(*BROKEN_AFTER_MS))
            broken_at = time.monotonic()
            row.break_(scene)
            if row.back is not None:
                self._talking()
                row.back(scene)
            wait_for(self._up, BACK_S, "everything to be up")
            self._talking()
            recovery_s = time.monotonic() - broken_at
        finally:
            self.load.end()
        ended_at = time.monotonic()
        waits, mended, found = self._settle()
        settled_s = time.monotonic() - ended_at
        return Result(
            row.name, self.load.streams - streams, recovery_s, settled_s, mended,
            {slug: self._books(slug, found[slug]) for slug in self.tenants}, self.sampler.over[seen:], waits,
        )  # fmt: skip

    def _up(self) -> bool:
        with suppress(OSError):  # the gateway is not there yet
            status, text = self.stack.health()
            return status == 200 and "weak" not in text
        return False

    def _talking(self, sent_ms: int = 0) -> None:
        """Until somebody is heard of every tenant, and so much more was sent."""
        heard, sent = dict(self.load.heard), dict(self.load.sent_ms)
        wait_for(
            lambda: all(
                self.load.heard[slug] > heard.get(slug, 0)
                and self.load.sent_ms[slug] >= sent.get(slug, 0) + sent_ms
                for slug in self.tenants
            ),
            BACK_S, "every tenant to hear results",
        )  # fmt: skip

    def _settle(self) -> tuple[str, int, dict[str, Any]]:
        """Reconcile until nothing is left; why not, how much was mended, and what everybody's books say."""
        deadline, waits, mended = time.monotonic() + SETTLED_S, "", 0
        while time.monotonic() < deadline:
            try:
                if self._shipped():
                    # What the ledger has is at the provider before they are compared.
                    self.clerk.ask("send", ahead_s=HOUR_S)
                    done = self.clerk.ask("mend", first=self.began)
                    mended += done["mended"]
                    waits = self._left(done, self.clerk.ask("send", ahead_s=HOUR_S))
                    found = self._all_books()
                    waits = waits or _differ(found)
                    if not waits:
                        return "", mended, found
                else:
                    waits = "the workers' logs are not here yet"
            except (ClerkError, OSError) as error:
                waits = str(error)
            time.sleep(0.2)
        return waits, mended, self._all_books()

    def _shipped(self) -> bool:
        """Whether all that any worker has written down is in the database."""
        port = self.stack.environ["WORKER_PORT"]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as page:
            shipped = "\nworker_inference_log_unshipped_bytes 0.0\n" in page.read().decode()
        return shipped and self.clerk.ask("open_logs") == 1  # those of the dead have ended

    def _left(self, done: dict[str, Any], sent: dict[str, int]) -> str:
        if done["left"]:
            return str(done["report"])
        return "\n".join(self.clerk.ask("intents")) if sent["left"] else ""

    def _all_books(self) -> dict[str, Any]:
        return {slug: self.clerk.ask("books", tenant=one["id"]) for slug, one in self.tenants.items()}

    def _books(self, slug: str, found: dict[str, Any]) -> Books:
        tenant = self.tenants[slug]
        theirs = control(self.stack.facts["stripe_url"], "invoice", {"customer": tenant["customer"]})
        return Books(
            self.load.sent_ms[slug], found["ledger_ms"], found["log_ms"], found["provider_ms"],
            found["invoice"]["ms"], found["ledger_amount"], found["provider_amount"],
            found["invoice"]["total"], str(Decimal(theirs["total"]).scaleb(-2)), found["streams_that_differ"],
        )  # fmt: skip


def _differ(found: dict[str, Any]) -> str:
    for slug, one in found.items():
        if one["unposted"]:
            return f"{slug}: {one['unposted']} events are not posted"
        if one["streams_that_differ"]:
            return f"{slug}: {one['streams_that_differ']}"
        if one["ledger_ms"] != one["provider_ms"]:
            return f"{slug}: {one['ledger_ms']} ms, and {one['provider_ms']} at the provider"
    return ""


@contextmanager
def running() -> Iterator[Matrix]:
    print(f"CRASH_SEED={seed()}")
    rng = random.Random(seed())
    with ExitStack() as leaving:
        stack = leaving.enter_context(running_stack(SETTINGS))
        environ = stack.environ
        clerk = Clerk(environ, stack.var / "log" / "clerk.log")
        leaving.callback(clerk.close)
        began = datetime.now(UTC).date().isoformat()
        tenants = clerk.ask("hire", slugs=list(TENANTS))
        keys = {slug: tenant["key"] for slug, tenant in tenants.items()}
        load = Load(stack.http_url, keys, LIVE, rng)
        leaving.callback(load.close)
        sampler = Sampler(
            environ["DATABASE_URL"], f"{environ.get('DATABASE_ROLE') or 'stenogate_app'}_staff",
            stack.facts["stripe_url"], clerk.ask("ms_event"), tenants, lambda slug: load.sent_ms[slug],
        )  # fmt: skip
        leaving.callback(sampler.close)
        yield Matrix(stack, clerk, load, sampler, tenants, rng, began)


def wrong(result: Result) -> list[str]:
    """What must not be, in words; nothing if all is as it must be. Pure."""
    found = [f"over: {what}" for what in result.over]
    if result.waits:
        found.append(f"did not settle: {result.waits}")
    for slug, books in result.books.items():
        if not books.ledger_ms == books.log_ms == books.provider_ms == books.invoice_ms:
            found.append(
                f"{slug}: ledger {books.ledger_ms}, log {books.log_ms}, provider {books.provider_ms}, "
                f"invoice {books.invoice_ms} ms"
            )
        if Decimal(books.ledger_amount) != Decimal(books.provider_amount):
            found.append(f"{slug}: ledger {books.ledger_amount}, provider {books.provider_amount}")
        if Decimal(books.invoice_total) != Decimal(books.provider_total):
            found.append(f"{slug}: our invoice {books.invoice_total}, the provider's {books.provider_total}")
        if not 0 < books.ledger_ms <= books.sent_ms:
            found.append(f"{slug}: {books.ledger_ms} ms of {books.sent_ms} sent")
        found += [f"{slug}: {name} {both}" for name, both in books.streams_that_differ.items()]
    return found


def table(results: Sequence[Result]) -> Iterator[str]:
    """Of all tenants together, what each row added."""
    head = (
        "broken",
        "streams",
        "sent ms",
        "ledger",
        "log",
        "Stripe",
        "invoice",
        "USD",
        "mended",
        "back s",
        "settled s",
        "",
    )
    yield _line(head)
    before = dict.fromkeys(("sent_ms", "ledger_ms", "log_ms", "provider_ms", "invoice_ms"), 0)
    for one in results:
        now = {name: sum(getattr(books, name) for books in one.books.values()) for name in before}
        owed = sum((Decimal(books.invoice_total) for books in one.books.values()), Decimal(0))
        yield _line(
            (
                one.row, one.streams, *(now[name] - before[name] for name in before), owed, one.mended,
                f"{one.recovery_s:.1f}", f"{one.settled_s:.1f}", "WRONG" if wrong(one) else "agrees",
            )
        )  # fmt: skip
        before = now


def _line(cells: Sequence[object]) -> str:
    widths = (22, 8, 9, 9, 9, 9, 9, 8, 7, 7, 10, 7)
    return " ".join(
        str(cell).ljust(width) if number == 0 else str(cell).rjust(width)
        for number, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
