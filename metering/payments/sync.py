"""What has to exist at the provider: product, meters, prices; and for each tenant a customer and a
subscription. Whatever is there already is found again and left alone, also when our rows of it are lost."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

import stripe

from metering import outbox
from metering.models import Account, ProviderObject
from metering.models.outbox import METERS
from metering.payments import client, names
from metering.payments.errors import Permanent
from tenants.models import Tenant
from tenants.scope import staff_scope, tenant_scope

Tell = Callable[[str], None]
# A month begins at the same moment for every customer; metering.cycles says what is billed in which.
EVERY_MONTH: stripe.params.SubscriptionCreateParamsBillingCycleAnchorConfig = {
    "day_of_month": 1,
    "hour": 0,
    "minute": 0,
    "second": 0,
}
OVER = ("canceled", "incomplete_expired")


@dataclass
class Sync:
    """One run. `told` says what was made, for people."""

    tell: Tell = lambda line: None
    api: stripe.StripeClient = field(default_factory=client.connect)
    made: int = 0
    _customers: dict[str | None, str] | None = None  # at the provider, by tenant

    def tenants(self, tenants: Iterable[Tenant]) -> int:
        """All that these tenants need; how many things were made."""
        for tenant in tenants:
            self.tenant(tenant)
        return self.made

    def tenant(self, tenant: Tenant) -> Account:
        account = _account(tenant.id)
        self.catalogue(account.currency)
        customer = self.customer(account, tenant)
        self.subscription(account, tenant, customer)
        # Last: from then on its usage is told, and what is told before a subscription is on no invoice.
        if account.customer != customer:
            with tenant_scope(tenant.id):
                Account.objects.filter(id=account.id).update(customer=customer)
            account.customer = customer
        return account

    def catalogue(self, currency: str) -> None:
        self._once("product:audio", self._product)
        for meter in METERS:
            self._once(names.meter_name(meter, currency), partial(self._meter, meter, currency))
            self._once(names.price_name(meter, currency), partial(self._price, meter, currency))

    # ---- what everybody shares

    def _product(self) -> str:
        try:
            with client.asking():
                return self.api.v1.products.retrieve(names.PRODUCT_ID).id
        except Permanent as error:
            if error.reason != "resource_missing":
                raise
        with client.asking():
            self.api.v1.products.create({"id": names.PRODUCT_ID, "name": names.PRODUCT_NAME})
        self._told(f"product {names.PRODUCT_ID}")
        return names.PRODUCT_ID

    def _meter(self, meter: str, currency: str) -> str:
        event = names.event_name(meter, currency)
        with client.asking():
            for one in self.api.v1.billing.meters.list({"limit": 100}).auto_paging_iter():
                if one.event_name == event:
                    if one.status != "active":
                        self.api.v1.billing.meters.reactivate(one.id)
                        self._told(f"meter {event}, active again")
                    return one.id
            created = self.api.v1.billing.meters.create(
                {
                    "display_name": names.meter_title(meter, currency),
                    "event_name": event,
                    "default_aggregation": {"formula": "sum"},
                    "customer_mapping": {"type": "by_id", "event_payload_key": "stripe_customer_id"},
                    "value_settings": {"event_payload_key": "value"},
                }
            )
        self._told(f"meter {event}")
        return created.id

    def _price(self, meter: str, currency: str) -> str:
        key = names.lookup_key(meter, currency)
        meter_id = self._known(names.meter_name(meter, currency))
        with client.asking():
            found = self.api.v1.prices.list({"lookup_keys": [key], "active": True, "limit": 1}).data
            if found:
                return found[0].id
            created = self.api.v1.prices.create(
                {
                    "product": names.PRODUCT_ID,
                    "currency": currency.lower(),
                    "lookup_key": key,
                    "nickname": names.meter_title(meter, currency),
                    "unit_amount_decimal": names.unit_price(meter, currency),
                    "recurring": {"interval": "month", "usage_type": "metered", "meter": meter_id},
                }
            )
        self._told(f"price {key}")
        return created.id

    # ---- a tenant's own

    def customer(self, account: Account, tenant: Tenant) -> str:
        name = names.customer_name(tenant.id)
        found = account.customer if self._known(name) == account.customer else ""
        return found or self._once(name, lambda: self._customer(account, tenant))

    def _customer(self, account: Account, tenant: Tenant) -> str:
        with client.asking():
            if self._customers is None:
                # A list is up to date, a search is not. Once a run.
                everybody = self.api.v1.customers.list({"limit": 100}).auto_paging_iter()
                self._customers = {client.noted(one.metadata, names.TENANT): one.id for one in everybody}
            if tenant.id.hex in self._customers:
                return self._customers[tenant.id.hex]
            params: stripe.params.CustomerCreateParams = {
                "name": account.legal_name or tenant.name,
                "metadata": {names.TENANT: tenant.id.hex},
            }
            if account.email:
                params["email"] = account.email
            # With the customer before it, if that was deleted: Stripe repeats its answer to a key for a day.
            key = f"{names.customer_name(tenant.id)}:{digest([params, account.customer])}"
            created = self.api.v1.customers.create(params, {"idempotency_key": client.once(key)})
        self._told(f"customer {created.id} for {tenant.slug}")
        return created.id

    def subscription(self, account: Account, tenant: Tenant, customer: str) -> None:
        name = outbox.subscription_name(tenant.id, account.currency)
        self._once(name, lambda: self._subscription(account, tenant, customer, name))

    def _subscription(self, account: Account, tenant: Tenant, customer: str, name: str) -> str:
        with client.asking():
            found, ended = self._subscribed(account.currency, customer)
            if found is None:
                currency = account.currency
                items: list[stripe.params.SubscriptionCreateParamsItem] = [
                    {"price": self._known(names.price_name(meter, currency))} for meter in METERS
                ]
                found = self.api.v1.subscriptions.create(
                    {
                        "customer": customer,
                        "items": items,
                        "billing_cycle_anchor_config": EVERY_MONTH,
                        "proration_behavior": "none",
                        "metadata": {names.TENANT: tenant.id.hex, names.CURRENCY: currency},
                    },
                    # With how many have ended: else a key of this hour gives one of them back.
                    {"idempotency_key": client.once(f"{name}:{customer}:{ended}")},
                )
                self._told(f"subscription {found.id} for {tenant.slug}")
        starts_at = datetime.fromtimestamp(found.start_date, UTC)
        self._remember(name, found.id, starts_at)
        return found.id

    def _subscribed(self, currency: str, customer: str) -> tuple[stripe.Subscription | None, int]:
        """The one that goes on, and how many do not."""
        ended = 0
        listed = self.api.v1.subscriptions.list({"customer": customer, "status": "all", "limit": 100})
        for one in listed.auto_paging_iter():
            if one.status in OVER:
                ended += 1
            elif client.noted(one.metadata, names.CURRENCY) == currency:
                return one, ended
        return None, ended

    # ---- what is called what

    def _once(self, name: str, find_or_make: Callable[[], str]) -> str:
        if known := self._known(name):
            return known
        found = find_or_make()
        self._remember(name, found)
        return found

    def _known(self, name: str) -> str:
        return known(name) or ""

    def _remember(self, name: str, provider_id: str, starts_at: datetime | None = None) -> None:
        values = {"provider_id": provider_id} | ({"starts_at": starts_at} if starts_at else {})
        ProviderObject.objects.update_or_create(account=client.provider_account(), name=name, defaults=values)

    def _told(self, what: str) -> None:
        self.made += 1
        self.tell(f"made {what}")


def known(name: str) -> str | None:
    """What it is called at the provider, as far as we remember."""
    found = ProviderObject.objects.filter(account=client.provider_account(), name=name).first()
    return found.provider_id or None if found else None


def forget() -> None:
    """Look everything up anew at the next run: objects were removed at the provider. When a subscription
    began stays known until then: usage may be written down for the provider before it is found."""
    ProviderObject.objects.filter(account=client.provider_account()).update(provider_id="")


def ensured(tenant_id: UUID) -> Account:
    """The account, as a customer with a subscription, whatever was missing."""
    with staff_scope():
        tenant = Tenant.objects.get(id=tenant_id)
    return Sync().tenant(tenant)


def digest(params: object) -> str:
    """For an idempotency key: the same key with other parameters is refused."""
    return hashlib.sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()[:16]


def _account(tenant_id: UUID) -> Account:
    with tenant_scope(tenant_id):
        return Account.objects.get_or_create(tenant_id=tenant_id)[0]
