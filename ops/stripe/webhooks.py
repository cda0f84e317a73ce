"""Signs and sends what happened, again and again until it is heard. Times here are real, not Stripe's."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from ops.stripe.store import Store

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 600.0
MAX_ATTEMPTS = 40  # with the waits between them more than a working day
TIMEOUT_S = 10


def signature(body: bytes, secret: str, at: int) -> str:
    signed = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={signed}"


def wait_after(attempts: int) -> float:
    return float(min(FIRST_WAIT_S * 2 ** (attempts - 1), LONGEST_WAIT_S))


@dataclass(frozen=True)
class Delivery:
    n: int
    body: bytes
    attempts: int


def due(store: Store, now: float) -> tuple[dict[str, Any], list[Delivery]]:
    """The endpoint, and what is to be sent to it now."""
    with store.transaction():
        endpoint = store.setting("webhook", {})
        if not endpoint.get("url"):
            # As at Stripe: who is not there when it happens is not told later.
            store.db.execute("update deliveries set done = 1 where not done")
            return endpoint, []
        if endpoint.get("held"):
            return endpoint, []
        rows = store.db.execute(
            "select n, body, attempts from deliveries where not done and next_at <= ? order by n limit 20",
            (now,),
        ).fetchall()
        return endpoint, [Delivery(row["n"], row["body"].encode(), row["attempts"]) for row in rows]


def send(endpoint: dict[str, Any], delivery: Delivery) -> int:
    """The status of the answer; 0 if there was none."""
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        "Stripe-Signature": signature(delivery.body, endpoint["secret"], int(time.time())),
    }
    request = urllib.request.Request(endpoint["url"], delivery.body, headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except (OSError, ValueError, http.client.HTTPException):
        return 0


def heard(store: Store, delivery: Delivery, status: int, now: float) -> None:
    attempts = delivery.attempts + 1
    done = 200 <= status < 300 or attempts >= MAX_ATTEMPTS
    with store.transaction():
        store.db.execute(
            "update deliveries set attempts = ?, status = ?, done = ?, next_at = ? where n = ?",
            (attempts, status, int(done), now + wait_after(attempts), delivery.n),
        )


def send_due(store: Store) -> int:
    endpoint, deliveries = due(store, time.time())
    for delivery in deliveries:
        heard(store, delivery, send(endpoint, delivery), time.time())
    return len(deliveries)


def run(store: Store, stop: threading.Event, every: float = 0.1) -> None:
    """The thread that sends."""
    while not stop.wait(every):
        while send_due(store) and not stop.is_set():
            pass
