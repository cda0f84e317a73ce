"""Where experiments are made: a running service, how much of everything, and the stream that is disturbed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ops.chaos import compare
from ops.chaos.client import Caller, Heard
from ops.chaos.demo import Demo, wait_for
from ops.chaos.errors import ChaosError
from ops.chaos.recording import Recording
from ops.chaos.report import Row

HEARD_S = 60.0


@dataclass(frozen=True)
class Plan:
    """How much of it. As it stands: what `make chaos` does."""

    pace: float = 1.0  # times as fast as speech
    break_after_ms: int = 6_000
    slow_s: float = 20.0
    slow_pace: float = 10.0
    abandons: int = 5
    churns: int = 200
    churn_s: float = 30.0
    malformed: int = 5  # of each kind
    bursts: int = 8
    lossy_s: float = 8.0
    stall_s: float = 5.0
    jump_s: float = 3600.0


@dataclass
class Disturbed:
    heard: Heard
    recovery_s: float | None  # until it heard of what was said after the break

    def uncut(self) -> list[str]:
        """What is wrong if nobody was to notice."""
        return [f"the line was cut: {cut}" for cut in self.heard.cuts]

    def not_resumed(self) -> list[str]:
        return [] if self.heard.resumed else ["it was never resumed"]


@dataclass
class Lab:
    demo: Demo
    recording: Recording
    plan: Plan = field(default_factory=Plan)
    _wanted: dict[int, list[str]] = field(default_factory=dict)

    def wanted(self, recording: Recording | None = None, pace: float | None = None) -> list[str]:
        """What an undisturbed stream hears of the recording. Asked of the service once."""
        recording = recording or self.recording
        if recording.ms not in self._wanted:
            self.demo.wait_well()
            caller = Caller([self.demo.http_url], self.demo.key, recording, pace or self.plan.pace)
            heard = asyncio.run(caller.call())
            if heard.failure or not heard.words:
                raise ChaosError(f"an undisturbed stream does not work: {heard.failure or 'no words'}")
            self._wanted[recording.ms] = heard.words
        return self._wanted[recording.ms]

    def disturb(self, how: Callable[[Heard], None], urls: Sequence[str] = ()) -> Disturbed:
        """A stream in the midst of which `how` is called; to these addresses, one line after the other."""
        self.wanted()
        self.demo.wait_well()
        return asyncio.run(self._disturb(how, urls))

    async def _disturb(self, how: Callable[[Heard], None], urls: Sequence[str]) -> Disturbed:
        caller = Caller(urls or [self.demo.http_url], self.demo.key, self.recording, self.plan.pace)
        heard = caller.heard
        call = asyncio.create_task(caller.call())

        def begun() -> bool:
            return call.done() or bool(heard.sent_ms >= self.plan.break_after_ms and heard.results)

        await asyncio.to_thread(wait_for, begun, HEARD_S, "somebody to be heard")
        sent_ms, broken_at = heard.sent_ms, time.monotonic()
        if call.done():
            raise ChaosError(f"the stream was over before anything was broken: {heard.failure or 'it ended'}")
        await asyncio.to_thread(how, heard)
        await call
        heard_at = heard.beyond(sent_ms)
        return Disturbed(heard, None if heard_at is None else max(0.0, heard_at - broken_at))

    def row(
        self, name: str, done: str, expected: str, disturbed: Disturbed, faults: Sequence[str] = ()
    ) -> Row:
        """With what can be wrong with any stream."""
        heard, found = disturbed.heard, [*faults, *disturbed.heard.contradictions]
        if heard.failure:
            found.append(heard.failure)
        elif disturbed.recovery_s is None:
            found.append("nothing was heard of what was said after the break")
        if len(heard.request_ids) > 1:
            found.append(f"it had {len(heard.request_ids)} request ids")
        words = compare.words(self.wanted(), heard.words)
        twice_ms, missing_ms = self.demo.billed(heard)
        if heard.cuts or heard.resumed:
            done = f"{done}. Cut: {', '.join(heard.cuts) or 'never'}; resumed {heard.resumed} x"
        if words.changed:
            expected = f"{expected}. ({words.changed} words were heard otherwise)"
        return Row(
            name, done, expected, tuple(found), words.lost, words.doubled, twice_ms, disturbed.recovery_s,
            missing_ms,
        )  # fmt: skip
