"""`expand[]=data.customer`: names in an answer become the objects that they are of."""

from __future__ import annotations

import copy
from typing import Any

from ops.stripe.errors import Refusal
from ops.stripe.store import Object, Store

MAX_DEPTH = 4


def expanded(store: Store, answer: Object, paths: list[str]) -> Object:
    if not paths:
        return answer
    answer = copy.deepcopy(answer)
    for path in paths:
        parts = path.split(".")
        if len(parts) > MAX_DEPTH:
            raise Refusal("You cannot expand more than 4 levels of a property.", param="expand", keep=False)
        _expand(store, answer, parts, path)
    return answer


def _expand(store: Store, value: Any, parts: list[str], path: str) -> None:
    if isinstance(value, list):
        for one in value:
            _expand(store, one, parts, path)
        return
    if not parts or not isinstance(value, dict):
        return
    first, rest = parts[0], parts[1:]
    if first not in value:
        raise Refusal(f"This property cannot be expanded ({path}).", param="expand", keep=False)
    if isinstance(value[first], str):
        value[first] = store.any(value[first]) or value[first]
    _expand(store, value[first], rest, path)
