"""What time does. Called twice a second, and by `/_control/` whenever it has moved the clock."""

from __future__ import annotations

from ops.stripe import events, invoices, sessions, subscriptions
from ops.stripe.world import World


def turn(world: World) -> None:
    events.report_rejected(world)
    subscriptions.turn(world)
    invoices.turn(world)
    sessions.turn(world)
