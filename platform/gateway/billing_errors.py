"""Refusals about billing, beside those of `gateway.errors`.

GatewayError
├── BillingRefused           what was asked of the account makes no sense: see `metering.ledger.errors`
├── PaymentsNotConfigured    nobody is paid here
└── PaymentsUnavailable      the payment provider does not answer, or refuses
"""

from __future__ import annotations

from typing import ClassVar

from gateway.errors import GatewayError
from metering.ledger.errors import BillingError, SettingMalformed, TimeZoneNotNow, TimeZoneUnknown


class BillingRefused(GatewayError):
    """This change of the account was refused."""

    code = "billing_refused"
    status = 400
    # Those that a key can run into.
    STATUSES: ClassVar[dict[type[BillingError], int]] = {
        SettingMalformed: 400,
        TimeZoneNotNow: 409,
        TimeZoneUnknown: 400,
    }

    def __init__(self, cause: BillingError) -> None:
        self.code, self.status = cause.code, self.STATUSES.get(type(cause), 400)
        super().__init__(str(cause))

    @property
    def sentence(self) -> str:
        return self.detail


class PaymentsNotConfigured(GatewayError):
    """No payment provider is set up here, so there is no page to pay on. Ask whoever runs this service."""

    code = "payments_not_configured"
    status = 503


class PaymentsUnavailable(GatewayError):
    """The payment provider does not answer as it should. Try again later."""

    code = "payments_unavailable"
    status = 503
    retry_after_s = 10
