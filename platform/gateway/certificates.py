"""When the certificates that clients are shown expire, for an alert before that.

A gateway speaks no TLS: a proxy before it does. So it goes to the public addresses as a client would, and
looks at what is shown there. Whether it is trusted is not asked: an authority of the house would not be.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import TypeAlias
from urllib.parse import urlsplit

from cryptography import x509
from prometheus_client import Gauge

from config import env

log = logging.getLogger(__name__)

TIMEOUT_S = 2.0
LOOK_EVERY_S = 300.0
MOST = 64

Address: TypeAlias = tuple[str, int]

expires = Gauge(
    "stenogate_gateway_certificate_expires_timestamp_seconds",
    "When the certificate that an address shows expires, as Unix time.",
    ["address"],
)
unreadable = Gauge(
    "stenogate_gateway_certificate_unreadable",
    "1 when an address showed no certificate the last time, else 0.",
    ["address"],
)


def addresses(urls: Iterable[str]) -> tuple[Address, ...]:
    """Of those of `urls` that speak TLS, and those that were named; no more than MOST."""
    public = [one for one in map(urlsplit, urls) if one.scheme == "https"]
    found = [(one.hostname, one.port or 443) for one in public if one.hostname]
    return tuple(dict.fromkeys([*env.CERTIFICATE_ADDRESSES.read(), *found]))[:MOST]


async def expiry(address: Address) -> datetime:
    """Raises `OSError`, of which TLS's errors and a timeout are some, and `ValueError`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # it is to be read, not trusted
    host, port = address
    async with asyncio.timeout(TIMEOUT_S):
        _, writer = await asyncio.open_connection(host, port, ssl=context)
    try:
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return x509.load_der_x509_certificate(shown or b"").not_valid_after_utc
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


class Watch:
    """Looks at most every LOOK_EVERY_S seconds, or when the addresses change, at all of them at once."""

    def __init__(
        self,
        where: Callable[[], Sequence[Address]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._where, self._clock = where, clock
        self._at: float | None = None
        self._known: set[Address] = set()

    async def refresh(self) -> None:
        found = set(self._where())
        if self._at is None or self._clock() - self._at >= LOOK_EVERY_S or found != self._known:
            self._at = self._clock()
            for gone in self._known - found:
                for gauge in (expires, unreadable):
                    with suppress(KeyError):  # one that never showed a certificate has no date
                        gauge.remove(named(gone))
            self._known = found
            await asyncio.gather(*map(look, found))


def named(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def look(address: Address) -> None:
    try:
        until = await expiry(address)
    except (OSError, ValueError) as error:
        # What was known stays: it is as true as it was.
        unreadable.labels(named(address)).set(1)
        log.warning("certificates: %s shows none (%s)", named(address), type(error).__name__)
    else:
        unreadable.labels(named(address)).set(0)
        expires.labels(named(address)).set(until.timestamp())
