"""Invoices: what a customer is asked for. README.md says what they hold."""

from metering.invoices.credit_note import CreditLine as CreditLine
from metering.invoices.credit_note import credit_note as credit_note
from metering.invoices.finalise import finalise as finalise
from metering.invoices.finalise import finalise_due as finalise_due
from metering.invoices.read import draft as draft
