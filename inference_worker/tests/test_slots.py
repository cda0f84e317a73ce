from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from inference_worker.slots import Lease, SlotArena


def test_a_full_arena_gives_nothing() -> None:
    arena: SlotArena[str] = SlotArena(2)
    assert arena.claim("alice") == Lease(0, 1)
    assert arena.claim("bob") == Lease(1, 1)
    assert arena.claim("mallory") is None
    assert arena.active == 2


def test_an_old_lease_never_shows_the_next_holder() -> None:
    arena: SlotArena[str] = SlotArena(1)
    first = arena.claim("alice")
    assert first is not None
    assert arena.release(first)
    assert arena.holder(first) is None
    second = arena.claim("mallory")
    assert second is not None
    assert second.slot == first.slot
    assert arena.holder(first) is None
    assert arena.holder(second) == "mallory"
    assert not arena.release(first)
    assert arena.holder(second) == "mallory"


@given(st.lists(st.integers(0, 30), max_size=300))
def test_any_order_of_claims_and_releases_keeps_holders_apart(choices: list[int]) -> None:
    arena: SlotArena[int] = SlotArena(5)
    held: dict[Lease, int] = {}
    ended: set[Lease] = set()
    for number, choice in enumerate(choices):
        if choice % 2:
            lease = arena.claim(number)
            assert (lease is None) == (len(held) == 5)
            if lease is not None:
                assert lease not in ended
                held[lease] = number
        elif held:
            lease = list(held)[choice % len(held)]
            del held[lease]
            ended.add(lease)
            assert arena.release(lease)
        assert arena.active == len(held)
        assert all(arena.holder(lease) == holder for lease, holder in held.items())
        assert not any(arena.holder(lease) for lease in ended)
