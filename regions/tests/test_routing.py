"""The table of cases: who asks where, for what, while the regions are how."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regions.routing import (
    FORBIDDEN,
    UNAVAILABLE,
    UNKNOWN,
    Redirect,
    Refuse,
    Region,
    Serve,
    State,
    route,
)
from tenants.residency import Where

FINE = {"gateways": 2, "streams": 10, "reported_room": 90}
WORLD = {
    "eu": Region("eu", "https://eu.example.com", "europe", **FINE),
    "uk": Region("uk", "https://uk.example.com", "europe", **FINE),
    "us": Region("us", "https://us.example.com", "america", **FINE),
    "ap": Region("ap", "https://ap.example.com", "asia", **{**FINE, "streams": 5}),
}
ANY, EU_ONLY = Where(), Where("eu", frozenset({"eu"}))
EU_OR_US = Where("eu", frozenset({"eu", "us"}))
DRAINING, DOWN = {"state": State.DRAINING}, {"state": State.DOWN}
SILENT, FULL = {"gateways": 0, "streams": 0, "reported_room": 0}, {"reported_room": 0}
CLOSED = {"capacity": 10}


def to(name: str) -> Redirect:
    return Redirect(name, f"https://{name}.example.com")


# (here, where, hint, what is different), what comes of it
CASES: dict[str, tuple[tuple[str, Where, str, dict[str, dict[str, Any]]], object]] = {
    # ---- residency
    "anybody anywhere": (("us", ANY, "", {}), Serve()),
    "at home": (("eu", EU_ONLY, "", {}), Serve()),
    "not at home": (("us", EU_ONLY, "", {}), to("eu")),
    "home is only preferred, and here will do": (("us", Where("eu"), "", {}), Serve()),
    "one of two that are allowed": (("us", EU_OR_US, "", {}), Serve()),
    "neither of two that are allowed: home": (("ap", EU_OR_US, "", {}), to("eu")),
    "neither of two, without a home: the less loaded": (
        ("eu", Where("", frozenset({"us", "ap"})), "", {}),
        to("ap"),
    ),
    "the same zone before the less loaded": (
        ("eu", Where("", frozenset({"uk", "ap"})), "", {}),
        to("uk"),
    ),
    "nowhere": (("eu", Where("", frozenset()), "", {}), FORBIDDEN),
    "where there is no region": (("eu", Where("mars", frozenset({"mars"})), "", {}), FORBIDDEN),
    # ---- what the client wishes
    "wished for, and here": (("us", ANY, "us", {}), Serve()),
    "wished for, elsewhere": (("us", ANY, "ap", {}), to("ap")),
    "wished for and not allowed": (("us", EU_OR_US, "ap", {}), FORBIDDEN),
    "wished for and not there": (("us", ANY, "mars", {}), UNKNOWN),
    "wished for and draining: here": (("us", ANY, "ap", {"ap": DRAINING}), Serve()),
    "wished for and dead: home, if here is not allowed": (
        ("ap", EU_OR_US, "us", {"us": SILENT}),
        to("eu"),
    ),
    "wished for before home": (("ap", EU_OR_US, "us", {}), to("us")),
    # ---- health
    "here is draining: home": (("us", EU_OR_US, "", {"us": DRAINING}), to("eu")),
    "here is draining: the less loaded": (("us", ANY, "", {"us": DRAINING}), to("ap")),
    "here is down": (("eu", EU_OR_US, "", {"eu": DOWN}), to("us")),
    "here is draining, and nothing else is allowed": (("eu", EU_ONLY, "", {"eu": DRAINING}), UNAVAILABLE),
    "the only one allowed is dead": (("us", EU_ONLY, "", {"eu": SILENT}), UNAVAILABLE),
    "the only one allowed is down": (("us", EU_ONLY, "", {"eu": DOWN}), UNAVAILABLE),
    "the only one allowed has no address": (("us", EU_ONLY, "", {"eu": {"address": ""}}), UNAVAILABLE),
    "home is dead, another is allowed": (("ap", EU_OR_US, "", {"eu": SILENT}), to("us")),
    "before the first report here": (("us", ANY, "", {"us": SILENT}), Serve()),
    # ---- load
    "here is full": (("us", EU_OR_US, "", {"us": FULL}), to("eu")),
    "here is at its capacity": (("us", EU_OR_US, "", {"us": CLOSED}), to("eu")),
    "here and all others are full: here says when to come back": (
        ("us", EU_OR_US, "", {"us": FULL, "eu": FULL}),
        Serve(),
    ),
    "elsewhere is at its capacity": (("ap", EU_OR_US, "", {"eu": CLOSED}), to("us")),
    "the only one allowed is full": (("us", EU_ONLY, "", {"eu": FULL}), UNAVAILABLE),
}


@pytest.mark.parametrize("name", CASES)
def test_where_a_stream_goes(name: str) -> None:
    (here, where, hint, changes), expected = CASES[name]
    world = {**WORLD, **{one: replace(WORLD[one], **how) for one, how in changes.items()}}
    found = route(world, here=here, where=where, hint=hint)
    if isinstance(expected, str):
        assert isinstance(found, Refuse)
        assert found.code == expected
    else:
        assert found == expected


def test_a_refusal_says_why() -> None:
    world = {**WORLD, "eu": replace(WORLD["eu"], state=State.DRAINING)}
    found = route(world, here="eu", where=EU_ONLY)
    assert found == Refuse(UNAVAILABLE, "eu is draining.")
    found = route(WORLD, here="eu", where=EU_OR_US, hint="mars")
    assert found == Refuse(UNKNOWN, "There is no region 'mars'. For this key there are: eu, us.")


def test_one_region_that_nobody_wrote_down_serves() -> None:
    assert route({}, here="local", where=ANY) == Serve()
    assert route({}, here="local", where=Where("local", frozenset({"local"}))) == Serve()
    refused = route({}, here="local", where=EU_ONLY)
    assert isinstance(refused, Refuse)
    assert refused.code == FORBIDDEN


def test_old_reports_send_nobody_away_who_may_be_here_and_stop_nobody_who_may_not() -> None:
    old = {name: replace(region, **SILENT) for name, region in WORLD.items()}
    assert route(old, here="us", where=EU_ONLY, fresh=False) == to("eu")
    assert route(old, here="us", where=EU_OR_US, fresh=False) == Serve()
    full = {name: replace(region, **FULL) for name, region in WORLD.items()}
    assert route(full, here="us", where=EU_ONLY, fresh=False) == to("eu")
    assert route(full, here="us", where=ANY, fresh=False) == Serve()
    # Whoever is sent where he wishes to be stays there, and does not come back.
    assert route(full, here="us", where=ANY, hint="eu", fresh=False) == to("eu")
    assert route(full, here="eu", where=ANY, hint="eu", fresh=False) == Serve()
    gone = {**WORLD, "eu": replace(WORLD["eu"], state=State.DOWN)}
    assert isinstance(route(gone, here="us", where=EU_ONLY, fresh=False), Refuse)


names = st.sampled_from([*WORLD, "mars"])
regions = st.fixed_dictionaries(
    {
        name: st.builds(
            Region,
            st.just(name),
            st.sampled_from(["", f"https://{name}.example.com"]),
            st.sampled_from(["", "europe"]),
            st.sampled_from(list(State)),
            st.none() | st.integers(0, 20),
            st.integers(0, 2),
            st.integers(0, 20),
            st.integers(0, 20),
        )
        for name in WORLD
    }
)


@given(regions, names, st.none() | st.frozensets(names), st.sampled_from(["", *WORLD, "mars"]), st.booleans())
def test_never_where_it_may_not_be(world, here, permitted, hint, fresh) -> None:
    where = Where("eu", permitted)
    found = route(world, here=here, where=where, hint=hint, fresh=fresh)
    if isinstance(found, Serve):
        assert where.permits(here)
        assert world.get(here, Region(here)).state == State.ACTIVE
    elif isinstance(found, Redirect):
        assert found.region != here
        assert where.permits(found.region)
        assert found.address == world[found.region].address != ""
        assert world[found.region].state == State.ACTIVE
        # Whoever is sent on for want of room is not sent back for it.
        assert not fresh or world[found.region].room > 0
    else:
        assert found.sentence
