"""Callbacks: what a customer's own server is sent, signed so that it can tell that it was us.

The gateway hands each to Celery, which keeps trying for a day (`gateway.tasks`). The signature is that of
Standard Webhooks (https://www.standardwebhooks.com), made anew for every try; the secret is the project's and
derived from SECRET_KEY, so that it is stored nowhere.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
from dataclasses import asdict, dataclass
from typing import Any, ClassVar
from uuid import UUID

from django.conf import settings

from faults.kinds import Kind
from faults.pauses import pause_s
from gateway.errors import FetchFailed, UrlRefused
from gateway.outbound import Outbound

log = logging.getLogger(__name__)

PREFIX = "whsec_"
MAX_BODY_BYTES = 8 * 1024 * 1024
MAX_WAITING = 5_000  # in a gateway, for the broker
TRY_FOR_S = 24 * 3600.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 1800.0  # the longest is well below the broker's hour of visibility
IN_ORDER_FOR_S = 10.0  # how long a callback waits for the one before it
# What a try may end with, beside being taken. Any other answer that is not 2xx is meant.
OUTCOMES: dict[str, tuple[Kind, str]] = {
    "no answer": (Kind.TRANSIENT, "its name is not found, nobody is there, no TLS, cut off, or too slow"),
    "408": (Kind.TRANSIENT, "it was too slow by its own account"),
    "425": (Kind.TRANSIENT, "it wants it later"),
    "429": (Kind.TRANSIENT, "it wants to hear less"),
    "5xx": (Kind.TRANSIENT, "it broke, or is overloaded"),
    "private address": (Kind.FATAL, "its name leads into this house by now"),
    "3xx": (Kind.FATAL, "redirects are not followed"),
    "4xx": (Kind.FATAL, "it does not want this"),
}


@dataclass(frozen=True)
class Callback:
    """One message to a customer's server. `number` counts those of a request, from 0."""

    task: ClassVar[str] = "gateway.deliver_callback"

    project: str
    request_id: str
    number: int
    url: str
    method: str  # "post" or "put"
    body: str
    created: float  # seconds since the epoch
    attempt: int = 0

    @property
    def id(self) -> str:
        """The same for every try, so that whoever gets it twice can tell."""
        return f"msg_{self.request_id}_{self.number}"

    def __str__(self) -> str:
        # Neither where it goes nor what it says belongs in a log.
        return f"callback {self.number} of {self.request_id}"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def secret_of(project: UUID | str) -> str:
    """What the customer checks signatures of this project with."""
    text = f"stenogate callback secret of {UUID(str(project))}"
    digest = hmac.digest(settings.SECRET_KEY.encode(), text.encode(), hashlib.sha256)
    return PREFIX + base64.b64encode(digest).decode()


def headers(what: Callback, now: float) -> dict[str, str]:
    timestamp = str(int(now))
    key = base64.b64decode(secret_of(what.project).removeprefix(PREFIX))
    signed = hmac.digest(key, f"{what.id}.{timestamp}.{what.body}".encode(), hashlib.sha256)
    return {
        "content-type": "application/json",
        "webhook-id": what.id,
        "webhook-timestamp": timestamp,
        "webhook-signature": "v1," + base64.b64encode(signed).decode(),
    }


async def send(what: Callback, outbound: Outbound, now: float) -> bool:
    """One try. True when that is the end of it: it was taken, or will never be."""
    try:
        status = await outbound.post(
            what.url, what.body.encode(), headers(what, now), method=what.method.upper()
        )
    except UrlRefused:
        log.warning("%s: given up, its URL leads somewhere else now", what)
        return True
    except FetchFailed as error:
        log.info("%s: not delivered: %s", what, error.detail)
        return False
    if 200 <= status < 300:
        return True
    if kind(status) is Kind.TRANSIENT:
        log.info("%s: not delivered: status %d", what, status)
        return False
    log.warning("%s: given up, status %d", what, status)
    return True


def kind(status: int) -> Kind:
    """Of an answer that is not 2xx."""
    known = OUTCOMES.get(str(status)) or OUTCOMES.get(f"{status // 100}xx")
    return known[0] if known else Kind.FATAL


def next_try_s(what: Callback, now: float, chance: float) -> float | None:
    """How long to wait for the next try, with `chance` from 0 to 1; None when a day has passed."""
    pause = pause_s(what.attempt + 1, first_s=FIRST_PAUSE_S, longest_s=LONGEST_PAUSE_S, chance=chance)
    return None if now + pause > what.created + TRY_FOR_S else pause
