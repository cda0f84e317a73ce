from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import quotas
from gateway.quotas import REFUSALS, Account, Keys
from tenants import keytext
from tenants.access import KeyGrant
from tenants.limits import Limits

LIMITS = Limits(
    streams_at_once=5, openings_a_minute=6, requests_a_second=7, audio_hours_a_day=Decimal("2.500")
)
PROJECT = Account("project", uuid.uuid4(), uuid.uuid4(), LIMITS, "Small")
PLAN = Account("plan", uuid.uuid4(), uuid.uuid4(), LIMITS, "Small")
TIMES = st.datetimes(
    datetime(2020, 1, 1),  # noqa: DTZ001
    datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)


def test_a_key_has_two_accounts_each_with_its_own_limits() -> None:
    grant = KeyGrant(
        tenant_id=uuid.uuid4(),
        project_id=uuid.uuid4(),
        key_id=uuid.uuid4(),
        prefix=keytext.generate()[0],
        sha256=bytes(32),
        scopes=frozenset(),
        expires_at=None,
        revoked_at=None,
        allowed_origins=frozenset(),
        tenant_state="active",
        plan="Small",
        plan_limits=Limits(streams_at_once=5),
        project_limits=Limits(streams_at_once=3),
    )
    project, plan = quotas.accounts(grant)
    assert (project.id, project.limits.streams_at_once) == (grant.project_id, 3)
    assert (plan.id, plan.limits.streams_at_once) == (grant.tenant_id, 5)
    assert {project.tenant_id, plan.tenant_id} == {grant.tenant_id}


def test_no_two_counts_share_a_key() -> None:
    now = datetime(2026, 5, 1, tzinfo=UTC)
    made = [
        key
        for keys in (Keys("eu-1"), Keys("us-1"))
        for account in (PROJECT, PLAN)
        for key in (
            keys.streams(account),
            keys.openings(account),
            keys.requests(account),
            keys.audio(account, now),
            keys.audio(account, now + timedelta(days=1)),
        )
    ]
    assert len(set(made)) == len(made) == 20
    assert all(key.startswith("stenogate:limits:{") for key in made)


@given(TIMES)
def test_the_day_is_that_of_utc_wherever_the_clock_is(now: datetime) -> None:
    wait_s = quotas.until_midnight_s(now)
    assert 0 < wait_s <= 86_400
    assert now - quotas.midnight_before(now) == timedelta(days=1) - timedelta(seconds=wait_s)
    assert quotas.midnight_before(now).tzinfo is UTC
    next_day = now + timedelta(seconds=wait_s)
    assert Keys("r").audio(PLAN, now) != Keys("r").audio(PLAN, next_day)
    assert Keys("r").audio(PLAN, now) == Keys("r").audio(PLAN, quotas.midnight_before(now))


@given(st.sampled_from(sorted(REFUSALS)), st.floats(0, 86_400))
def test_a_refusal_says_how_long_and_never_too_short(what: str, wait_s: float) -> None:
    refused = REFUSALS[what](PROJECT, wait_s)
    assert refused.status == 429
    assert refused.retry_after_s is not None
    assert refused.retry_after_s >= 1
    assert refused.retry_after_s == round(refused.retry_after_s)
    if what != "streams":
        assert wait_s <= refused.retry_after_s < wait_s + 2


@pytest.mark.parametrize(
    ("what", "limit"),
    [
        ("streams", "The limit is 5, "),
        ("openings", "The limit is 6 new streams a minute, "),
        ("requests", "The limit is 7 a second, "),
        ("audio", "The limit is 2.5 hours a day, "),
    ],
)
def test_a_refusal_says_how_much_and_whose(what: str, limit: str) -> None:
    assert REFUSALS[what](PROJECT, 1).sentence.endswith(limit + "of this project.")
    assert REFUSALS[what](PLAN, 1).sentence.endswith(
        limit + "of the plan 'Small', for all projects together."
    )
