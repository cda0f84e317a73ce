"""What can be refused about the ledger, its accounts and prices. The docstring says what to do.

BillingError
├── EntryMalformed       an entry that makes no sense (a mistake of who calls)
├── SettingMalformed     a setting of an account that makes no sense
│   ├── TimeZoneUnknown, TimeZoneNotNow
│   └── CurrencyFixed, BalanceBelowZero
├── SettingNotTheirs     a setting that only staff may change
├── PricesMalformed      a plan's version that makes no sense
│   ├── PriceTooEarly, PriceOutOfTurn
│   └── PriceCurrency
└── RecordingStuck       a stream's events overlap others that never stop coming
"""

from __future__ import annotations

import inspect
from typing import ClassVar


class BillingError(Exception):
    """Something about billing was refused."""

    code: ClassVar[str] = "billing_error"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or inspect.cleandoc(type(self).__doc__ or self.code))


class EntryMalformed(BillingError):
    """This is no entry that the ledger takes."""

    code = "entry_malformed"


class SettingMalformed(BillingError):
    """This is not what the setting takes."""

    code = "setting_malformed"


class TimeZoneUnknown(SettingMalformed):
    """There is no such time zone. Use a name such as Europe/Berlin."""

    code = "time_zone_unknown"


class TimeZoneNotNow(SettingMalformed):
    """Near the turn of a month the time zone stays as it is. Change it from its 4th to its 27th day."""

    code = "time_zone_not_now"


class CurrencyFixed(SettingMalformed):
    """The currency of an account stays what it was when money was first charged or credited in it."""

    code = "currency_fixed"


class BalanceBelowZero(SettingMalformed):
    """A prepaid account owes nothing. Enter what was paid as a credit first."""

    code = "balance_below_zero"


class SettingNotTheirs(BillingError):
    """Only staff may change this setting."""

    code = "setting_not_theirs"


class PricesMalformed(BillingError):
    """These are no prices of a plan."""

    code = "prices_malformed"


class PriceTooEarly(PricesMalformed):
    """Prices never take effect in the past; after a plan's first, at the earliest a minute from now."""

    code = "price_too_early"


class PriceOutOfTurn(PricesMalformed):
    """A later version of this plan is there already. A new one takes effect after it."""

    code = "price_out_of_turn"


class PriceCurrency(PricesMalformed):
    """A plan keeps the currency of its first version. Make another plan for another currency."""

    code = "price_currency"


class RecordingStuck(BillingError):
    """Ranges of one stream keep coming that overlap each other. It is tried again later."""

    code = "recording_stuck"
