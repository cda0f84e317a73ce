from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway import tokens
from gateway.auth import Authenticator, Credentials, Failures, KeyCache, credentials
from gateway.control import ControlDatabase
from gateway.errors import AccessRefused, ControlDatabaseUnreachable, TooManyFailures
from tenants import keytext
from tenants.access import KeyGrant
from tenants.errors import KeyMissing

PREFIX, SECRET = keytext.generate()
OTHER_PREFIX, OTHER_SECRET = keytext.generate()


def grant(secret: str = SECRET, **changes: Any) -> KeyGrant:
    made = KeyGrant(
        tenant_id=uuid.uuid4(),
        project_id=uuid.uuid4(),
        key_id=uuid.uuid4(),
        prefix=secret[3:15],
        sha256=keytext.digest(secret),
        scopes=frozenset({"listen"}),
        expires_at=None,
        revoked_at=None,
        allowed_origins=frozenset(),
        tenant_state="active",
    )
    return replace(made, **changes)


class Database:
    """Keys by prefix, and how often they were asked for."""

    def __init__(self, *grants: KeyGrant) -> None:
        self.grants = {one.prefix: one for one in grants}
        self.asked = 0
        self.broken = False
        self.reached = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    async def find(self, prefix: str) -> KeyGrant | None:
        self.asked += 1
        found = self.grants.get(prefix)
        self.reached.set()
        await self.gate.wait()
        if self.broken:
            raise OSError("no route to the database at 10.0.0.1")
        return found


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class House:
    def __init__(self, *grants: KeyGrant, per_minute: int = 3) -> None:
        self.clock, self.database = Clock(), Database(*grants)
        self.keys = KeyCache(find=self.database.find, keep_s=5, clock=self.clock)
        self.authenticator = Authenticator(self.keys, Failures(per_minute, self.clock))

    async def knock(
        self,
        secret: str = SECRET,
        *,
        needed: str = "listen",
        origin: str | None = None,
        address: str = "1.2.3.4",
    ) -> KeyGrant:
        headers = [(b"authorization", b"Token " + secret.encode())]
        if origin is not None:
            headers.append((b"origin", origin.encode()))
        return (await self.authenticator.authenticate({"headers": headers}, needed, address)).grant


@pytest.mark.parametrize(
    ("headers", "subprotocols", "expected"),
    [
        ([(b"authorization", b"Token abc")], [], Credentials("abc", None)),
        ([(b"Authorization", b"bearer  abc ")], [], Credentials("abc", None)),
        ([(b"authorization", b"Basic YWJjOg==")], [], Credentials("abc", None)),
        ([], ["token", "abc"], Credentials("abc", "token")),
        ([], ["bearer", "abc", "more"], Credentials("abc", "bearer")),
        ([(b"authorization", b"Token abc")], ["token", "def"], Credentials("abc", None)),
    ],
)
def test_where_the_key_may_be(headers: Any, subprotocols: list[str], expected: Credentials) -> None:
    assert credentials(headers, subprotocols) == expected


@pytest.mark.parametrize(
    ("headers", "subprotocols"),
    [
        ([], []),
        ([], ["token"]),
        ([], ["chat", "abc"]),
        ([(b"authorization", b"Token")], []),
        ([(b"authorization", b"")], ["token", "abc"]),
        ([(b"authorization", b"Digest abc")], []),
        ([(b"authorization", b"Basic !!!")], []),
        ([(b"authorization", b"\xff\xfe abc")], []),
    ],
)
def test_no_key_is_said_so(headers: Any, subprotocols: list[str]) -> None:
    with pytest.raises(KeyMissing):
        credentials(headers, subprotocols)


async def test_a_good_key_is_looked_up_once_and_remembered_for_seconds() -> None:
    house = House(grant())
    first = await house.knock()
    assert (await house.knock()) == first
    assert house.database.asked == 1
    house.clock.now = 5.1
    await house.knock()
    assert house.database.asked == 2
    assert house.authenticator.take_used() == {first.key_id}
    assert house.authenticator.take_used() == set()


async def test_many_handshakes_at_once_cause_one_look_up_even_if_the_first_hangs_up() -> None:
    house = House(grant())
    house.database.gate.clear()
    knocks = [asyncio.create_task(house.knock()) for _ in range(50)]
    await asyncio.sleep(0)
    knocks[0].cancel()
    house.database.gate.set()
    answers = await asyncio.gather(*knocks, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert all(isinstance(answer, KeyGrant) for answer in answers[1:])
    assert house.database.asked == 1


@pytest.mark.parametrize(
    ("changes", "kwargs", "code", "status"),
    [
        ({"revoked_at": datetime(2020, 1, 1, tzinfo=UTC)}, {}, "key_revoked", 401),
        ({"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}, {}, "key_expired", 401),
        ({"tenant_state": "suspended"}, {}, "tenant_suspended", 403),
        ({}, {"needed": "keys:write"}, "scope_missing", 403),
        (
            {"allowed_origins": frozenset({"https://a.example"})},
            {"origin": "https://b.example"},
            "origin_not_allowed",
            403,
        ),
        ({"allowed_origins": frozenset({"https://a.example"})}, {}, "origin_not_allowed", 403),
        ({}, {"secret": OTHER_SECRET}, "key_unknown", 401),
        ({}, {"secret": SECRET[:-1] + ("a" if SECRET[-1] != "a" else "b")}, "key_unknown", 401),
        ({}, {"secret": "sk_short"}, "key_malformed", 401),
    ],
)
async def test_refusals(changes: dict[str, Any], kwargs: dict[str, Any], code: str, status: int) -> None:
    house = House(grant(**changes))
    with pytest.raises(AccessRefused) as refused:
        await house.knock(**kwargs)
    assert (refused.value.code, refused.value.status) == (code, status)
    assert SECRET not in refused.value.sentence


async def test_whoever_is_on_hold_is_told_so_however_often_and_others_at_the_address_pay_nothing() -> None:
    house = House(grant(hold="prepaid"))
    for _ in range(50):
        with pytest.raises(AccessRefused) as refused:
            await house.knock()
        assert (refused.value.code, refused.value.status) == ("prepaid_used_up", 402)
    house.keys.replace([replace(house.database.grants[PREFIX], hold="")])
    assert (await house.knock()).hold == ""


async def test_what_is_no_audio_is_not_refused_on_hold() -> None:
    house = House(grant(hold="payment", scopes=frozenset({"usage:read"})))
    assert (await house.knock(needed="usage:read")).hold == "payment"


async def test_what_the_database_says_has_changed_counts_at_once() -> None:
    house = House(grant())
    known = await house.knock()
    house.keys.replace([replace(known, revoked_at=datetime.now(UTC) - timedelta(seconds=1))])
    with pytest.raises(AccessRefused, match="revoked"):
        await house.knock()


async def test_a_look_up_that_began_before_a_revocation_is_not_believed() -> None:
    house = House(grant())
    house.database.gate.clear()
    early = asyncio.create_task(house.knock())
    await house.database.reached.wait()
    revoked = replace(house.database.grants[PREFIX], revoked_at=datetime.now(UTC) - timedelta(seconds=1))
    house.database.grants[PREFIX] = revoked
    house.keys.replace([revoked])
    house.database.gate.set()
    with pytest.raises(AccessRefused, match="revoked"):
        await early
    with pytest.raises(AccessRefused, match="revoked"):
        await house.knock()


async def test_a_revocation_that_is_read_just_after_the_look_up_counts_for_whoever_waited() -> None:
    house = House(grant())
    early = asyncio.create_task(house.knock())
    await house.database.reached.wait()
    house.keys.replace([replace(house.database.grants[PREFIX], tenant_state="suspended")])
    with pytest.raises(AccessRefused, match="suspended"):
        await early


async def test_a_database_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.auth.LOOK_UP_WITHIN_S", 0.01)
    house = House(grant())
    house.database.gate.clear()
    with pytest.raises(ControlDatabaseUnreachable):
        await house.knock()


async def test_an_address_with_too_many_failures_waits_and_others_do_not() -> None:
    house = House(grant())
    for _ in range(3):
        with pytest.raises(AccessRefused):
            await house.knock(OTHER_SECRET)
    with pytest.raises(TooManyFailures) as refused:
        await house.knock(OTHER_SECRET)
    assert refused.value.retry_after_s == 60
    asked = house.database.asked
    with pytest.raises(TooManyFailures):
        await house.knock(keytext.generate()[1])
    assert house.database.asked == asked
    await house.knock(address="5.6.7.8")
    # From the same address, a key that is in use goes on working.
    await house.knock()
    house.clock.now = 60.1
    with pytest.raises(AccessRefused):
        await house.knock(OTHER_SECRET)


async def test_failures_and_grants_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.auth.MAX_ADDRESSES", 10)
    monkeypatch.setattr("gateway.auth.MAX_CACHED", 10)
    monkeypatch.setattr("gateway.auth.MAX_UNKNOWN", 5)
    secrets = [keytext.generate()[1] for _ in range(30)]
    house = House(*(grant(secret) for secret in secrets))
    for secret in secrets:
        await house.knock(secret)
    assert len(house.keys._grants) == 10
    for number in range(30):
        with pytest.raises(AccessRefused):
            await house.knock(keytext.generate()[1], address=f"10.0.0.{number}")
    assert len(house.keys._unknown) == 5
    # Whoever guesses drives out no key that is known.
    assert house.keys.prefixes() == [secret[3:15] for secret in reversed(secrets[-10:])]
    assert len(house.authenticator.failures._times) == 10


# ---- without the database


GRACE_S = 900.0


class Partitioned(House):
    """One with a grace, whose database can be cut off. What News would do is done by hand."""

    def __init__(self, *grants: KeyGrant, grace_s: float = GRACE_S) -> None:
        super().__init__(*grants)
        self.link = ControlDatabase(grace_s, clock=self.clock)
        self.link.current_at = 0.0
        self.authenticator.database = self.link

    def cut_off(self, at: float) -> None:
        self.link.current_at = self.clock.now = at
        self.database.broken = True
        while not self.link.away:
            with pytest.raises(OSError, match="no route"), self.link.noting():
                raise OSError("no route")


async def refused(house: House, secret: str = SECRET, **how: Any) -> ControlDatabaseUnreachable:
    with pytest.raises(ControlDatabaseUnreachable) as said:
        await house.knock(secret, **how)
    return said.value


async def test_a_key_that_is_not_known_is_not_called_bad_when_nobody_can_be_asked() -> None:
    house = Partitioned(grant())
    house.database.broken = True
    error = await refused(house)  # the very first look-up that fails
    assert "10.0.0.1" not in error.sentence
    house.cut_off(at=1.0)
    asked = house.database.asked
    for _ in range(100):
        error = await refused(house)
        assert (error.code, error.status, error.retry_after_s) == ("control_database_unreachable", 503, 5)
    # Nobody waits for what does not answer, and none of it counts against the address.
    assert house.database.asked == asked
    assert house.authenticator.failures.wait_s("1.2.3.4") == 0


async def test_a_known_key_is_served_to_the_last_second_of_the_grace_and_not_after_it() -> None:
    house = Partitioned(grant())
    known = await house.knock()
    house.cut_off(at=1000.0)  # long after the cache would have looked it up again
    for now in (1000.0, 1000.0 + GRACE_S - 0.1):
        house.clock.now = now
        assert await house.knock() == known
    house.clock.now = 1000.0 + GRACE_S
    await refused(house)


async def test_before_the_breaker_opens_the_look_up_that_fails_falls_back_on_what_is_known() -> None:
    house = Partitioned(grant())
    known = await house.knock()
    house.clock.now = house.link.current_at = 100.0
    house.database.broken = True
    assert not house.link.away
    assert await house.knock() == known
    await refused(house, OTHER_SECRET)


async def test_what_was_known_is_checked_as_ever_without_the_database() -> None:
    house = Partitioned(grant(expires_at=datetime.now(UTC) + timedelta(hours=1)))
    known = await house.knock()
    house.cut_off(at=1.0)
    wrong = SECRET[:-1] + ("a" if SECRET[-1] != "a" else "b")
    for changes, how, code in (
        ({}, {"secret": wrong}, "key_unknown"),
        ({}, {"needed": "keys:write"}, "scope_missing"),
        ({"expires_at": datetime.now(UTC) - timedelta(seconds=1)}, {}, "key_expired"),
        ({"revoked_at": datetime.now(UTC) - timedelta(seconds=1)}, {}, "key_revoked"),
        ({"hold": "prepaid"}, {}, "prepaid_used_up"),
    ):
        house.keys.replace([replace(known, **changes)])
        with pytest.raises(AccessRefused) as said:
            await house.knock(**how, address=code)  # type: ignore[arg-type]
        assert said.value.code == code


async def test_a_token_of_a_known_key_opens_streams_without_the_database() -> None:
    house = Partitioned(grant())
    known = await house.knock()
    token, foreign = tokens.issue(known), tokens.issue(grant(OTHER_SECRET))
    house.cut_off(at=1.0)
    assert (await house.knock(token)).key_id == known.key_id
    await refused(house, foreign)


async def test_an_address_that_guesses_is_told_to_wait_also_without_the_database() -> None:
    house = Partitioned(grant())
    await house.knock()
    for _ in range(3):
        with pytest.raises(AccessRefused):
            await house.knock(OTHER_SECRET)
    house.cut_off(at=1.0)
    with pytest.raises(TooManyFailures):
        await house.knock(OTHER_SECRET)
    await house.knock()


async def test_without_a_grace_or_without_ever_having_had_news_nobody_is_served() -> None:
    house = Partitioned(grant(), grace_s=0)
    await house.knock()
    house.cut_off(at=1.0)
    await refused(house)
    never = Partitioned(grant())
    await never.knock()
    never.cut_off(at=1.0)
    never.link.current_at = None
    await refused(never)


async def test_a_key_that_was_unknown_may_have_been_issued_meanwhile() -> None:
    house = Partitioned()
    with pytest.raises(AccessRefused) as said:
        await house.knock()
    assert said.value.code == "key_unknown"
    house.cut_off(at=1.0)
    await refused(house)
