"""A receipt as a customer gets it: the text that was signed, and what it takes to check it."""

from __future__ import annotations

import base64

from metering.models import Receipt


def shown(receipt: Receipt) -> dict[str, str]:
    return {
        "body": receipt.body,
        "key": receipt.key,
        "signature": base64.urlsafe_b64encode(bytes(receipt.signature)).decode().rstrip("="),
        "hash": bytes(receipt.hash).hex(),
    }
