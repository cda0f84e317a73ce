"""From what a crowd went through to figures. Pure.

*Chunk to result*: from sending the last packet of a chunk to receiving the first partial that reaches into
the chunk. Each chunk counts once; chunks of which nothing is said, in silence, do not count.

*First partial*: from sending the packet in which an utterance begins, by its energy, to receiving the first
result with words that reaches beyond that moment.

*Drift*: by how much a stream's chunks took longer to answer in its last quarter than in its first: medians.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Any

from tests.benchmarks import measure
from tests.benchmarks.crowd import PACKET_MS, Crowd, Talk, Voice

# The first steps of a stream pay for what is allocated once.
WARM_UP_S = 1.0
# Where speech begins is known to a frame or two, and words are placed a little before it at times.
SLACK_S = 0.02


def answers(voice: Voice, chunk_ms: int) -> list[tuple[float, float]]:
    """For each chunk that was answered while it was spoken: when it was complete, in seconds of the stream,
    and how many seconds later a partial came that reaches into it."""
    packets_of_a_chunk = chunk_ms / PACKET_MS
    found, answered = [], 0
    for told in voice.told:
        chunk = math.ceil(round(told.end_s * 1000, 3) / chunk_ms)
        if told.is_final or chunk <= answered:
            continue
        answered = chunk
        last = math.ceil(chunk * packets_of_a_chunk) - 1
        complete_s = chunk * chunk_ms / 1000
        if last < len(voice.sent) and complete_s > WARM_UP_S:
            found.append((complete_s, told.received - voice.sent[last]))
    return found


def first_partials(voice: Voice, talk: Talk) -> tuple[list[float], int]:
    """For each utterance, the seconds until its first words were shown; and how many were never shown."""
    starts = talk.starts_between(voice.first, len(voice.sent))
    waits, lost = [], 0
    # The last one may have been cut off before a word of it was spoken.
    for start, following in pairwise(starts):
        sent = voice.sent[int(start * 1000 // PACKET_MS)]
        shown = (
            told.received
            for told in voice.told
            if told.received >= sent and start + SLACK_S < told.end_s <= following + SLACK_S
        )
        if (received := next(shown, None)) is None:
            lost += 1
        else:
            waits.append(received - sent)
    return waits, lost


def drift(voice: Voice, chunk_ms: int) -> float | None:
    found = answers(voice, chunk_ms)
    quarter = len(found) // 4
    if not quarter:
        return None
    return median(s for _, s in found[-quarter:]) - median(s for _, s in found[:quarter])


def figures(crowd: Crowd, talk: Talk, chunk_ms: int) -> dict[str, Any]:
    voices = crowd.voices
    chunks = [1000 * seconds for voice in voices for _, seconds in answers(voice, chunk_ms)]
    firsts = [first_partials(voice, talk) for voice in voices if not voice.error]
    waits = [1000 * seconds for found, _ in firsts for seconds in found]
    drifts = [1000 * value for voice in voices if (value := drift(voice, chunk_ms)) is not None]
    return {
        "streams": len(voices),
        "chunks_answered": len(chunks),
        **percentiles("chunk_to_result", chunks, (50, 95, 99)),
        "utterances": len(waits),
        "utterances_not_shown": sum(lost for _, lost in firsts),
        **percentiles("first_partial", waits, (50, 95)),
        **percentiles("drift", drifts, (99,)),
        "times_real_time": _throughput(voices),
        "errors": sum(bool(voice.error) for voice in voices),
        "error_kinds": sorted({voice.error for voice in voices if voice.error}),
        "latest_packet_ms": round(crowd.latest_packet_ms, 1),
    }


def percentiles(name: str, values: Sequence[float], which: Sequence[int]) -> dict[str, float | None]:
    found = {percent: measure.percentile(values, percent) for percent in which}
    return {f"{name}_p{percent}_ms": value and round(value, 1) for percent, value in found.items()}


def _throughput(voices: Sequence[Voice]) -> float:
    """Seconds of audio that were processed, for a second that it took."""
    heard = [voice for voice in voices if voice.ended and voice.sent]
    if not heard:
        return 0.0
    took = max(voice.ended for voice in heard) - min(voice.sent[0] for voice in heard)
    return round(sum(voice.processed_s for voice in heard) / took, 2)
