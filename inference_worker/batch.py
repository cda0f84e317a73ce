"""What rides in one step, and when it did what."""

from __future__ import annotations

from dataclasses import dataclass, field

import structlog

from inference_worker.engines.base import Row
from inference_worker.streams import Stream

log = structlog.get_logger("worker.timing")


@dataclass(slots=True)
class Batch:
    rows: list[Row] = field(default_factory=list)
    riders: list[tuple[Stream, float]] = field(default_factory=list)  # with when their row was complete
    began: float = 0.0
    done: float = 0.0

    @property
    def all_live(self) -> bool:
        return all(stream.live for stream, _ in self.riders)

    @property
    def any_live(self) -> bool:
        return any(stream.live for stream, _ in self.riders)

    def waited(self, now: float) -> list[float]:
        """How long those have waited who speak now; nobody waits for what was sent ahead."""
        return [max(0.0, now - since) for stream, since in self.riders if stream.timed]


def log_timings(batch: Batch, routed: float) -> None:
    """A line for each chunk: when it was complete, given to the engine, back, and on its way to the gateway.
    Seconds of one clock that has no date."""
    for stream, since in batch.riders:
        log.info(
            "chunk",
            stream=stream.id,
            until_sample=stream.taken,
            rows=len(batch.rows),
            t_buffered=round(min(since, batch.began), 6),
            t_batch_start=round(batch.began, 6),
            t_gpu_done=round(batch.done, 6),
            t_routed=round(routed, 6),
        )
