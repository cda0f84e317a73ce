"""Pages for people."""

from __future__ import annotations

from ops.stripe.api import Asked
from ops.stripe.world import World

PLACES = ("/portal/", "/checkout/")


def answer(world: World, asked: Asked) -> tuple[int, str, dict[str, str]]:
    return 404, "<p>There is no such page.</p>", {}
