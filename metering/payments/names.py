"""What our things are called at the provider, and what a millionth of a currency costs there. Pure."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

from metering.invoices.money import places
from metering.outbox import AMOUNT, MS

PRODUCT_ID = "stenogate_audio"
PRODUCT_NAME = "Audio"
MS_EVENT = "stenogate_audio_ms"
# The provider keeps these two for us on customers and subscriptions: how they are found again.
TENANT, CURRENCY = "stenogate_tenant", "stenogate_currency"
CREDIT = "stenogate_credit"  # on a page to pay on: it buys prepaid credit


def event_name(meter: str, currency: str) -> str:
    """Of a meter; also what its price is looked up by, with the currency."""
    return MS_EVENT if meter == MS else f"stenogate_amount_{currency.lower()}"


def meter_title(meter: str, currency: str) -> str:
    return "Audio, milliseconds" if meter == MS else f"Audio, millionths of {currency}"


def meter_name(meter: str, currency: str) -> str:
    return f"meter:{MS}" if meter == MS else f"meter:{AMOUNT}:{currency}"


def price_name(meter: str, currency: str) -> str:
    return f"price:{meter}:{currency}"


def lookup_key(meter: str, currency: str) -> str:
    return f"{event_name(meter, currency)}_price_{currency.lower()}"


def customer_name(tenant_id: UUID) -> str:
    return f"customer:{tenant_id.hex}"


def coin_places(currency: str) -> int:
    """Of the provider's smallest coin. In the API these are not as in ISO 4217."""
    return {"ISK": 2, "UGX": 2, "MGA": 0}.get(currency, places(currency))


def unit_price(meter: str, currency: str) -> Decimal:
    """In the currency's smallest coin, as the provider counts: of a millionth of the unit, or of a
    millisecond, which is shown on the invoice and costs nothing."""
    return Decimal(0) if meter == MS else Decimal(1).scaleb(coin_places(currency) - 6)
