"""How long to wait before something is tried again. Pure."""

from __future__ import annotations

import random


def pause_s(tries: int, *, first_s: float, longest_s: float, chance: float | None = None) -> float:
    """After `tries` that failed in a row: by chance between `first_s` and a bound that doubles, up to
    `longest_s`.

    With the whole of the chance in it, because those who failed together must not come back together.
    `chance` is a number from 0 to 1.
    """
    # Not 2**tries for any number of tries: that grows as long as the other side is away.
    bound = min(longest_s, first_s * 2.0 ** min(max(tries, 1), 30))
    return first_s + (random.random() if chance is None else chance) * (bound - first_s)
