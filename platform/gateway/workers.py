"""Which workers this gateway knows, and which of them takes the next stream. No I/O, no clock."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

from gateway.ramp import Pace, Ramp
from wire.messages import Heartbeat, StreamOptions, WorkerState

# Three missed heartbeats, and a little.
SILENT_AFTER_S = 0.9


@dataclass
class Known:
    heartbeat: Heartbeat
    heard_at: float
    ramp: Ramp
    # Opened from here since that heartbeat: its `active` does not count them yet.
    reserved: int = 0

    @property
    def room(self) -> int:
        return self.heartbeat.capacity - self.heartbeat.active - self.reserved

    def takes(self, options: StreamOptions) -> bool:
        recorded = self.heartbeat.recorded_room
        scarce = options.recorded and recorded is not None and recorded - self.reserved <= 0
        return self.room > 0 and not scarce and serves(self.heartbeat, options)

    @property
    def load(self) -> float:
        return 1 - self.room / max(1, self.heartbeat.capacity)


@dataclass
class Pool:
    """The workers of one region, by address."""

    random: random.Random = field(default_factory=random.Random)
    silent_after_s: float = SILENT_AFTER_S
    pace: Pace = field(default_factory=Pace)
    _known: dict[str, Known] = field(default_factory=dict)

    def hear(self, heartbeat: Heartbeat, now: float) -> None:
        if heartbeat.state is WorkerState.STOPPED:
            self._known.pop(heartbeat.address, None)
        elif (before := self._known.get(heartbeat.address)) is not None:
            others = heartbeat.active - before.heartbeat.active - before.reserved
            before.ramp.hear(heartbeat, now - before.heard_at, max(0, others))
            self._known[heartbeat.address] = Known(heartbeat, now, before.ramp)
        else:
            self._known[heartbeat.address] = Known(heartbeat, now, Ramp.of(heartbeat, self.pace))

    def silent(self, now: float) -> list[str]:
        """Addresses not heard from for too long, which are forgotten by this call."""
        gone = [a for a, known in self._known.items() if now - known.heard_at > self.silent_after_s]
        for address in gone:
            del self._known[address]
        return gone

    def forget(self, address: str) -> None:
        self._known.pop(address, None)

    def choose(self, options: StreamOptions, without: frozenset[str] = frozenset()) -> Heartbeat | None:
        """The less loaded of two picked by chance, so that gateways do not all rush to the same worker. Those
        that are late or have been given much just now are spared while there are others."""
        fit = self._with_room(options, without)
        if not fit:
            return None
        fit = [known for known in fit if not known.ramp.overloaded] or fit
        fit = [known for known in fit if known.ramp.turns >= 1] or fit
        best = min(self.random.sample(fit, min(2, len(fit))), key=lambda known: known.load)
        best.reserved += 1
        if not options.recorded:
            best.ramp.take()
        return best.heartbeat

    def wait_s(self, options: StreamOptions, turns: int) -> float:
        """How long it takes until so many live streams can be opened, each in its turn; infinite while all
        workers with room are overloaded. Where none has room there is nothing to wait for."""
        fit = self._with_room(options)
        well = [known.ramp for known in fit if not known.ramp.overloaded]
        if fit and not well:
            return math.inf
        missing = turns - sum(ramp.turns for ramp in well)
        return missing / sum(ramp.rate for ramp in well) if well and missing > 0 else 0.0

    def opening_rate(self) -> float:
        """Streams a second that all workers take together."""
        return sum(k.ramp.rate for k in self._known.values() if k.heartbeat.state is WorkerState.READY)

    def has_room(self, options: StreamOptions, without: frozenset[str] = frozenset()) -> bool:
        """Whether `choose` would find one now."""
        return bool(self._with_room(options, without))

    def _with_room(self, options: StreamOptions, without: frozenset[str] = frozenset()) -> list[Known]:
        return [
            known
            for address, known in self._known.items()
            if address not in without and known.heartbeat.state is WorkerState.READY and known.takes(options)
        ]

    def ready(self) -> list[Heartbeat]:
        return [k.heartbeat for k in self._known.values() if k.heartbeat.state is WorkerState.READY]

    def all(self) -> list[Heartbeat]:
        return [known.heartbeat for known in self._known.values()]


def serves(heartbeat: Heartbeat, options: StreamOptions) -> bool:
    return options.model in ("", heartbeat.model) and speaks(heartbeat, options.language)


def speaks(heartbeat: Heartbeat, language: str) -> bool:
    """`en-GB` is served by a worker of `en`; no language in particular by any."""
    wanted = language.lower()
    return not wanted or any(
        wanted == spoken or wanted.split("-")[0] == spoken for spoken in heartbeat.languages
    )
