"""Writes docs/errors.md, the page on every refusal: `make docs`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import gateway.body_errors
import gateway.door
import gateway.region_errors
import gateway.resume.errors  # noqa: F401 - where there are more
from gateway.billing_errors import BillingRefused
from gateway.errors import AccessRefused, ChangeRefused, GatewayError, LimitReached
from tenants.errors import AccessError

HEADING = """# Errors

A handshake or a request is refused with an HTTP status and a JSON body: `err_code`, `err_msg` and
`request_id`, as Deepgram's older answers have them, and for requests `category`, `message` and `details`, as
its newer ones have. A stream that is already open gets a message of type `Error` with the same code, and is
closed with the close code and the error code as its reason. Codes do not change; sentences may.

Written by `make docs` from `gateway/errors.py` and `tenants/errors.py`.

| code | HTTP | close | what it says |
|---|---|---|---|
"""


def every(base: type[Any]) -> Iterator[type[Any]]:
    """The classes of a tree, `base` first."""
    yield base
    for child in base.__subclasses__():
        yield from every(child)


# Only their children are said to anybody, or what they are the answer to.
BASES = (GatewayError, LimitReached, AccessRefused, ChangeRefused, BillingRefused)


def errors() -> list[tuple[str, int, int, type[Exception]]]:
    found: list[tuple[str, int, int, type[Exception]]] = [
        (e.code, e.status, e.close_code, e) for e in every(GatewayError) if e not in BASES
    ]
    found += [
        (e.code, e.status, AccessRefused.close_code, e) for e in every(AccessError) if e is not AccessError
    ]
    found += [(e.code, status, ChangeRefused.close_code, e) for e, status in ChangeRefused.STATUSES.items()]
    found += [(e.code, status, BillingRefused.close_code, e) for e, status in BillingRefused.STATUSES.items()]
    return found


def rows() -> list[tuple[str, int, int, str]]:
    return [
        (code, status, close, " ".join(inspect.cleandoc(kind.__doc__ or "").split()))
        for code, status, close, kind in errors()
    ]


def page() -> str:
    lines = [
        f"| `{code}` | {status} | {close} | {sentence} |" for code, status, close, sentence in sorted(rows())
    ]
    return HEADING + "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")
