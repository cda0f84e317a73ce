"""Why a reconciliation did not run."""

from __future__ import annotations


class ReconcileError(Exception):
    """Nothing was reconciled."""


class AlreadyRunning(ReconcileError):
    """Another reconciliation is running. Wait until it is done; it is in the table of reconciliations."""


class DayNotBegun(ReconcileError):
    """That day has not begun yet, by UTC. Name today or a day before."""


class NotOpen(ReconcileError):
    """There is no open difference of this number."""

    def __init__(self, number: int) -> None:
        super().__init__(f"There is no open difference #{number}. manage.py reconcile lists them by number.")
