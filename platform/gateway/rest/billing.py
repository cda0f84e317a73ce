"""Where an account stands, what of it a customer sets itself, and the pages that it pays on."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router, Schema
from pydantic import ConfigDict, Field, StringConstraints

from gateway.billing_errors import PaymentsNotConfigured, PaymentsUnavailable
from gateway.body_errors import BadBody
from gateway.rest.access import for_tenant, grant_of, outside
from gateway.rest.operations import operation
from metering import balance
from metering.ledger import accounts
from metering.models import Account
from metering.payments import portal
from metering.payments.errors import NotConfigured, PaymentsError
from tenants.access import KeyGrant, Scope
from tenants.models import Tenant

router = Router(tags=["billing"])

MONEY = r"^[0-9]{1,13}(\.[0-9]{1,6})?$"
Money = Annotated[str, StringConstraints(pattern=MONEY)]


class Included(Schema):
    price: str = Field(description="The id of the price line.")
    label: str
    included_ms: int
    left_ms: int


class Balance(Schema):
    period: str = Field(examples=["2026-11"])
    starts_at: datetime
    ends_at: datetime
    time_zone: str
    currency: str = Field(examples=["USD"])
    mode: Literal["invoice", "prepaid"]
    ms: int = Field(description="Charged in this period, whenever it was processed.")
    charged: str = Field(description="In this period, credits left out.", examples=["12.340000"])
    waived: str = Field(description="What caps kept from being charged.")
    balance: str = Field(description="Credits less charges of all time; minus: owed.")
    hard_cap: str | None
    soft_cap: str | None
    hold: str = Field(description="Why audio is not taken: `spend_cap`, `prepaid`, `payment`. Empty: it is.")
    standing: Literal["good", "grace", "suspended"]
    included: list[Included] = Field(description="What is free of each price line, and what is left of it.")


class Settings(Schema):
    hard_cap: str | None = Field(description="Money of one billing period; null: no cap.")
    soft_cap: str | None = Field(description="From here on you are told, once a period.")
    email: str
    legal_name: str
    address: str
    tax_id: str
    time_zone: str
    currency: str


class SettingsChange(Schema):
    """What is not given stays as it is. A name that is not known is refused: a misspelt cap is no cap."""

    model_config = ConfigDict(extra="forbid")

    hard_cap: Money | None = Field(None, description="null: no cap.", examples=["100.00"])
    soft_cap: Money | None = Field(None, description="null: no cap.", examples=["80.00"])
    email: str | None = Field(None, max_length=254)
    legal_name: str | None = Field(None, max_length=200)
    address: str | None = Field(None, max_length=1000)
    tax_id: str | None = Field(None, max_length=64)
    time_zone: str | None = Field(None, max_length=64, examples=["Europe/Berlin"])


class PortalRequest(Schema):
    model_config = ConfigDict(extra="forbid")

    page: Literal["portal", "setup", "credit"] = Field(
        default="portal", description="What was paid and how; set up how to pay; buy prepaid credit."
    )
    return_url: str = Field(
        default="",
        max_length=500,
        pattern=r"^(https?://[!-~]+)?$",
        description="Where to come back to; this service's own address, if it is not given.",
    )
    amount: Money | None = Field(default=None, description="Of prepaid credit to buy.", examples=["50.00"])


class Page(Schema):
    url: str = Field(description="At the payment provider; it is good for a short time.")


@router.get("/billing/balance", **operation(Scope.BILLING_READ, Balance), summary="Get the balance")
async def get_balance(request: HttpRequest) -> Balance:
    """Of the key's tenant: what the current billing period has cost so far, the caps, and what is left."""
    grant = grant_of(request)

    def read() -> Balance:
        found = balance.standing(grant.tenant_id, timezone.now())
        account, period = found.account, found.period
        return Balance.model_validate({
            "period": period.first_day.strftime("%Y-%m"),
            "starts_at": period.starts_at,
            "ends_at": period.ends_at,
            "time_zone": account.time_zone,
            "currency": account.currency,
            "mode": account.mode,
            "ms": found.ms,
            "charged": _money(found.charged),
            "waived": _money(found.waived),
            "balance": _money(account.balance),
            "hard_cap": _cap(account.hard_cap),
            "soft_cap": _cap(account.soft_cap),
            "hold": Tenant.objects.values_list("hold", flat=True).get(id=grant.tenant_id),
            "standing": account.standing,
            "included": [
                {"price": str(one.price_id), "label": one.label, "included_ms": one.included_ms,
                 "left_ms": one.left_ms}
                for one in found.included
            ],
        })  # fmt: skip

    return await for_tenant(grant, read)


@router.get("/billing/settings", **operation(Scope.BILLING_READ, Settings), summary="Get billing settings")
async def get_settings(request: HttpRequest) -> Settings:
    """Of the key's tenant: caps, and what its invoices say of it."""
    grant = grant_of(request)
    return await for_tenant(grant, lambda: _settings(accounts.account_of(grant.tenant_id)))


@router.put(
    "/billing/settings",
    **operation(Scope.BILLING_WRITE, Settings, refused=(409,)),
    summary="Change billing settings",
)
async def change_settings(request: HttpRequest, body: SettingsChange) -> Settings:
    """All that is given, or nothing. A hard cap that is reached already takes hold at once."""
    grant = grant_of(request)
    wanted = body.model_dump(exclude_unset=True)
    for name in ("hard_cap", "soft_cap"):
        if wanted.get(name) is not None:
            wanted[name] = Decimal(wanted[name])
    if empty := [name for name, value in wanted.items() if value is None and not name.endswith("_cap")]:
        raise BadBody(f"{empty[0]}: null is nothing to change it to. Leave it out, or give a text.")
    return await for_tenant(grant, lambda: _settings(_changed(grant, wanted)))


@router.post("/billing/portal", **operation(Scope.BILLING_WRITE, Page), summary="Get a page to pay on")
async def open_portal(request: HttpRequest, body: PortalRequest | None = None) -> Page:
    """A link for a person, to the payment provider's own pages."""
    grant, asked = grant_of(request), body or PortalRequest()
    if (asked.page == "credit") != (asked.amount is not None):
        raise BadBody("amount: give it to buy credit, and only then.")

    def link() -> str:
        if asked.page == "setup":
            return portal.setup_url(grant.tenant_id, asked.return_url)
        if asked.page == "credit":
            return portal.credit_url(grant.tenant_id, Decimal(asked.amount or 0), asked.return_url)
        return portal.portal_url(grant.tenant_id, asked.return_url)

    try:
        # Not in a tenant's scope: no transaction waits for somebody else's server.
        return Page(url=await outside(link))
    except NotConfigured:
        raise PaymentsNotConfigured() from None
    except (portal.AmountRefused, portal.NoReturnUrl) as error:
        raise BadBody(str(error)) from None
    except PaymentsError:
        raise PaymentsUnavailable() from None


def _changed(grant: KeyGrant, wanted: dict[str, object]) -> Account:
    return accounts.change(grant.tenant_id, actor=grant, **wanted)


def _settings(account: Account) -> Settings:
    return Settings(
        hard_cap=_cap(account.hard_cap),
        soft_cap=_cap(account.soft_cap),
        email=account.email,
        legal_name=account.legal_name,
        address=account.address,
        tax_id=account.tax_id,
        time_zone=account.time_zone,
        currency=account.currency,
    )


def _cap(amount: Decimal | None) -> str | None:
    return None if amount is None else _money(amount)


def _money(amount: Decimal) -> str:
    return f"{amount:.6f}"
