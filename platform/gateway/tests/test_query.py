from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from gateway import query
from gateway.errors import BadParameter

Reader = Callable[[Sequence[str]], object]


@pytest.mark.parametrize(
    ("read", "given", "value"),
    [
        (query.boolean, ["TRUE"], True),
        (query.boolean, ["true", "False"], False),
        (query.whole(1, 9), ["9"], 9),
        (query.switch_or_whole(1, 9, on=5, off=None), ["true"], 5),
        (query.switch_or_whole(1, 9, on=5, off=None), ["False"], None),
        (query.switch_or_whole(1, 9, on=5, off=None), ["2"], 2),
        (query.choice("a", "b"), ["B"], "b"),
        (query.text(3), ["abc"], "abc"),
        (query.texts(2, 3), ["", "abc", ""], ("abc",)),
        (query.weighted(2, 9), ["a:2", "b:-1.5", "c:d", ":3"], None),
        (query.weighted(4, 9), ["a:2", "b:-1.5", "c:d", ":3"], ("a", "b", "c:d", ":3")),
        (query.several(("a", "b"), meaning={"true": "a"}), ["b, a", "true", "false"], ("b", "a")),
        (query.pairs(2, 3, 3), ["k:v", "k:w", "l:"], (("k", "w"), ("l", ""))),
    ],
)
def test_readers(read: Reader, given: list[str], value: object) -> None:
    if value is None and len(given) > 1:
        with pytest.raises(query.NotAllowed):
            read(given)
    else:
        assert read(given) == value


@pytest.mark.parametrize(
    ("read", "given"),
    [
        (query.boolean, "1"),
        (query.whole(1, 9), "٣"),
        (query.whole(1, 9), "+3"),
        (query.whole(1, 9), "3\n"),
        (query.text(3), ""),
        (query.text(3), "a\x00"),
        (query.pairs(2, 3, 3), "long:v"),
        (query.pairs(2, 3, 3), "k:\n"),
    ],
)
def test_readers_refuse(read: Reader, given: str) -> None:
    with pytest.raises(query.NotAllowed):
        read([given])


def test_values_are_gathered_by_name() -> None:
    assert query.fields(b"a=1&b=&a=%20x") == {"a": ["1", " x"], "b": [""]}
    with pytest.raises(BadParameter):
        query.fields("ä=1".encode())
