"""What was heard in a recording, once all of it has been."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.about import About
from gateway.events import Summary, Transcript
from wire.messages import Word


@dataclass(frozen=True)
class Heard:
    about: About
    finals: tuple[Transcript, ...]  # of all channels, in the order in which they came
    summary: Summary
    sha256: str  # of the file

    @property
    def seconds(self) -> float:
        return self.summary.audio_ms / 1000

    def of_channel(self, channel: int) -> tuple[Transcript, ...]:
        return tuple(final for final in self.finals if final.channel == channel)

    def words(self, channel: int) -> list[Word]:
        return [word for final in self.of_channel(channel) for word in final.words]
