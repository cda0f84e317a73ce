"""Which region takes a stream: this one, another one, or none. Pure; the table of cases is its test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from tenants.residency import Where


class State(StrEnum):
    """What people have set. Whether a region lives is seen by its gateways' reports."""

    ACTIVE = "active"
    DRAINING = "draining"  # takes no new streams; those that are open are moved, or finish
    DOWN = "down"  # takes none, and has none


@dataclass(frozen=True, slots=True)
class Region:
    """As everybody sees it."""

    name: str
    address: str = ""  # http://host:port or https://host; empty: nobody can be sent there
    zone: str = ""
    state: str = State.ACTIVE
    capacity: int | None = None  # streams; None: as many as its gateways and workers take
    gateways: int = 0  # that have reported within the last seconds
    streams: int = 0
    reported_room: int = 0

    @property
    def room(self) -> int:
        left = self.reported_room if self.capacity is None else self.capacity - self.streams
        return max(0, min(left, self.reported_room))

    @property
    def load(self) -> float:
        return self.streams / max(1, self.streams + self.room)


@dataclass(frozen=True, slots=True)
class Serve:
    pass


@dataclass(frozen=True, slots=True)
class Redirect:
    region: str
    address: str


@dataclass(frozen=True, slots=True)
class Refuse:
    code: str
    sentence: str


Decision: TypeAlias = Serve | Redirect | Refuse

UNKNOWN, FORBIDDEN, UNAVAILABLE = "region_unknown", "region_forbidden", "region_unavailable"


def route(
    regions: Mapping[str, Region], *, here: str, where: Where, hint: str = "", fresh: bool = True
) -> Decision:
    """Residency first, then what the client wishes, then whoever can: here, home, the same zone, the least
    loaded. Not `fresh`: the reports are old, so nothing is known of who lives and has room elsewhere.
    """
    own = regions.get(here, Region(here))
    known = {**regions, here: own}
    permitted = [region for region in known.values() if where.permits(region.name)]
    if hint and hint not in known:
        names = ", ".join(sorted(region.name for region in permitted)) or "none"
        return Refuse(UNKNOWN, f"There is no region {hint!r}. For this key there are: {names}.")
    if hint and not where.permits(hint):
        return Refuse(FORBIDDEN, f"Audio of this key may not be in the region {hint}.")
    if not permitted:
        return Refuse(FORBIDDEN, "Its rule of residency leaves no region that there is.")

    def preference(region: Region) -> tuple[object, ...]:
        return (
            region.name != hint,
            region.name != here,
            region.name != where.home,
            region.zone != own.zone,
            region.load,
            region.name,
        )

    for region in sorted(permitted, key=preference):
        if region.name == here and _takes_here(region, fresh):
            return Serve()
        if region.name != here and _takes_elsewhere(region, fresh):
            return Redirect(region.name, region.address)
    if own in permitted and own.state == State.ACTIVE:
        return Serve()  # full, and nobody else has room: what refuses it here says when to come back
    states = ", ".join(f"{region.name} {_why_not(region)}" for region in sorted(permitted, key=preference))
    return Refuse(UNAVAILABLE, f"{states[:300]}.")


def _takes_here(region: Region, fresh: bool) -> bool:
    # Before the first report of its gateways nothing is known against it; and by old reports two that were
    # full would send everybody to each other.
    return region.state == State.ACTIVE and (not fresh or region.gateways == 0 or region.room > 0)


def _takes_elsewhere(region: Region, fresh: bool) -> bool:
    able = region.state == State.ACTIVE and bool(region.address)
    return able and (not fresh or (region.gateways > 0 and region.room > 0))


def _why_not(region: Region) -> str:
    if region.state != State.ACTIVE:
        return f"is {region.state}"
    if not region.address:
        return "has no public address"
    return "is full" if region.gateways else "does not answer"
