from __future__ import annotations

import pytest

from wire import addresses


def test_the_heartbeats_of_a_region_have_a_group_of_their_own() -> None:
    assert addresses.heartbeat_group("eu-1") != addresses.heartbeat_group("eu-2")


@pytest.mark.parametrize("region", ["", "EU", "eu 1", "1eu", "eu-1\n", "x" * 33, "eu/1"])
def test_what_is_no_region_is_refused(region: str) -> None:
    with pytest.raises(ValueError, match="lower-case letters"):
        addresses.heartbeat_group(region)
