"""What was said is never in clear where others keep it: Valkey may write what it holds to a disk."""

from __future__ import annotations

import hmac
import os
from functools import cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

NONCE_BYTES = 12


def seal(body: bytes, stream: str) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return nonce + _cipher(settings.SECRET_KEY).encrypt(nonce, body, stream.encode())


def unseal(sealed: bytes, stream: str) -> bytes | None:
    """None: it is not what was sealed for that stream with our secret."""
    try:
        return _cipher(settings.SECRET_KEY).decrypt(
            sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], stream.encode()
        )
    except (InvalidTag, ValueError):
        return None


@cache
def _cipher(secret: str) -> AESGCM:
    return AESGCM(hmac.digest(secret.encode(), b"stenogate resume records", "sha256"))
