"""What can go wrong with the payment provider.

PaymentsError
├── NotConfigured   no key
├── NoCustomer      the tenant is not a customer of the provider
├── Transient       it did not take it now: say it again
│   ├── RateLimited
│   └── Unreachable not asked: nothing has answered of late
├── Ambiguous       nobody knows whether it took it: say the very same again
├── Duplicate       it had taken it before
└── Permanent       it will never take it

Their texts are ours. The provider's own texts may hold parts of keys, addresses and names of customers.
"""

from __future__ import annotations

import inspect
import re
from typing import ClassVar

import stripe

from faults.kinds import Kind

CODES = {
    "archived_meter": "the meter was archived at Stripe: make it active again",
    "meter_event_customer_not_found": "Stripe does not know the customer: run manage.py stripe_sync --anew",
    "meter_event_dimension_count_too_high": "the meter event has too many dimensions",
    "meter_event_invalid_value": "Stripe does not take this value",
    "meter_event_no_customer_defined": "the meter event names no customer",
    "meter_event_value_too_many_digits": "the value has more than 15 digits",
    "missing_dimension_payload_keys": "the meter wants dimensions that we do not send",
    "no_meter": "Stripe has no such meter: run manage.py stripe_sync --anew",
    "timestamp_in_future": "the moment lies too far ahead: look at this machine's clock",
    "timestamp_too_far_in_past": "the moment lies more than 35 days back",
    "resource_missing": "something that is named does not exist at Stripe: run manage.py stripe_sync --anew",
    "resource_already_exists": "it exists already",
}
_ALREADY = re.compile(r"already exists with identifier", re.IGNORECASE)


class PaymentsError(Exception):
    """Something went wrong with the payment provider."""

    code: ClassVar[str] = "payments"
    kind: ClassVar[Kind] = Kind.FATAL

    def __init__(self, text: str | None = None) -> None:
        super().__init__(text or inspect.cleandoc(type(self).__doc__ or ""))


class NotConfigured(PaymentsError):
    """There is no STRIPE_API_KEY, so nothing is asked of Stripe. Set it and start again."""

    code = "payments_not_configured"


class NoCustomer(PaymentsError):
    """This tenant is not a customer at Stripe yet. Run manage.py stripe_sync."""

    code = "payments_no_customer"


class Transient(PaymentsError):
    """Stripe did not take it for now."""

    code = "payments_transient"
    kind = Kind.TRANSIENT

    def __init__(self, text: str | None = None, *, retry_after: float = 0) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class RateLimited(Transient):
    """Stripe wants to hear less from us."""

    code = "payments_rate_limited"


class Unreachable(Transient):
    """Stripe has not answered of late, and is not asked before a pause is over."""

    code = "payments_unreachable"


class Ambiguous(PaymentsError):
    """Nobody knows whether Stripe took it."""

    code = "payments_ambiguous"
    kind = Kind.TRANSIENT


class Duplicate(PaymentsError):
    """Stripe had taken it before."""

    code = "payments_duplicate"


class Permanent(PaymentsError):
    """Stripe will not take it."""

    code = "payments_permanent"

    def __init__(self, text: str, *, reason: str = "") -> None:
        super().__init__(text)
        self.reason = reason  # the provider's code


def explained(code: str) -> str:
    """The provider's code, and what it means."""
    return f"{code}: {CODES[code]}" if code in CODES else code


def named(error: stripe.StripeError) -> PaymentsError:
    """What of ours this error of the library is. Nothing of its text is kept."""
    status, code = error.http_status, str(error.code or "")
    what = f"Stripe answered {status or 'nothing'}" + (f", {explained(code)}" if code else "")
    if request := _token(error.request_id):
        what += f" (request {request})"
    if isinstance(error, stripe.InvalidRequestError) and _ALREADY.search(error.user_message or ""):
        return Duplicate(what)
    if isinstance(error, stripe.RateLimitError):
        return RateLimited(what, retry_after=_retry_after(error))
    if isinstance(error, stripe.IdempotencyError) or status == 409 or code == "lock_timeout":
        return Transient(what)
    if isinstance(error, stripe.AuthenticationError | stripe.PermissionError):
        # Somebody changes keys: what waits must not die of it.
        return Transient(f"{what}: look at STRIPE_API_KEY and what it may do", retry_after=60)
    if isinstance(error, stripe.InvalidRequestError | stripe.CardError):
        return Permanent(what, reason=code)
    # 500s, no answer, and one that cannot be read: a 200 that was cut off, a page of some proxy.
    return Ambiguous(what)


def _retry_after(error: stripe.StripeError) -> float:
    headers = {str(name).lower(): str(value) for name, value in (error.headers or {}).items()}
    try:
        return min(max(float(headers.get("retry-after", "0")), 0.0), 3600.0)
    except ValueError:
        return 0.0


def _token(text: str | None) -> str:
    return text if text and re.fullmatch(r"[A-Za-z0-9_-]{1,64}", text) else ""
