"""Refusals about regions, beside those of `gateway.errors`.

GatewayError
├── RegionElsewhere     307: another region takes this, and here is its address
├── RegionForbidden     no region there is may have audio of this key, or not the one that was asked for
├── RegionUnknown       the one that was asked for is none
└── Unavailable
    ├── RegionUnavailable   those that may have it cannot take it now
    ├── RegionDraining      the region stops; said to streams that are open
    └── RecordedOff         recorded audio is switched off
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.errors import BadParameter, GatewayError, Unavailable
from regions import routing


class RegionElsewhere(GatewayError):
    """Another region takes audio of this key. Connect to the address that is given."""

    code = "region_elsewhere"
    status = 307
    close_code = 4307

    def __init__(self, region: str, address: str, rest: str, *, by_close: bool = False) -> None:
        """`address` has the scheme that the client spoke, `rest` is the path and query that it asked for.
        `by_close`: it cannot follow a redirect, and is told with a close frame."""
        super().__init__(f"{region}: {address}")
        self.address, self.by_close = address, by_close
        self.headers: Mapping[str, str] = {"location": address + rest, "stenogate-region": region}
        self.more: Mapping[str, str] = {"region": region, "address": address}


class RegionForbidden(GatewayError):
    """Audio of this key may not be in this region. Connect to one that its rule of residency permits."""

    code = "region_forbidden"
    status = 403


class RegionUnknown(BadParameter):
    """The region that was asked for is none."""

    code = "region_unknown"


class RegionUnavailable(Unavailable):
    """No region that may have audio of this key can take it now. Try again after the time in Retry-After."""

    code = "region_unavailable"
    retry_after_s = 5


class RegionDraining(Unavailable):
    """This region is stopping. Connect again to reach another."""

    resumable = True
    code = "region_draining"
    close_code = 1012


class RecordedOff(Unavailable):
    """Recorded audio is not taken at the moment; live audio is. Try again later."""

    code = "recorded_off"
    retry_after_s = 60


REFUSED: Mapping[str, type[GatewayError]] = {
    routing.FORBIDDEN: RegionForbidden,
    routing.UNKNOWN: RegionUnknown,
    routing.UNAVAILABLE: RegionUnavailable,
}
