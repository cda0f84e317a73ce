"""The keys that sign receipts. The private halves are in RECEIPT_KEYS, the first of them signs; the public
ones are kept in the database for ever, because old receipts stay good."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from django.utils import timezone

from config import env
from metering.models import SigningKey
from metering.receipts.errors import KeyNameTaken, NoReceiptKey


@dataclass(frozen=True)
class Signer:
    name: str
    private: Ed25519PrivateKey

    @property
    def public(self) -> bytes:
        return self.private.public_key().public_bytes_raw()

    def sign(self, body: str) -> bytes:
        return self.private.sign(body.encode())


def signers() -> list[Signer]:
    """Those of the environment; the first is in use."""
    return [_signer(name, seed) for name, seed in env.RECEIPT_KEYS.read()]


def in_use() -> Signer:
    found = signers()
    if not found:
        raise NoReceiptKey()
    return found[0]


def publish() -> None:
    """See to it that whoever gets a receipt finds the key of it. A name is one key for ever."""
    for place, signer in enumerate(signers()):
        row, new = SigningKey.objects.get_or_create(name=signer.name, defaults={"public": signer.public})
        if bytes(row.public) != signer.public:
            raise KeyNameTaken(
                f"RECEIPT_KEYS: {signer.name} was the name of another key before. Receipts are signed with "
                "that one, so give this one a name of its own."
            )
        if new and place == 0:
            others = SigningKey.objects.exclude(name=signer.name).filter(retired_at=None)
            others.update(retired_at=timezone.now())


def make(name: str) -> str:
    """A new key, as RECEIPT_KEYS has it."""
    return f"{name}:{base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip('=')}"


def good(public: bytes, signature: bytes, body: str) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, body.encode())
    except (InvalidSignature, ValueError):  # ValueError: that is no key at all
        return False
    return True


def published() -> list[dict[str, object]]:
    """The public halves, as RFC 8037 writes them, oldest first."""
    return [
        {
            "kty": "OKP",
            "crv": "Ed25519",
            "use": "sig",
            "kid": row.name,
            "x": base64.urlsafe_b64encode(bytes(row.public)).decode().rstrip("="),
            "first_seen_at": row.first_seen_at,
            "retired_at": row.retired_at,
        }
        for row in SigningKey.objects.order_by("first_seen_at", "name")
    ]


@lru_cache(maxsize=16)
def _signer(name: str, seed: bytes) -> Signer:
    return Signer(name, Ed25519PrivateKey.from_private_bytes(seed))
