"""Looks, all the time, whether anybody is charged too much: ledger ≤ what was sent, the provider ≤ ledger."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from decimal import Decimal
from http.client import HTTPException

import psycopg

from ops.stripe.process import control

EVERY_S = 0.25
LEDGER = """
SELECT tenant_id::text, sum(ms), sum(amount) FROM metering_ledgerentry
WHERE tenant_id = ANY(%s::uuid[]) GROUP BY tenant_id
"""


class Sampler:
    def __init__(
        self,
        database_url: str,
        staff_role: str,
        stripe_url: str,
        ms_event: str,
        tenants: Mapping[str, Mapping[str, str]],
        sent_ms: Callable[[str], int],
    ) -> None:
        self.over: list[str] = []
        self.looks = 0
        self._database_url, self._role, self._stripe_url = database_url, staff_role, stripe_url
        self._ms_event = ms_event
        self._slugs = {tenant["id"]: slug for slug, tenant in tenants.items()}
        self._customers = {tenant["customer"]: tenant["id"] for tenant in tenants.values()}
        self._sent_ms = sent_ms
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look_forever, name="sampler")
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def _look_forever(self) -> None:
        connection: psycopg.Connection | None = None
        while not self._stop.wait(EVERY_S):
            try:
                connection = connection or self._connect()
                self._look(connection)
            except psycopg.Error:  # it is being restarted
                if connection is not None:
                    connection.close()
                connection = None
        if connection is not None:
            connection.close()

    def _connect(self) -> psycopg.Connection:
        connection = psycopg.connect(self._database_url, autocommit=True, connect_timeout=2)
        connection.execute(f"SET ROLE {self._role}")
        return connection

    def _look(self, connection: psycopg.Connection) -> None:
        # In this order, for each may grow meanwhile: the smaller first.
        provider: Counter[tuple[str, bool]] = Counter()
        with suppress(OSError, HTTPException):  # it is being restarted, maybe in the middle of an answer
            for one in control(self._stripe_url, "received")["totals"]:
                provider[self._customers[one["customer"]], one["event_name"] == self._ms_event] += one[
                    "value"
                ]
        rows = connection.execute(LEDGER, [list(self._slugs)]).fetchall()
        ledger = {tenant: (int(ms), Decimal(amount)) for tenant, ms, amount in rows}
        for tenant, slug in self._slugs.items():
            ms, amount = ledger.get(tenant, (0, Decimal(0)))
            self._check(slug, "ledger ms", ms, "sent", self._sent_ms(slug))
            self._check(slug, "provider ms", provider[tenant, True], "ledger", ms)
            told = Decimal(provider[tenant, False]).scaleb(-6)
            self._check(slug, "provider amount", told, "ledger", amount)
        self.looks += 1

    def _check(self, slug: str, what: str, less: Decimal | int, than: str, more: Decimal | int) -> None:
        if less > more:
            self.over.append(f"{slug}: {what} {less} > {than} {more}")
