"""The streams of a process, and what ends them from outside."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway import process
from gateway.errors import GatewayDraining, GatewayError
from gateway.streams import Streams
from gateway.tests.doors import grant
from tenants.access import KeyGrant

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(eq=False)
class One:
    grant: KeyGrant
    failed: list[GatewayError] = field(default_factory=list)
    wound_up: list[GatewayError] = field(default_factory=list)

    def fail(self, error: GatewayError) -> None:
        self.failed.append(error)

    def wind_up(self, error: GatewayError) -> bool:
        self.wound_up.append(error)
        return True

    def move_away(self, address: str) -> bool:
        return False


@pytest.mark.parametrize(
    ("hold", "code"),
    [
        ("spend_cap", "spend_cap_reached"),
        ("prepaid", "prepaid_used_up"),
        ("payment", "payment_overdue"),
        ("of a later version", "on_hold"),
    ],
)
def test_a_hold_winds_up_the_streams_of_its_tenant_and_no_others(hold: str, code: str) -> None:
    acme, rival, streams = One(grant()), One(grant()), Streams()
    streams.add(acme)
    streams.add(rival)
    streams.apply([replace(acme.grant, hold=hold)], NOW)
    assert [(error.code, error.status, error.close_code) for error in acme.wound_up] == [(code, 402, 1008)]
    assert (acme.failed, rival.failed, rival.wound_up) == ([], [], [])


def test_whoever_was_checked_before_a_change_enters_with_what_has_been_heard_since() -> None:
    """It asked Valkey for its stream, or the DNS for its callback, while the change was read."""
    before, other = grant(), One(grant(prefix="q" * 12))
    revoked = replace(before, revoked_at=NOW)
    late, streams = One(before), Streams({before.prefix: revoked}.get)
    streams.add(late)
    streams.add(other)
    streams.apply([], NOW)
    assert [error.code for error in late.failed] == ["key_revoked"]
    assert other.failed == []
    streams.remove(late)
    assert len(streams) == 1


async def test_what_a_process_has_heard_of_keys_its_streams_know(monkeypatch: pytest.MonkeyPatch) -> None:
    house, newest = process.current(), grant(prefix="r" * 12)

    async def find(prefix: str) -> KeyGrant:
        return newest

    monkeypatch.setattr(house.authenticator.keys, "find", find)
    await house.authenticator.keys.get(newest.prefix)
    late = One(replace(newest, tenant_state="before"))
    house.streams.add(late)
    house.streams.remove(late)
    assert late.grant == newest


def test_whose_key_is_gone_is_ended_at_once_also_when_on_hold() -> None:
    one, streams = One(grant()), Streams()
    streams.add(one)
    streams.apply([replace(one.grant, hold="prepaid", revoked_at=NOW)], NOW)
    assert [error.code for error in one.failed] == ["key_revoked"]
    assert one.wound_up == []


def test_a_key_runs_out_without_anybody_saying_so() -> None:
    one, streams = One(grant(expires_at=NOW)), Streams()
    streams.add(one)
    streams.apply([], NOW - timedelta(seconds=1))
    assert one.failed == []
    streams.apply([], NOW)
    assert [error.code for error in one.failed] == ["key_expired"]


async def test_a_stop_tells_all_and_waits_until_they_are_gone() -> None:
    one, streams = One(grant()), Streams()
    streams.add(one)
    streams.fail_all(GatewayDraining())
    assert [type(error) for error in one.failed] == [GatewayDraining]
    assert not await streams.all_gone(0.01)
    streams.remove(one)
    streams.remove(one)
    assert (len(streams), streams.keys()) == (0, [])
    assert await streams.all_gone(1)
