"""All that is written about regions is written here: checked, and numbered in the history of changes.

`actor` is a staff `User`, or a word for who sits at the terminal.
"""

from regions.services.flags import set_flag
from regions.services.history import Actor
from regions.services.registry import add_region, change_region, ensure_region, set_state
from regions.services.reports import Report, leave, report
from regions.services.residency import set_key_residency, set_tenant_residency

__all__ = [
    "Actor",
    "Report",
    "add_region",
    "change_region",
    "ensure_region",
    "leave",
    "report",
    "set_flag",
    "set_key_residency",
    "set_state",
    "set_tenant_residency",
]
