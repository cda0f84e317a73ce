"""The provider's client, with a time limit on every call, and without retries of its own: what is said again
is decided here. A breaker of each process stands before it: while nothing answers, nobody waits for it."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache

import stripe
from stripe._base_address import BaseAddresses

from config import env
from faults.breaker import Breaker
from metering.payments.errors import Ambiguous, NotConfigured, PaymentsError, Unreachable, named

log = logging.getLogger(__name__)

CONNECT_S, ANSWER_S = 5.0, 20.0
breaker = Breaker()
# It would keep an id of this machine in the home folder, and send how long calls took.
stripe.enable_telemetry = False


def configured() -> bool:
    return bool(env.STRIPE_API_KEY.read())


def connect() -> stripe.StripeClient:
    if not (key := env.STRIPE_API_KEY.read()):
        raise NotConfigured()
    return _client(key, env.STRIPE_API_BASE.read() or "")


def provider_account() -> str:
    """What objects at the provider belong to: another key, another name, and they are looked for anew."""
    said = f"{env.STRIPE_API_KEY.read()} {env.STRIPE_API_BASE.read()}"
    return f"key:{hashlib.sha256(said.encode()).hexdigest()[:16]}"


def is_live() -> bool:
    return "_live_" in (env.STRIPE_API_KEY.read() or "")


def is_resting() -> bool:
    """Nothing has answered of late, and nobody asks for now."""
    return breaker.resting(time.monotonic())


@contextmanager
def asking() -> Iterator[None]:
    """Around calls to the provider: the library's errors as ours; and, while it does not answer,
    `Unreachable` before anything was said."""
    if wait_s := breaker.wait_s(time.monotonic()):
        raise Unreachable(retry_after=wait_s)
    try:
        with naming_errors():
            yield
    except Ambiguous:
        if breaker.failed(time.monotonic()):
            log.warning("Stripe does not answer, and is asked again after a pause")
        raise
    except PaymentsError:
        breaker.worked()  # it has answered
        raise
    else:
        breaker.worked()


@contextmanager
def naming_errors() -> Iterator[None]:
    """The library's errors as ours. Theirs hold the provider's answer: no traceback is to show them."""
    try:
        yield
    except stripe.StripeError as error:
        raise named(error) from None


def once(name: str) -> str:
    """An idempotency key for making something that is looked for first. Two who make it at the same time make
    one; and a 500, which the provider repeats for as long as it knows the key, ends with the hour."""
    return f"{name}:{datetime.now(UTC):%Y%m%d%H}"


def noted(metadata: stripe.StripeObject | None, key: str) -> str | None:
    """What we wrote on an object of the provider."""
    return None if metadata is None else metadata.to_dict().get(key)


@lru_cache(maxsize=4)
def _client(key: str, base: str) -> stripe.StripeClient:
    addresses: BaseAddresses = (
        {"api": base, "connect": base, "files": base, "meter_events": base} if base else {}
    )
    return stripe.StripeClient(
        key,
        base_addresses=addresses,
        max_network_retries=0,
        # Its sessions are a thread's own.
        http_client=stripe.RequestsClient(timeout=(CONNECT_S, ANSWER_S)),
    )
