"""Flags are set and cleared here; every gateway goes by it within a second."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from regions.errors import FlagMisplaced, FlagUnknown, TooManyFlags
from regions.flags import KNOWN, MAX_SETTINGS
from regions.models import Flag
from regions.services.history import Actor, note, permit, version
from regions.services.registry import must_be_there
from tenants.scope import staff_scope


def set_flag(
    name: str, value: bool | None, *, region: str = "", tenant: UUID | None = None, actor: Actor
) -> int:
    """None: as if it had never been set there. Returns the version of the configuration that has it."""
    permit(actor)
    if name not in KNOWN:
        raise FlagUnknown(f"There is no flag {name!r}. There are: {', '.join(KNOWN)}.")
    if region and tenant:
        raise FlagMisplaced()
    where: dict[str, Any] = {"name": name, "region": region, "tenant": tenant}
    with staff_scope():
        if region:
            must_be_there({region})
        row = Flag.objects.select_for_update().filter(**where).first()
        before = None if row is None else row.value
        if before == value:
            return version()
        if value is None:
            Flag.objects.filter(**where).delete()
        else:
            if row is None and Flag.objects.count() >= MAX_SETTINGS:
                raise TooManyFlags()
            Flag.objects.update_or_create(**where, defaults={"value": value})
        what = "flag.cleared" if value is None else "flag.set"
        return note(actor, what, name, tenant, region=region, before=before, after=value)
