"""Why a reconciliation did not run."""

from __future__ import annotations


class ReconcileError(Exception):
    """Nothing was reconciled."""


class AlreadyRunning(ReconcileError):
    """Another reconciliation is running. Wait until it is done; it is in the table of reconciliations."""


class DayNotBegun(ReconcileError):
    """That day has not begun yet, by UTC. Name today or a day before."""
