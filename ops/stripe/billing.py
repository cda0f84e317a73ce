"""What time does: reports of rejected events, periods that turn, drafts that become final."""

from __future__ import annotations

from ops.stripe import events
from ops.stripe.world import World


def turn(world: World) -> None:
    events.report_rejected(world)
