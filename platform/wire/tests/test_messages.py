from __future__ import annotations

import msgspec
import pytest

from wire import messages
from wire.messages import Final, Item, Word


def items() -> list[type[Item]]:
    return Item.__subclasses__()


def test_every_item_is_in_one_direction_and_no_two_share_a_tag() -> None:
    there, back = set(messages.ToWorker.__args__), set(messages.ToGateway.__args__)
    assert not there & back
    assert there | back == set(items())
    assert len({item.__struct_config__.tag for item in items()}) == len(items())


@pytest.mark.parametrize("item", items())
def test_items_cannot_be_changed_once_made(item: type[Item]) -> None:
    assert item.__struct_config__.frozen


def test_a_word_travels_as_a_list() -> None:
    assert msgspec.json.encode(Word("a", 1, 2, 0.5)) == b'["a",1,2,0.5]'


def test_a_final_needs_its_place_among_the_finals() -> None:
    with pytest.raises(TypeError):
        Final(stream="s", epoch=1, start_ms=0, end_ms=1, words=())  # type: ignore[call-arg]
