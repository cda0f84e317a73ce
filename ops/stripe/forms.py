"""`a[b][0]=c` ⇄ nested values: how Stripe's v1 takes parameters."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl

from ops.stripe.errors import Refusal

NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)\Z")
MAX_PARTS = 5000


def nested(text: str) -> dict[str, Any]:
    """Every leaf is a string; arrays are lists, whether their keys are `[]` or `[0]`, `[1]`, ..."""
    found: dict[str, Any] = {}
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_PARTS)
    except ValueError:
        raise Refusal("Too many parameters.", keep=False) from None
    for name, value in pairs:
        match = NAME.match(name)
        if match is None:
            raise Refusal(f"Invalid parameter name: {name[:100]}", param=name[:100], keep=False)
        path = [match[1], *re.findall(r"\[([^\[\]]*)\]", match[2])]
        _put(found, path, value, name)
    return {name: _lists(value) for name, value in found.items()}


def _put(into: dict[str, Any], path: list[str], value: str, name: str) -> None:
    for part in path[:-1]:
        into = into.setdefault(part, {})
        if not isinstance(into, dict):
            raise Refusal(f"Invalid parameter: {name[:100]} is given in two ways.", param=name, keep=False)
    last = path[-1] or str(len(into))
    if isinstance(into.get(last), dict):
        raise Refusal(f"Invalid parameter: {name[:100]} is given in two ways.", param=name, keep=False)
    into[last] = value


def _lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {name: _lists(part) for name, part in value.items()}
    if inner and all(name.isdecimal() for name in inner):
        return [inner[name] for name in sorted(inner, key=int)]
    return inner
