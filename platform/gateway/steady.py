"""Twisted and Daphne ask the wall clock how old something is and whether it is due. Somebody may set that:
hours ahead, and every stream would be too old at once; hours back, and what is due in a second would be due
in hours: pings, letting in those who wait at the door, and forgetting those who have gone."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

from daphne import http_protocol, server, ws_protocol
from twisted.internet import reactor


def keep_time() -> None:
    """By the clock that nobody sets. Before anything is due: the two have nothing to do with each other."""
    clock: Any = reactor
    clock.seconds = time.monotonic
    for module in (http_protocol, server, ws_protocol):
        module.time = SimpleNamespace(time=time.monotonic)
