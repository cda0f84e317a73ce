"""The provider's errors by our names; nothing of its texts goes on."""

from __future__ import annotations

import pytest
import stripe

from metering.payments import errors
from metering.payments.errors import named

SECRET = "No such customer: 'cus_1' (jane@acme.example); you used sk_test_abc"


def invalid(code: str | None, message: str = SECRET, status: int = 400) -> stripe.StripeError:
    return stripe.InvalidRequestError(message, None, code, http_body=message, http_status=status)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (invalid(None, "An event already exists with identifier x."), errors.Duplicate),
        (invalid("timestamp_too_far_in_past"), errors.Permanent),
        (invalid("resource_missing", status=404), errors.Permanent),
        (invalid(None), errors.Permanent),
        (stripe.RateLimitError(SECRET, http_status=429, headers={"Retry-After": "7"}), errors.RateLimited),
        (stripe.APIConnectionError(SECRET), errors.Ambiguous),
        (stripe.APIError(SECRET, http_status=500), errors.Ambiguous),
        (stripe.APIError(SECRET, http_status=200), errors.Ambiguous),  # a body that cannot be read
        (stripe.APIError(SECRET, http_status=405), errors.Ambiguous),  # some proxy's
        (stripe.APIError(SECRET, http_status=409), errors.Transient),
        (stripe.IdempotencyError(SECRET, http_status=400), errors.Transient),
        (stripe.AuthenticationError(SECRET, http_status=401), errors.Transient),
        (stripe.PermissionError(SECRET, http_status=403), errors.Transient),
        (stripe.CardError(SECRET, "card", "card_declined", http_status=402), errors.Permanent),
    ],
)
def test_each_has_a_name_and_says_nothing_of_anybody(error, kind):
    found = named(error)
    assert type(found) is kind
    for secret in ("cus_1", "jane", "sk_test", "identifier x"):
        assert secret not in str(found)


def test_how_long_to_wait_is_read_and_bounded():
    def after(text: str) -> float:
        found = named(stripe.RateLimitError("", http_status=429, headers={"retry-after": text}))
        assert isinstance(found, errors.RateLimited)
        return found.retry_after

    assert [after(text) for text in ("7", "100000", "-5", "soon")] == [7, 3600, 0, 0]


def test_a_code_is_explained_and_a_request_named():
    error = stripe.InvalidRequestError(
        "", None, "no_meter", http_status=400, headers={"request-id": "req_123"}
    )
    assert str(named(error)) == (
        "Stripe answered 400, no_meter: Stripe has no such meter: run manage.py stripe_sync --anew "
        "(request req_123)"
    )
    assert errors.explained("something_new") == "something_new"


def test_an_error_of_ours_says_what_to_do():
    assert str(errors.NoCustomer()) == (
        "This tenant is not a customer at Stripe yet. Run manage.py stripe_sync."
    )
