"""What can be refused about invoices. The docstring says what to do.

InvoiceError
├── PeriodMalformed      this is no billing period
├── PeriodNotOver        it may still change, or is not over at all
├── EarlierFirst         an earlier period has no invoice yet
├── NothingToInvoice     no ledger entry is in it
├── LedgerDisagrees      the ledger's amounts are not those of its own prices
├── MixedCurrencies      its entries have no sum
└── CreditNoteRefused    it credits nothing, or more than was asked for
"""

from __future__ import annotations

from metering.ledger.errors import BillingError


class InvoiceError(BillingError):
    """Something about an invoice was refused."""

    code = "invoice_error"


class PeriodMalformed(InvoiceError):
    """A billing period is a month, such as 2026-11."""

    code = "period_malformed"


class PeriodNotOver(InvoiceError):
    """Usage of this period may still come. A draft shows what there is until now."""

    code = "period_not_over"


class EarlierFirst(InvoiceError):
    """Invoices are made in the order of their periods."""

    code = "earlier_first"


class NothingToInvoice(InvoiceError):
    """The ledger has nothing in this period, so there is no invoice of it."""

    code = "nothing_to_invoice"


class LedgerDisagrees(InvoiceError):
    """The ledger charged amounts that its own prices do not give. Run `manage.py ledger verify`, and finalise
    when it finds nothing."""

    code = "ledger_disagrees"


class MixedCurrencies(InvoiceError):
    """The entries of a period are in more than one currency, so they have no sum."""

    code = "mixed_currencies"

    def __init__(self, one: str, other: str, seq: int) -> None:
        super().__init__(
            f"Entries of this period are in {one}, but entry {seq} is in {other}: they have no sum."
        )


class CreditNoteRefused(InvoiceError):
    """This is no credit note that can be made."""

    code = "credit_note_refused"
