"""Who is limited, under which keys in Redis, and what a refusal says. Pure.

Two accounts have limits: the tenant, by its plan, for all its projects together; and the project, by itself.
Both are asked each time, and a refusal names the one that is full.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from gateway.errors import AudioLimitReached, LimitReached, TooManyOpenings, TooManyRequests, TooManyStreams
from tenants.access import KeyGrant
from tenants.limits import Limits

# All in one slot of a cluster, where a script may only touch keys of one.
PREFIX = "stenogate:limits:{%s}"
STREAM_RETRY_S = 2.0  # nobody knows when a stream will end


@dataclass(frozen=True, slots=True)
class Account:
    kind: str  # "project" or "plan"
    id: UUID
    tenant_id: UUID
    limits: Limits
    plan: str

    @property
    def whose(self) -> str:
        if self.kind == "project":
            return "of this project"
        return f"of the plan {self.plan!r}, for all projects together"


def accounts(grant: KeyGrant) -> tuple[Account, Account]:
    """The project first: its limit is the nearer one, and its owner's to change."""
    return (
        Account("project", grant.project_id, grant.tenant_id, grant.project_limits, grant.plan),
        Account("plan", grant.tenant_id, grant.tenant_id, grant.plan_limits, grant.plan),
    )


@dataclass(frozen=True, slots=True)
class Keys:
    """Those of a region."""

    region: str

    def streams(self, account: Account) -> str:
        return self._key("streams", account)

    def openings(self, account: Account) -> str:
        return self._key("openings", account)

    def requests(self, account: Account) -> str:
        return self._key("requests", account)

    def audio(self, account: Account, now: datetime) -> str:
        return f"{self._key('audio', account)}:{now.astimezone(UTC):%Y%m%d}"

    def _key(self, what: str, account: Account) -> str:
        return f"{PREFIX % self.region}:{what}:{account.kind}:{account.id}"


def midnight_before(now: datetime) -> datetime:
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def until_midnight_s(now: datetime) -> float:
    return (midnight_before(now) + timedelta(days=1) - now).total_seconds()


# ---- refusals


def too_many_streams(account: Account, _wait_s: float = 0) -> LimitReached:
    return TooManyStreams(_limit(account.limits.streams_at_once, account), retry_after_s=STREAM_RETRY_S)


def too_many_openings(account: Account, wait_s: float) -> LimitReached:
    limit = account.limits.openings_a_minute
    return TooManyOpenings(_limit(limit, account, " new streams a minute"), retry_after_s=_whole(wait_s))


def too_many_requests(account: Account, wait_s: float) -> LimitReached:
    limit = account.limits.requests_a_second
    return TooManyRequests(_limit(limit, account, " a second"), retry_after_s=_whole(wait_s))


def audio_used_up(account: Account, wait_s: float) -> LimitReached:
    hours = account.limits.audio_hours_a_day
    return AudioLimitReached(_limit(hours, account, " hours a day"), retry_after_s=_whole(wait_s))


# What the script answers, and what that is to the client.
REFUSALS: dict[str, Callable[[Account, float], LimitReached]] = {
    "streams": too_many_streams,
    "openings": too_many_openings,
    "requests": too_many_requests,
    "audio": audio_used_up,
}


def _limit(limit: int | Decimal | None, account: Account, unit: str = "") -> str:
    shown = "" if limit is None else f"{limit.normalize():f}" if isinstance(limit, Decimal) else f"{limit}"
    return f"The limit is {shown}{unit}, {account.whose}."


def _whole(wait_s: float) -> float:
    """Up, so that whoever waits as told is not a moment early."""
    return float(max(1, math.ceil(wait_s)))
