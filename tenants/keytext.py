"""What an API key looks like: `sk_`, 12 characters to find it by, `_`, 40 characters that are the secret.

The secret is 238 random bits, so one SHA-256 is enough: there is nothing to guess and nothing to slow down.
All characters are letters, digits and `_`, which a WebSocket subprotocol may carry.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string

ALPHABET = string.ascii_letters + string.digits
PREFIX_LENGTH = 12
SECRET_LENGTH = 40
KEY_LENGTH = len("sk_") + PREFIX_LENGTH + len("_") + SECRET_LENGTH

_KEY = re.compile(rf"sk_([0-9A-Za-z]{{{PREFIX_LENGTH}}})_[0-9A-Za-z]{{{SECRET_LENGTH}}}")


def _random(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def generate() -> tuple[str, str]:
    """A new key: its prefix and its whole text."""
    prefix = _random(PREFIX_LENGTH)
    return prefix, f"sk_{prefix}_{_random(SECRET_LENGTH)}"


def prefix_of(text: str) -> str | None:
    """The prefix to look `text` up by, or None if it cannot be a key."""
    match = _KEY.fullmatch(text)
    return match[1] if match else None


def digest(text: str) -> bytes:
    """What is stored of a key."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
