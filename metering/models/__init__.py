"""Every table of metering, in the order in which money follows audio."""

from metering.models.accounts import Account as Account
from metering.models.invoices import Invoice as Invoice
from metering.models.invoices import NumberSeries as NumberSeries
from metering.models.ledger import Counter as Counter
from metering.models.ledger import LedgerEntry as LedgerEntry
from metering.models.outbox import MeterIntent as MeterIntent
from metering.models.outbox import ProviderObject as ProviderObject
from metering.models.outbox import WebhookEvent as WebhookEvent
from metering.models.plans import PlanVersion as PlanVersion
from metering.models.plans import Price as Price
from metering.models.receipts import Receipt as Receipt
from metering.models.receipts import ReceiptDue as ReceiptDue
from metering.models.receipts import ReceiptHead as ReceiptHead
from metering.models.receipts import SigningKey as SigningKey
from metering.models.reconciliation import Difference as Difference
from metering.models.reconciliation import Reconciliation as Reconciliation
from metering.models.usage import InferenceLog as InferenceLog
from metering.models.usage import InferenceRecord as InferenceRecord
from metering.models.usage import Request as Request
from metering.models.usage import Unposted as Unposted
from metering.models.usage import Unsettled as Unsettled
from metering.models.usage import UsageEvent as UsageEvent
