from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway import tokens
from gateway.auth import Authenticator, Credentials, Failures, KeyCache, credentials
from gateway.errors import AccessRefused, AuthUnavailable, TooManyFailures
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
    with pytest.raises(AuthUnavailable):
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
    house = House()
    for number in range(30):
        with pytest.raises(AccessRefused):
            await house.knock(keytext.generate()[1], address=f"10.0.0.{number}")
    assert len(house.keys._grants) == 10
    assert len(house.authenticator.failures._times) == 10


async def test_a_database_that_is_away_is_not_the_customers_fault() -> None:
    house = House(grant())
    house.database.broken = True
    for _ in range(5):
        with pytest.raises(AuthUnavailable) as refused:
            await house.knock()
        assert "10.0.0.1" not in refused.value.sentence
    house.database.broken = False
    await house.knock()


# ---- access tokens


async def test_a_token_opens_what_its_key_opens_in_every_place_a_key_may_be() -> None:
    house = House(grant(scopes=frozenset({"listen", "keys:write"})))
    token = tokens.issue(house.database.grants[PREFIX])
    for scope in (
        {"headers": [(b"authorization", b"Bearer " + token.encode())]},
        {"headers": [(b"authorization", b"bearer " + token.encode())]},
        {"headers": [], "subprotocols": ["bearer", token]},
        {"headers": [], "subprotocols": ["token", token]},
    ):
        found = await house.authenticator.authenticate(scope, "listen", "1.2.3.4")
        assert found.by_token
        assert (found.grant.key_id, found.grant.scopes) == (
            house.database.grants[PREFIX].key_id,
            {"listen"},
        )
        assert found.subprotocol == next(iter(scope.get("subprotocols", [None])))
    assert house.database.asked == 1


async def test_a_token_ends_with_its_key_at_once() -> None:
    house = House(grant())
    token = tokens.issue(await house.knock())
    await house.knock(token)
    house.keys.replace([replace(house.database.grants[PREFIX], revoked_at=datetime.now(UTC))])
    with pytest.raises(AccessRefused, match="revoked"):
        await house.knock(token)


@pytest.mark.parametrize(
    ("kwargs", "code", "status"),
    [
        ({"secret": "eyJnonsense"}, "token_malformed", 401),
        ({"secret": "eyJ" + "x" * 100_000}, "token_malformed", 401),
        ({"needed": "keys:write"}, "scope_missing", 403),
        ({"origin": "https://b.example"}, "origin_not_allowed", 403),
        ({"origin": None}, "origin_not_allowed", 403),
    ],
)
async def test_what_a_token_does_not_open(kwargs: dict[str, Any], code: str, status: int) -> None:
    mine = grant(scopes=frozenset({"listen", "keys:write"}), allowed_origins=frozenset({"https://a.example"}))
    house = House(mine)
    token = tokens.issue(mine)
    await house.knock(token, origin="https://a.example")
    with pytest.raises(AccessRefused) as refused:
        await house.knock(**({"secret": token, "origin": "https://a.example"} | kwargs))
    assert (refused.value.code, refused.value.status) == (code, status)


async def test_bad_tokens_count_as_failures_and_a_token_of_a_key_in_use_goes_on_working() -> None:
    house = House(grant())
    old = tokens.issue(await house.knock(), ttl_s=1, now=datetime.now(UTC) - timedelta(seconds=2))
    good = tokens.issue(house.database.grants[PREFIX])
    for _ in range(3):
        with pytest.raises(AccessRefused) as refused:
            await house.knock(old)
        assert refused.value.code == "token_expired"
    with pytest.raises(TooManyFailures):
        await house.knock(old)
    await house.knock(good)


async def test_where_only_a_key_will_do_a_token_is_told_so() -> None:
    house = House(grant())
    for secret, allowed in ((SECRET, True), (tokens.issue(house.database.grants[PREFIX]), False)):
        scope = {"headers": [(b"authorization", b"Token " + secret.encode())]}
        asked = house.authenticator.authenticate(scope, None, "1.2.3.4", tokens_allowed=False)
        if allowed:
            assert not (await asked).by_token
        else:
            with pytest.raises(AccessRefused) as refused:
                await asked
            assert (refused.value.code, refused.value.status) == ("token_not_allowed", 403)


async def test_a_dialect_may_have_found_the_key_itself() -> None:
    house = House(grant())
    for secret in (SECRET, tokens.issue(house.database.grants[PREFIX])):
        found = await house.authenticator.authenticate(
            {"headers": []}, "listen", "1.2.3.4", offered=Credentials(secret, None)
        )
        assert found.grant.prefix == PREFIX
