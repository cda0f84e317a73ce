"""What can be refused here, to people; what clients are told is in `gateway.region_errors`.

Refused (of `tenants.errors`)
├── RegionUnknown, RegionTaken, RegionMalformed, AddressTaken, AddressMalformed, ZoneMalformed,
│   CapacityMalformed
├── ResidencyMalformed, KeyWidens
└── FlagUnknown, FlagMisplaced, TooManyFlags
"""

from __future__ import annotations

from tenants.errors import Refused


class RegionUnknown(Refused):
    """There is no such region. `manage.py region status` lists them, `manage.py region add` makes one."""

    code = "region_unknown"


class RegionTaken(Refused):
    """There is a region of this name already."""

    code = "region_taken"


class RegionMalformed(Refused):
    """A region's name is a lower-case letter, then letters, digits and dashes; at most 32."""

    code = "region_malformed"


class AddressTaken(Refused):
    """Whoever is sent to this address would come to another region: another region has it already."""

    code = "address_taken"


class AddressMalformed(Refused):
    """An address is http:// or https:// and a host, perhaps with a port; at most 100 characters."""

    code = "address_malformed"


class ZoneMalformed(Refused):
    """A zone is a lower-case letter, then letters, digits and dashes; at most 32."""

    code = "zone_malformed"


class CapacityMalformed(Refused):
    """A capacity is a whole number of streams above 0; without one there is no limit."""

    code = "capacity_malformed"


class ResidencyMalformed(Refused):
    """The rule of residency does not fit the regions that are given with it."""

    code = "residency_malformed"


class KeyWidens(Refused):
    """A key may only be narrower than its tenant: a region is none that the tenant's rule permits."""

    code = "key_widens"


class FlagUnknown(Refused):
    """There is no such flag. `manage.py flag` lists them."""

    code = "flag_unknown"


class FlagMisplaced(Refused):
    """A flag is set for all, for one region or for one tenant, not for a region and a tenant together."""

    code = "flag_misplaced"


class TooManyFlags(Refused):
    """There are as many settings of flags as every gateway reads. Clear one first."""

    code = "too_many_flags"
