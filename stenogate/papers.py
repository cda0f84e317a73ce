"""Reads the files that `stenogate verify` is given: an invoice, receipts, public keys. What is no JSON, or
has a fraction or a name twice where none belongs, is refused: two programs could read it differently."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stenogate.errors import UsageError

MAX_LINE = 4 * 1024 * 1024


class Odd(ValueError):
    """It is not what it should be; the message says what."""


def invoice(path: Path) -> dict[str, Any]:
    found = _object(_text(path), path.name)
    if found.get("v") != 1 or found.get("kind") not in ("invoice", "credit_note"):
        raise UsageError(f"{path.name} is no invoice of version 1: save GET /v1/billing/invoices/NUMBER")
    return found


def keys(path: Path) -> dict[str, bytes]:
    """Public keys by name."""
    listed = _object(_text(path), path.name).get("keys")
    try:
        if not isinstance(listed, list):
            raise Odd("it has no list of keys")
        found: dict[str, bytes] = {}
        for one in listed:
            if one["kty"] != "OKP" or one["crv"] != "Ed25519" or one["kid"] in found:
                raise Odd("it has something else than Ed25519 keys, each by a name of its own")
            found[str(one["kid"])] = unbase64(one["x"], 32)
    except (Odd, TypeError, KeyError) as error:
        raise UsageError(f"{path.name} is no list of keys (save GET /v1/receipts/keys): {error}") from None
    return found


def receipts(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each with the number of its line."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(MAX_LINE), b""), 1):
                if line.strip():
                    where = f"{path.name}, line {number}"
                    yield number, _object(_decoded(line, where), where)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None


def parse(text: str) -> dict[str, Any]:
    """An object of JSON without fractions. Raises `Odd`."""
    try:
        found = json.loads(
            text, parse_float=_no_fraction, parse_constant=_no_fraction, object_pairs_hook=_once
        )
    except RecursionError:
        raise Odd("it is nested too deeply") from None
    except Odd:
        raise
    except ValueError:  # also of a number with thousands of digits
        raise Odd("it is not JSON") from None
    if not isinstance(found, dict):
        raise Odd("it is no object")
    return found


def unbase64(text: object, length: int) -> bytes:
    """base64url without padding, of so many bytes."""
    try:
        found = base64.b64decode(f"{text}{'=' * (-len(str(text)) % 4)}", altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if not isinstance(text, str) or len(found) != length:
        raise Odd(f"{str(text)[:20]!r} is not {length} bytes in base64url")
    return found


def _object(text: str, where: str) -> dict[str, Any]:
    try:
        return parse(text)
    except Odd as error:
        raise UsageError(f"{where}: {error}") from None


def _text(path: Path) -> str:
    try:
        return _decoded(path.read_bytes(), path.name)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None


def _decoded(data: bytes, where: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise UsageError(f"{where}: it is not UTF-8") from None


def _no_fraction(text: str) -> Any:
    raise Odd(f"{text[:20]} is not a whole number")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Odd("it has a name twice")
    return found
