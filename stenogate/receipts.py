"""Are these receipts genuine, and are they all? Signatures, hashes, the chain, what each says of itself."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from stenogate.papers import Odd, parse, unbase64


@dataclass(frozen=True)
class Range:
    """Audio that is billed in `period` at `price`, or, `taken_back`, billed no more."""

    stream: str
    from_ms: int
    to_ms: int
    period: str
    price: str | None
    taken_back: bool


@dataclass(frozen=True)
class Receipt:
    line: int  # of the file
    number: int
    revision: int
    supersedes: int | None
    previous: str | None
    hash: str
    tenant: str
    request_id: str
    ms: int
    ranges: tuple[Range, ...]
    prices: Mapping[str, Mapping[str, Any]]

    def __str__(self) -> str:
        return f"receipt {self.number} (line {self.line}, stream {self.request_id})"


@dataclass(frozen=True)
class Chain:
    receipts: list[Receipt]  # those that are genuine, in the order of their numbers
    problems: list[str]

    @property
    def latest(self) -> dict[str, Receipt]:
        """Of each stream the one that counts."""
        found: dict[str, Receipt] = {}
        for receipt in self.receipts:
            before = found.get(receipt.request_id)
            if before is None or receipt.revision > before.revision:
                found[receipt.request_id] = receipt
        return found


def check(lines: Iterable[tuple[int, dict[str, Any]]], keys: Mapping[str, bytes]) -> Chain:
    genuine: dict[int, Receipt] = {}
    problems: list[str] = []
    for line, raw in lines:
        try:
            receipt = _genuine(line, raw, keys)
            if receipt.number in genuine:
                raise Odd(
                    f"number {receipt.number} is there twice, in line {genuine[receipt.number].line} too"
                )
            genuine[receipt.number] = receipt
        except Odd as error:
            problems.append(f"receipts, line {line}: {error}")
    ordered = [genuine[number] for number in sorted(genuine)]
    problems += _broken_chain(ordered)
    problems += _broken_revisions(ordered)
    return Chain(ordered, problems)


def _genuine(line: int, raw: Mapping[str, Any], keys: Mapping[str, bytes]) -> Receipt:
    body, name = raw.get("body"), raw.get("key")
    if not isinstance(body, str) or not isinstance(name, str):
        raise Odd("it is no receipt: it has no body or no key")
    if name not in keys:
        raise Odd(f"it is signed with the key {name[:64]!r}, which is not among the published ones")
    try:
        Ed25519PublicKey.from_public_bytes(keys[name]).verify(
            unbase64(raw.get("signature"), 64), body.encode()
        )
    except (InvalidSignature, ValueError):
        raise Odd(f"its signature is not one of the key {name!r} for this body") from None
    digest = hashlib.sha256(body.encode()).hexdigest()
    if raw.get("hash") != digest:
        raise Odd("its hash is not that of its body")
    try:
        return _read(line, parse(body), digest)
    except (KeyError, TypeError, AttributeError):
        raise Odd("its body is not that of a receipt of version 1") from None


def _read(line: int, body: dict[str, Any], digest: str) -> Receipt:
    if body["v"] != 1:
        raise Odd("its body is not of version 1")
    ranges = tuple(_range(one) for one in body["ranges"])
    receipt = Receipt(
        line=line,
        number=_whole(body, "number"),
        revision=_whole(body, "revision"),
        supersedes=body["supersedes"],
        previous=body["previous"],
        hash=digest,
        tenant=str(body["tenant"]),
        request_id=str(body["request_id"]),
        ms=_whole(body, "ms"),
        ranges=ranges,
        prices={str(price["id"]): price for price in body["prices"]},
    )
    if receipt.ms != sum(-_length(one) if one.taken_back else _length(one) for one in ranges):
        raise Odd("its milliseconds are not the sum of its ranges")
    if lost := {one.price for one in ranges if one.price is not None} - receipt.prices.keys():
        raise Odd(f"it names the price {sorted(lost)[0]} and does not tell it")
    return receipt


def _range(raw: Mapping[str, Any]) -> Range:
    from_ms, to_ms, ms = (_whole(raw, name) for name in ("from_ms", "to_ms", "ms"))
    if not 0 <= from_ms < to_ms or abs(ms) != to_ms - from_ms:
        raise Odd(f"its range from {from_ms} to {to_ms} ms is not {abs(ms)} ms long")
    price = None if raw["price"] is None else str(raw["price"])
    return Range(str(raw["stream"]), from_ms, to_ms, str(raw["period"]), price, taken_back=ms < 0)


def _whole(raw: Mapping[str, Any], name: str) -> int:
    value = raw[name]
    if type(value) is not int:
        raise Odd(f"its {name} is not a whole number")
    return value


def _length(one: Range) -> int:
    return one.to_ms - one.from_ms


def _broken_chain(receipts: list[Receipt]) -> list[str]:
    problems = []
    for receipt in receipts:
        if receipt.tenant != receipts[0].tenant:
            problems.append(f"{receipt} is another tenant's than {receipts[0]}")
    if receipts and receipts[0].number == 1 and receipts[0].previous is not None:
        problems.append(f"{receipts[0]} is the first, and names one before it")
    for before, receipt in pairwise(receipts):
        missing = receipt.number - before.number - 1
        if missing == 1:
            problems.append(f"receipt {before.number + 1} is missing: it is not in the file, or not genuine")
        elif missing:
            problems.append(
                f"receipts {before.number + 1} to {receipt.number - 1} are missing: they are not in the "
                "file, or not genuine"
            )
        elif receipt.previous != before.hash:
            problems.append(f"{receipt} does not follow {before}: it has the hash of another one")
    return problems


def _broken_revisions(receipts: list[Receipt]) -> list[str]:
    problems = []
    last: dict[str, Receipt] = {}
    for receipt in receipts:
        before = last.get(receipt.request_id)
        if before is not None and (receipt.revision, receipt.supersedes) != (
            before.revision + 1,
            before.number,
        ):
            problems.append(f"{receipt} does not take the place of {before}, which is of the same stream")
        elif before is None and (receipt.revision == 1) != (receipt.supersedes is None):
            problems.append(f"{receipt} is revision {receipt.revision} and supersedes {receipt.supersedes}")
        last[receipt.request_id] = receipt
    return problems
