from __future__ import annotations

import pytest

from gateway.errors import BadParameter
from gateway.region_query import DESCRIBED, Asked, read


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        (b"", Asked()),
        (b"model=nova-3&encoding=linear16", Asked()),
        (b"redact=pci", Asked()),
        (b"region=eu-1", Asked("eu-1")),
        (b"region=eu&region=us", Asked("us")),
        (b"%72egion=eu", Asked("eu")),
        (b"redirect=close", Asked(redirect="close")),
        (b"region=us&redirect=HTTP", Asked("us")),
    ],
)
def test_what_is_asked(query: bytes, asked: Asked) -> None:
    assert read(query) == asked


@pytest.mark.parametrize("query", [b"region=", b"region=EU", b"region=e/u", b"region=" + b"e" * 33])
def test_what_no_region_can_be_called(query: bytes) -> None:
    with pytest.raises(BadParameter, match=r"region='.*': allowed is the name of a region: "):
        read(query)


def test_no_other_way_to_be_told() -> None:
    with pytest.raises(BadParameter, match="redirect='frame': allowed is http or close"):
        read(b"redirect=frame")


def test_what_is_described_is_what_is_read() -> None:
    assert {one.name for one in DESCRIBED} == {one.field for one in DESCRIBED} == set(Asked.__annotations__)
