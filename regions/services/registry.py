"""Which regions there are, and how they are."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from regions.errors import (
    AddressMalformed,
    AddressTaken,
    CapacityMalformed,
    RegionMalformed,
    RegionTaken,
    RegionUnknown,
    ZoneMalformed,
)
from regions.models import Gateway, Region
from regions.routing import State
from regions.services.history import Actor, note, permit, version
from tenants.scope import staff_scope

_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}\Z")
_HOST = re.compile(r"(?:[A-Za-z0-9.-]{1,90}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?\Z")
MAX_CAPACITY = 2**31 - 1


def add_region(
    name: str, *, address: str = "", zone: str = "", capacity: int | None = None, actor: Actor
) -> int:
    """A new region, which takes streams at once. Returns the version of the configuration that has it."""
    permit(actor)
    values = _checked(address=address, zone=zone, capacity=capacity)
    if not _NAME.match(name):
        raise RegionMalformed()
    with staff_scope():
        # Claimed by the insertion: of two who add the same one, one is told that it is there.
        _, made = Region.objects.get_or_create(name=name, defaults=values)
        if not made:
            raise RegionTaken()
        number = note(actor, "region.added", name, **values)
        _must_be_alone(name, address=values["address"])
        return number


def change_region(name: str, *, actor: Actor, **changes: Any) -> int:
    """Its `address`, `zone` or `capacity`, those of them that are given."""
    permit(actor)
    values = _checked(**changes)
    with staff_scope():
        region = _locked(name)
        before = {key: getattr(region, key) for key in values}
        if before == values:
            return version()
        Region.objects.filter(name=name).update(**values)
        number = note(actor, "region.changed", name, before=before, after=values)
        _must_be_alone(name, address=values.get("address", ""))
        return number


def set_state(name: str, state: State, *, actor: Actor) -> int:
    """Gateways hear of it within a second. Setting what is set already changes nothing."""
    permit(actor)
    with staff_scope():
        before = _locked(name).state
        if before == state:
            return version()
        Region.objects.filter(name=name).update(state=state.value)
        return note(actor, "region.state", name, before=before, after=state.value)


def ensure_region(name: str, *, actor: Actor) -> None:
    """See to it that it is there, as it is if it is."""
    with suppress(RegionTaken):
        add_region(name, actor=actor)


def must_be_there(names: set[str]) -> None:
    """Within `staff_scope`: one that was never added is written down if a gateway of it reports."""
    known = set(Region.objects.filter(name__in=names).values_list("name", flat=True))
    reporting = set(Gateway.objects.filter(region__in=names - known).values_list("region", flat=True))
    for name in reporting:
        Region.objects.get_or_create(name=name)
    if missing := sorted(names - known - reporting):
        there = ", ".join(Region.objects.values_list("name", flat=True)) or "none"
        raise RegionUnknown(f"There is no region {', '.join(map(repr, missing))}. There are: {there}.")


def _must_be_alone(name: str, *, address: str) -> None:
    """At an address of two, those who are sent to the one come to the other, and are sent on for ever. To be
    asked after the change has its number: of two at once the second one sees the first."""
    others = Region.objects.filter(address__iexact=address).exclude(name=name)
    if address and (other := others.first()):
        raise AddressTaken(f"Choose another address; another region has it already: {other}.")


def _locked(name: str) -> Region:
    must_be_there({name})
    return Region.objects.select_for_update().get(name=name)


def _checked(**values: Any) -> dict[str, Any]:
    if "address" in values:
        values["address"] = _address(values["address"])
    if values.get("zone") and not _NAME.match(values["zone"]):
        raise ZoneMalformed()
    capacity = values.get("capacity")
    if capacity is not None and (type(capacity) is not int or not 0 < capacity <= MAX_CAPACITY):
        raise CapacityMalformed()
    return values


def _address(given: str) -> str:
    address = given.strip().rstrip("/")
    if not address:
        return ""
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        raise AddressMalformed() from None
    whole = f"{parts.scheme}://{parts.netloc}"
    if (
        parts.scheme not in ("http", "https")
        or not _HOST.match(parts.netloc)
        or port == 0
        or whole.lower() != address.lower()
        or len(address) > 100  # it has to fit into a close frame
    ):
        raise AddressMalformed()
    return whole
