from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from metering.ledger.accounts import change
from metering.ledger.append import NewEntry, append
from metering.ledger.minimum import GIVE_UP_AFTER
from metering.ledger.post import post_due
from metering.ledger.tests.make import account, entries, priced, proved, usage
from metering.models import Unsettled
from metering.models.ledger import EntryKind
from metering.recording import record
from metering.requests import Request
from metering.services import record_requests
from tenants.scope import staff_scope

TEN_S = 10_000


def ended(household: Any, request_id: str = "s", billed_ms: int = 3000, **changes: Any) -> None:
    now = timezone.now().isoformat()
    record_requests(
        [
            Request(
                **{
                    "tenant": str(household.tenant.id), "project": str(household.project.id),
                    "key": str(household.key.id), "request_id": request_id, "kind": "live",
                    "path": "/v1/listen", "started_at": now, "ended_at": now, "outcome": "done",
                    "status": 200, "audio_ms": billed_ms, "billed_ms": billed_ms, "channels": 1, "model": "m",
                    "version": "", "language": "",
                    "region": "local", "worker": "w", "tags": ("call",), **changes,
                }
            )
        ]
    )  # fmt: skip


def waiting() -> int:
    with staff_scope():
        return Unsettled.objects.count()


def charged(household: Any) -> list[tuple[str, Decimal, str]]:
    return [(entry.kind, entry.amount, entry.reference) for entry in entries(household)]


def test_what_a_stream_is_short_of_is_charged_once_all_its_audio_is_there(acme: Any, rival: Any) -> None:
    priced(acme, minimum_ms=TEN_S)
    record([usage(acme, 0, 1000)])
    ended(acme)
    assert post_due() == 1
    assert waiting() == 1  # two of its three seconds have not come yet
    record([usage(acme, 0, 2000, stream="s.1"), usage(rival, 0, 3000)])
    with staff_scope():
        Unsettled.objects.update(next_at=timezone.now())
    post_due()
    assert charged(acme)[-1] == ("adjustment", Decimal("0.007"), "minimum:s")
    assert account(acme).charged == Decimal("0.01")
    assert sum(entry.ms for entry in entries(acme)) == 3000
    ended(acme)  # its entry comes a second time
    post_due()
    assert len(charged(acme)) == 3
    assert [kind for kind, _, _ in charged(rival)] == ["usage"]
    assert waiting() == 0
    assert proved(acme)


@pytest.mark.parametrize(
    ("billed_ms", "minimum_ms"), [(TEN_S, TEN_S), (TEN_S + 1, TEN_S), (3000, 0), (0, TEN_S)]
)
def test_who_is_not_short_pays_nothing_more(acme: Any, billed_ms: int, minimum_ms: int) -> None:
    priced(acme, minimum_ms=minimum_ms)
    if billed_ms:
        record([usage(acme, 0, billed_ms)])
    ended(acme, billed_ms=billed_ms)
    post_due()
    assert all(kind == "usage" for kind, _, _ in charged(acme))
    assert waiting() == 0


def test_a_minimum_is_held_to_the_cap(acme: Any) -> None:
    priced(acme, minimum_ms=TEN_S)
    change(acme.tenant.id, actor=None, hard_cap=Decimal("0.005"))
    record([usage(acme, 0, 3000)])
    ended(acme)
    post_due()
    assert [(entry.amount, entry.waived) for entry in entries(acme)] == [
        (Decimal("0.003"), Decimal(0)),
        (Decimal("0.002"), Decimal("0.005")),
    ]
    assert proved(acme)


def test_usage_that_never_comes_is_not_waited_for_for_ever(
    acme: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    priced(acme, minimum_ms=TEN_S)
    ended(acme)
    post_due()
    later = timezone.now() + GIVE_UP_AFTER + timedelta(hours=1)
    monkeypatch.setattr(timezone, "now", lambda: later)
    with staff_scope():
        Unsettled.objects.update(next_at=timezone.now() - GIVE_UP_AFTER * 2)
    post_due()
    assert (charged(acme), waiting()) == ([], 0)


def take_back(household: Any, start: int, end: int) -> None:
    of = {"stream": "s", "from_ms": start, "to_ms": end, "ms": start - end}
    append(
        household.tenant.id,
        [NewEntry(EntryKind.CORRECTION, "counted twice", f"c:{start}-{end}", **of)],  # type: ignore[arg-type]
    )


def test_when_all_of_a_stream_is_taken_back_its_minimum_is_too(acme: Any, rival: Any) -> None:
    priced(acme, minimum_ms=TEN_S)  # and the rival, who is on the same plan
    for household in (acme, rival):
        record([usage(household, 0, 3000)])
        ended(household)
    post_due()
    take_back(acme, 0, 1000)
    assert charged(acme)[-1][0] == "correction"  # two seconds are left, and ten are the least
    take_back(acme, 1000, 3000)
    take_back(acme, 0, 3000)
    assert charged(acme)[-1] == ("adjustment", Decimal("-0.007"), "returned-minimum:s")
    assert account(acme).charged == 0
    assert account(rival).charged == Decimal("0.01")
    assert proved(acme)


def test_what_a_cap_had_waived_is_none_of_what_is_given_back(acme: Any) -> None:
    priced(acme, minimum_ms=TEN_S)
    change(acme.tenant.id, actor=None, hard_cap=Decimal("0.005"))
    record([usage(acme, 0, 3000)])
    ended(acme)
    post_due()
    take_back(acme, 0, 3000)
    assert account(acme).charged == 0
    assert sum(entry.waived for entry in entries(acme)) == 0
    assert proved(acme)


@pytest.mark.parametrize("cap", [None, "0.005"])
def test_a_minimum_of_a_month_that_is_over_is_given_back_in_the_next(
    acme: Any, monkeypatch: pytest.MonkeyPatch, cap: str | None
) -> None:
    priced(acme, minimum_ms=TEN_S)
    if cap:
        change(acme.tenant.id, actor=None, hard_cap=Decimal(cap))
    record([usage(acme, 0, 3000)])
    ended(acme)
    post_due()
    before = entries(acme)[-1]
    later = timezone.now() + timedelta(days=62)
    monkeypatch.setattr(timezone, "now", lambda: later)
    take_back(acme, 0, 3000)
    last = entries(acme)[-1]
    assert (last.reference, last.period > before.period, last.waived) == ("returned-minimum:s", True, 0)
    assert sum(entry.amount for entry in entries(acme)) == 0
    assert proved(acme)
