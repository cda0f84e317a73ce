"""From samples that were processed to milliseconds that are billed. Gateway and worker keep a record each,
and both count with this, so that the two records agree to the millisecond."""

from __future__ import annotations

from wire.messages import SAMPLE_RATE


def processed_ms(processed: int, input_ms: int | None, *, complete: bool = False) -> int:
    """`input_ms` is of all that the client sent, once that is known; `complete` says that the worker has
    ended the stream, all of it processed: then what the client sent is exact, while resampling rounds."""
    if input_ms is None:
        return processed * 1000 // SAMPLE_RATE
    return input_ms if complete else min(processed * 1000 // SAMPLE_RATE, input_ms)


def most_samples(input_ms: int) -> int:
    """As many samples as are no more than `input_ms`, whole milliseconds of them."""
    return ((input_ms + 1) * SAMPLE_RATE - 1) // 1000
