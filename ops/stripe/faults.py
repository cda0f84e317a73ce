"""Stripe as it is on a bad day: what `/_control/faults` asked for, request by request."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from ops.stripe.errors import Refusal
from ops.stripe.store import Store

KINDS = ("status", "delay", "reset")
WHEN = ("before", "after")  # before anything is done; after it is committed


class Reset(Exception):
    """The connection ends without an answer."""


@dataclass(frozen=True)
class Fault:
    kind: str
    when: str
    path: str
    method: str
    times: int | None
    until: float | None
    status: int
    seconds: float
    retry_after: int | None


def parse(given: dict[str, Any]) -> dict[str, Any]:
    """One fault, with every field; a mistake is refused by name."""
    known = {
        "kind": "status", "when": "before", "path": "*", "method": "*", "times": 1, "until": None,
        "status": 500, "seconds": 0.0, "retry_after": None,
    }  # fmt: skip
    if unknown := set(given) - set(known):
        raise Refusal(f"A fault has no field {', '.join(sorted(unknown))}. It has {', '.join(known)}.")
    fault = {**known, **given}
    if fault["kind"] not in KINDS or fault["when"] not in WHEN:
        raise Refusal(f"A fault's kind is one of {', '.join(KINDS)}, and it is {' or '.join(WHEN)}.")
    return fault


def next_of(store: Store, method: str, path: str, real_now: float) -> list[Fault]:
    """Those for this request, counted down: the first of each `when`. Hold the store's transaction."""
    there = [one for one in store.setting("faults", []) if one["until"] is None or real_now < one["until"]]
    hit: dict[str, dict[str, Any]] = {}
    for one in there:
        if fnmatchcase(path, one["path"]) and one["method"] in ("*", method):
            hit.setdefault(one["when"], one)
    for one in hit.values():
        if one["times"] is not None:
            one["times"] -= 1
    left = [one for one in there if one["times"] is None or one["times"] > 0]
    if left != store.setting("faults", []):
        store.set("faults", left)
    return [Fault(**one) for one in hit.values()]


def refusal(fault: Fault) -> Refusal:
    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    if fault.status == 429:
        return Refusal("Too many requests.", status=429, code="rate_limit", headers=headers, keep=False)
    return Refusal("An unknown error occurred.", status=fault.status, kind="api_error", headers=headers)
