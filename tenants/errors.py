"""What can be refused here. The docstring says what to do; `code` is stable and documented.

TenantsError
├── AccessError          a caller's key does not open what was asked for
│   ├── KeyMissing       401 key_missing
│   ├── KeyMalformed     401 key_malformed
│   ├── KeyUnknown       401 key_unknown
│   ├── KeyRevoked       401 key_revoked
│   ├── KeyExpired       401 key_expired
│   ├── TokenMalformed   401 token_malformed
│   ├── TokenInvalid     401 token_invalid
│   ├── TokenExpired     401 token_expired
│   ├── TokenNotAllowed  403 token_not_allowed
│   ├── TenantSuspended  403 tenant_suspended
│   ├── OnHold           audio is refused, nothing else is
│   │   ├── SpendCapReached  402 spend_cap_reached
│   │   ├── PrepaidUsedUp    402 prepaid_used_up
│   │   └── PaymentOverdue   402 payment_overdue
│   ├── OriginNotAllowed 403 origin_not_allowed
│   └── ScopeMissing     403 scope_missing
├── Refused              a change that is not theirs to make, or that makes no sense
│   ├── RoleNotAllowed, LastOwner, AlreadyMember, ProjectArchived, KeyNotActive
│   ├── ScopeUnknown, OriginMalformed, ExpiryPast, NameMissing, SlugMalformed, SlugTaken
│   └── LimitMalformed
├── ScopeConflict        the unit of work already belongs to somebody else (a mistake in our code)
└── DatabaseRoleError    PostgreSQL's roles are not as they must be
"""

from __future__ import annotations

from typing import ClassVar


class TenantsError(Exception):
    """Something about tenants was refused."""

    code: ClassVar[str] = "tenants_error"

    def __init__(self, message: str | None = None) -> None:
        # One line: it goes into a header, too.
        super().__init__(message or " ".join((type(self).__doc__ or self.code).split()))


class AccessError(TenantsError):
    """This key does not open what was asked for."""

    code = "access_denied"
    status: ClassVar[int] = 401


class KeyMissing(AccessError):
    """No API key was sent. Send it as the header `Authorization: Token YOUR_KEY`."""

    code = "key_missing"


class KeyMalformed(AccessError):
    """This is not an API key. A key is `sk_` and 53 more characters; check that all of it was copied."""

    code = "key_malformed"


class KeyUnknown(AccessError):
    """This API key is not valid. Check that all of it was copied, or issue a new one."""

    code = "key_unknown"


class KeyRevoked(AccessError):
    """This API key was revoked. Use another key of the project, or issue a new one."""

    code = "key_revoked"


class KeyExpired(AccessError):
    """This API key has expired. Use another key of the project, or issue a new one."""

    code = "key_expired"


class TokenMalformed(AccessError):
    """This is not an access token. Check that all of it was copied, or ask for a new one with the API key."""

    code = "token_malformed"


class TokenInvalid(AccessError):
    """This access token was not issued here, or its key is gone. Ask for a new one with an API key."""

    code = "token_invalid"


class TokenExpired(AccessError):
    """This access token has expired. Ask for a new one with the API key right before it is needed."""

    code = "token_expired"


class TokenNotAllowed(AccessError):
    """An access token cannot do this; only an API key can. Send the key itself, from your own server."""

    code = "token_not_allowed"
    status = 403


class TenantSuspended(AccessError):
    """This account is suspended. Its owner can learn the reason from support."""

    code = "tenant_suspended"
    status = 403


class OnHold(AccessError):
    """Audio is not taken at the moment, for a reason of money."""

    code = "on_hold"
    status = 402


class SpendCapReached(OnHold):
    """The account has reached its spend cap for this billing period. Raise the cap, or wait for the next
    period. What is past the cap is not charged."""

    code = "spend_cap_reached"


class PrepaidUsedUp(OnHold):
    """The prepaid credit of this account is used up. Add credit to go on. What is past it is not charged."""

    code = "prepaid_used_up"


class PaymentOverdue(OnHold):
    """A payment of this account has failed and its grace period is over. Pay the open invoice to go on."""

    code = "payment_overdue"


class OriginNotAllowed(AccessError):
    """This API key may not be used from this web origin. Add the origin to the key, or use another key."""

    code = "origin_not_allowed"
    status = 403


class ScopeMissing(AccessError):
    """This API key lacks the scope that this needs. Issue a key that has it."""

    code = "scope_missing"
    status = 403


class Refused(TenantsError):
    """This change was refused."""

    code = "refused"


class RoleNotAllowed(Refused):
    """Your role does not allow this. Ask an owner or an admin of the tenant."""

    code = "role_not_allowed"


class LastOwner(Refused):
    """A tenant needs an owner. Make another member owner first."""

    code = "last_owner"


class AlreadyMember(Refused):
    """This user is a member already. Change the member's role instead."""

    code = "already_member"


class ProjectArchived(Refused):
    """This project is archived; it gets no new keys."""

    code = "project_archived"


class KeyNotActive(Refused):
    """This key is revoked, expired or already replaced; issue a new one instead."""

    code = "key_not_active"


class ScopeUnknown(Refused):
    """There is no such scope."""

    code = "scope_unknown"


class OriginMalformed(Refused):
    """An origin is a scheme and a host, with a port if it is unusual, and nothing after: https://app.example.com."""

    code = "origin_malformed"


class ExpiryPast(Refused):
    """The time at which the key expires must lie in the future."""

    code = "expiry_past"


class NameMissing(Refused):
    """A name is between 1 and 100 printable characters."""

    code = "name_missing"


class SlugMalformed(Refused):
    """A slug is a lower-case letter, then letters, digits and dashes; at most 50."""

    code = "slug_malformed"


class SlugTaken(Refused):
    """Another tenant has this slug. Choose another."""

    code = "slug_taken"


class LimitMalformed(Refused):
    """A limit is a number above 0, whole but for hours of audio; without one there is no limit."""

    code = "limit_malformed"


class ScopeConflict(TenantsError):
    """One unit of work belongs to one tenant."""

    code = "scope_conflict"


class DatabaseRoleError(TenantsError):
    """PostgreSQL's roles are not as they must be."""

    code = "database_role"
