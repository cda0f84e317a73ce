from __future__ import annotations

import dataclasses
import hmac
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from tenants import access, errors, keytext

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
PREFIX, SECRET = keytext.generate()
GRANT = access.KeyGrant(
    tenant_id=uuid.uuid4(),
    project_id=uuid.uuid4(),
    key_id=uuid.uuid4(),
    prefix=PREFIX,
    sha256=keytext.digest(SECRET),
    scopes=frozenset({"listen"}),
    expires_at=None,
    revoked_at=None,
    allowed_origins=frozenset(),
    tenant_state="active",
)


def check(secret=SECRET, scope="listen", origin=None, grant=GRANT, **changed):
    if changed:
        grant = dataclasses.replace(grant, **changed)
    return access.check(grant, secret=secret, scope=scope, origin=origin, now=NOW)


def test_a_good_key_opens():
    assert check() is GRANT
    assert check(scope=None) is GRANT
    assert check(scope=None, hold="payment").hold == "payment"
    assert check(expires_at=NOW + SECOND).expires_at == NOW + SECOND
    assert check(revoked_at=NOW + SECOND)
    assert check(allowed_origins=frozenset({"https://a.example"}), origin="https://a.example")


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"grant": None}, errors.KeyUnknown),
        ({"secret": keytext.generate()[1]}, errors.KeyUnknown),
        ({"secret": SECRET[:-1] + ("a" if SECRET[-1] != "a" else "b")}, errors.KeyUnknown),
        ({"expires_at": NOW}, errors.KeyExpired),
        ({"revoked_at": NOW}, errors.KeyRevoked),
        ({"revoked_at": NOW, "expires_at": NOW}, errors.KeyRevoked),
        ({"tenant_state": "suspended"}, errors.TenantSuspended),
        ({"tenant_state": "anything else"}, errors.TenantSuspended),
        ({"scope": "keys:write"}, errors.ScopeMissing),
        ({"hold": "spend_cap"}, errors.SpendCapReached),
        ({"hold": "prepaid"}, errors.PrepaidUsedUp),
        ({"hold": "payment"}, errors.PaymentOverdue),
        ({"hold": "anything else"}, errors.OnHold),
        ({"allowed_origins": frozenset({"https://a.example"})}, errors.OriginNotAllowed),
        (
            {"allowed_origins": frozenset({"https://a.example"}), "origin": "https://b.example"},
            errors.OriginNotAllowed,
        ),
    ],
)
def test_a_key_that_does_not_open_says_why(changed, error):
    with pytest.raises(error):
        check(**changed)


def test_a_scope_is_named_as_it_is_written():
    with pytest.raises(errors.ScopeMissing, match=r"lacks the scope 'keys:write'\."):
        check(scope=access.Scope.KEYS_WRITE)


@pytest.mark.parametrize("state", [{"revoked_at": NOW}, {"expires_at": NOW}, {"tenant_state": "suspended"}])
def test_without_the_secret_nothing_is_learned_of_the_key(state):
    with pytest.raises(errors.KeyUnknown):
        check(secret=keytext.generate()[1], **state)


def test_an_unknown_prefix_costs_the_same_comparison_as_a_wrong_secret(monkeypatch):
    compared = []
    real = hmac.compare_digest
    monkeypatch.setattr(
        access.hmac, "compare_digest", lambda a, b: compared.append((len(a), len(b))) or real(a, b)
    )
    for grant in (None, GRANT):
        with pytest.raises(errors.KeyUnknown):
            check(secret=keytext.generate()[1], grant=grant)
    assert compared == [(32, 32), (32, 32)]


@pytest.mark.parametrize(
    ("secret", "error"),
    [
        (None, errors.KeyMissing),
        ("", errors.KeyMissing),
        ("sk_x", errors.KeyMalformed),
        ("Bearer", errors.KeyMalformed),
    ],
)
def test_what_cannot_be_a_key_is_refused_before_any_look_up(secret, error):
    with pytest.raises(error):
        access.prefix_of(secret)
    assert access.prefix_of(SECRET) == PREFIX


def test_the_codes_are_stable_and_no_message_holds_a_secret():
    kinds = (*errors.AccessError.__subclasses__(), *errors.OnHold.__subclasses__())
    codes = {error.code: error.status for error in kinds}
    assert codes == {
        "key_missing": 401, "key_malformed": 401, "key_unknown": 401, "key_expired": 401, "key_revoked": 401,
        "token_malformed": 401, "token_invalid": 401, "token_expired": 401, "token_not_allowed": 403,
        "scope_missing": 403, "origin_not_allowed": 403, "tenant_suspended": 403,
        "on_hold": 402, "spend_cap_reached": 402, "prepaid_used_up": 402, "payment_overdue": 402,
    }  # fmt: skip
    with pytest.raises(errors.KeyUnknown) as caught:
        check(secret=keytext.generate()[1])
    assert "sk_" not in str(caught.value)


def test_a_grant_does_not_show_its_hash():
    assert "sha256" not in repr(GRANT)
