"""That the crash matrix notices what is wrong, and only that."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.crash import matrix
from tests.crash import sampler as sampler_module
from tests.crash.matrix import Books, Result
from tests.crash.sampler import Sampler

FINE = Books(
    sent_ms=900, ledger_ms=700, log_ms=700, provider_ms=700, invoice_ms=700, ledger_amount="0.119851",
    provider_amount="0.119851", invoice_total="0.12", provider_total="0.12", streams_that_differ={},
)  # fmt: skip


def result(books: Books = FINE, **changed: Any) -> Result:
    return replace(Result("gateway killed", 3, 1.5, 2.5, 1, {"acme": FINE, "rival": books}), **changed)


@pytest.mark.parametrize(
    "changed",
    [
        {"ledger_ms": 701},
        {"log_ms": 699},
        {"provider_ms": 0},
        {"invoice_ms": 701},
        {"provider_amount": "0.119850"},
        {"invoice_total": "0.11"},
        {"provider_total": "0.13"},
        {"sent_ms": 699},
        {"streams_that_differ": {"s": [1, 2]}},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_what_does_not_agree_is_wrong(changed: dict[str, Any]) -> None:
    assert matrix.wrong(result()) == []
    assert any("rival" in one for one in matrix.wrong(result(replace(FINE, **changed))))


def test_what_was_over_or_never_settled_is_wrong() -> None:
    assert matrix.wrong(result(over=["acme: ledger ms 5 > sent 4"])) == ["over: acme: ledger ms 5 > sent 4"]
    assert matrix.wrong(result(waits="the workers' logs are not here yet"))


def test_while_anybodys_records_differ_it_has_not_settled() -> None:
    fine = {"unposted": 0, "streams_that_differ": {}, "ledger_ms": 700, "provider_ms": 700}
    assert matrix._differ({"acme": fine, "rival": fine}) == ""
    for changed in ({"unposted": 1}, {"streams_that_differ": {"s": [1, 2]}}, {"provider_ms": 699}):
        assert matrix._differ({"acme": fine, "rival": {**fine, **changed}}).startswith("rival: ")


def test_the_table_shows_what_each_row_added() -> None:
    twice = replace(FINE, ledger_ms=900, log_ms=900, provider_ms=900, invoice_ms=900, sent_ms=1000)
    head, first, second = matrix.table([result(), result(twice, row="worker killed")])
    assert head.split()[:3] == ["broken", "streams", "sent"]
    assert first.split()[:6] == ["gateway", "killed", "3", "1800", "1400", "1400"]
    assert second.split()[:6] == ["worker", "killed", "3", "100", "200", "200"]
    assert second.split()[-1] == "agrees"
    assert list(matrix.table([result(over=["x"])]))[-1].split()[-1] == "WRONG"


@pytest.fixture
def sampler() -> Iterator[Sampler]:
    """One that finds no database, so it looks when it is told to."""
    tenants = {"acme": {"id": "t1", "customer": "c1"}}
    found = Sampler(
        "postgresql://127.0.0.1:1/none", "nobody", "http://127.0.0.1:1", "ms", tenants, lambda _: 500
    )
    yield found
    found.close()


def test_the_sampler_notices_whoever_is_over(sampler: Sampler) -> None:
    class Rows:
        def __init__(self, ms: int) -> None:
            self.ms = ms

        def execute(self, *_: object) -> Rows:
            return self

        def fetchall(self) -> list[tuple[str, int, str]]:
            return [("t1", self.ms, "0.5")]

    sampler._look(Rows(500))  # type: ignore[arg-type]
    assert sampler.over == []
    sampler._look(Rows(501))  # type: ignore[arg-type]
    assert sampler.over == ["acme: ledger ms 501 > sent 500"]


def test_the_sampler_notices_a_provider_that_is_ahead(
    sampler: Sampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Rows:
        def execute(self, *_: object) -> Rows:
            return self

        def fetchall(self) -> list[tuple[str, int, str]]:
            return [("t1", 400, "0.000005")]

    has = [
        {"customer": "c1", "event_name": "ms", "value": 400},
        {"customer": "c1", "event_name": "x", "value": 5},
    ]
    monkeypatch.setattr(sampler_module, "control", lambda *_: {"totals": has})
    sampler._look(Rows())  # type: ignore[arg-type]
    assert sampler.over == []
    has[0]["value"], has[1]["value"] = 401, 6
    sampler._look(Rows())  # type: ignore[arg-type]
    assert sampler.over == [
        "acme: provider ms 401 > ledger 400", "acme: provider amount 0.000006 > ledger 0.000005"
    ]  # fmt: skip
