"""What a request is done in: the state, the clock, and what was asked."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ops.stripe.errors import Refusal, missing
from ops.stripe.store import Object, Store


@dataclass(frozen=True)
class World:
    store: Store
    base_url: str = ""
    real_time: Callable[[], float] = time.time

    @property
    def now(self) -> int:
        """Stripe's time, in whole seconds: real time, moved by the clock of `/_control`."""
        clock = self.store.setting("clock", {})
        if "stands_at" in clock:
            return int(clock["stands_at"])
        return int(self.real_time()) + int(clock.get("ahead", 0))


@dataclass(frozen=True)
class Call:
    world: World
    template: str
    path: str
    ids: dict[str, str]
    params: dict[str, Any]
    request_id: str = ""
    idempotency_key: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def store(self) -> Store:
        return self.world.store

    @property
    def now(self) -> int:
        return self.world.now

    def find(self, kind: str, param: str = "id") -> Object:
        """The object that the path names."""
        name = next(iter(self.ids.values()))
        found = self.store.get(kind, name)
        if found is None or found.get("deleted"):
            raise missing(kind.rpartition(".")[2], name, param)
        return found


Handler = Callable[[Call], Object]
DEFAULT_PAGE, MAX_PAGE = 10, 100


def page(call: Call, objects: list[Object]) -> Object:
    """`objects`, newest first, cut by limit, starting_after and ending_before."""
    limit = call.params.get("limit", DEFAULT_PAGE)
    if not 1 <= limit <= MAX_PAGE:
        raise Refusal(
            f"This value must be between 1 and {MAX_PAGE}.", code="parameter_invalid_integer", param="limit"
        )
    after, before = call.params.get("starting_after"), call.params.get("ending_before")
    names = [one["id"] for one in objects]
    if after is not None:
        if after not in names:
            raise Refusal(f"No such object: '{after}'", code="resource_missing", param="starting_after")
        objects = objects[names.index(after) + 1 :]
        names = names[names.index(after) + 1 :]
    if before is not None:
        if before not in names:
            raise Refusal(f"No such object: '{before}'", code="resource_missing", param="ending_before")
        objects = objects[: names.index(before)]
        return _list(call, objects[-limit:], len(objects) > limit)
    return _list(call, objects[:limit], len(objects) > limit)


def _list(call: Call, objects: list[Object], has_more: bool) -> Object:
    return {"object": "list", "data": objects, "has_more": has_more, "url": call.path}


def merged_metadata(old: dict[str, str], new: Any) -> dict[str, str]:
    """An empty value removes its key, an empty whole removes all."""
    if not new:
        return {} if new is not None else old
    return {name: value for name, value in {**old, **new}.items() if value != ""}


def created_within(objects: list[Object], wanted: Any) -> list[Object]:
    """`created`, a time or a range of times."""
    if wanted is None:
        return objects
    if isinstance(wanted, int):
        return [one for one in objects if one["created"] == wanted]
    compare: dict[str, Callable[[int, int], bool]] = {
        "gt": int.__gt__, "gte": int.__ge__, "lt": int.__lt__, "lte": int.__le__,
    }  # fmt: skip
    return [one for one in objects if all(compare[n](one["created"], at) for n, at in wanted.items())]
