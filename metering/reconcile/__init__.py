"""Ledger ⇄ inference log ⇄ the payment provider's sums ⇄ invoices, of a day: what differs, and is mended."""

from metering.reconcile.errors import AlreadyRunning as AlreadyRunning
from metering.reconcile.errors import DayNotBegun as DayNotBegun
from metering.reconcile.errors import ReconcileError as ReconcileError
from metering.reconcile.run import run as run
