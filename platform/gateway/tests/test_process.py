"""What a house has for those who come back, and its stop."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway import parameters
from gateway.process import Process
from gateway.resume import token
from gateway.resume.errors import ResumeBadToken, ResumeOff, ResumeUnsuitable
from gateway.resume.tests.marks import lane, mark
from gateway.resume.tests.marks import token as made
from gateway.tests.hand_link import HandLink
from gateway.tests.test_stream import GRANT, house
from regions.flags import RESUME, Setting, flags
from tenants.access import KeyGrant


class Keeper:
    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def claim(self, shown: token.Token, grant: KeyGrant, last_seq: int | None) -> Any:
        self.asked.append((shown, grant, last_seq))
        return "what it comes back to"


@pytest.fixture
def keeper() -> Keeper:
    return Keeper()


@pytest.fixture
def at(keeper: Keeper) -> Process:
    process = house(HandLink())
    process.keeper = keeper  # type: ignore[assignment]
    return process


def asked(more: str = "", **changes: Any) -> parameters.ListenParameters:
    shown = token.issue(made(GRANT, **changes))
    return parameters.parse(f"encoding=linear16&resume_token={shown}&{more}".encode())


async def test_who_shows_no_token_begins_anew(at: Process, keeper: Keeper) -> None:
    assert await at.resume(parameters.parse(b"last_seq=7&resume=true"), GRANT) is None
    assert keeper.asked == []


async def test_who_shows_one_is_asked_for_by_it(at: Process, keeper: Keeper) -> None:
    for more, last_seq in (("", None), ("last_seq=-1", -1), ("last_seq=7", 7)):
        assert await at.resume(asked(more), GRANT) == "what it comes back to"
        shown, grant, given = keeper.asked[-1]
        assert (shown.tenant, grant, given) == (str(GRANT.tenant_id), GRANT, last_seq)


@pytest.mark.parametrize(
    ("more", "lanes"),
    [("", 2), ("channels=2&multichannel=true", 1), ("channels=2", 2), ("channels=3&multichannel=true", 2)],
)
async def test_with_other_channels_it_does_not_fit(
    at: Process, keeper: Keeper, more: str, lanes: int
) -> None:
    wanted = asked(more, mark=mark(0, *[lane() for _ in range(lanes)]))
    with pytest.raises(ResumeUnsuitable, match=f"{lanes} channels, not {wanted.lanes}"):
        await at.resume(wanted, GRANT)
    assert keeper.asked == []


async def test_what_is_no_token_is_named_before_anybody_is_asked(at: Process, keeper: Keeper) -> None:
    with pytest.raises(ResumeBadToken):
        await at.resume(parameters.parse(b"resume_token=x"), GRANT)
    assert keeper.asked == []


@pytest.mark.parametrize("why", ["client", "tenant", "region", "house"])
async def test_it_can_be_switched_off(at: Process, keeper: Keeper, why: str) -> None:
    wanted = asked("resume=false" if why == "client" else "")
    if why == "tenant":
        at.regional.flags = flags([Setting(RESUME, "", GRANT.tenant_id, False)])
        assert at.may_resume(wanted, replace(GRANT, tenant_id=GRANT.key_id))
    elif why == "region":
        at.regional.flags = flags([Setting(RESUME, "test", None, False)])
    elif why == "house":
        at.keeper = None
    assert not at.may_resume(wanted, GRANT)
    with pytest.raises(ResumeOff):
        await at.resume(wanted, GRANT)
    assert keeper.asked == []
