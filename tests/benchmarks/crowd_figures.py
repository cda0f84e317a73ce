"""From what a crowd went through to figures. Pure.

*Chunk to result*: from sending the last packet of a chunk to receiving the first partial that reaches into
the chunk. Each chunk counts once; chunks of which nothing is said, in silence, do not count.

*First partial*: from sending the packet in which an utterance begins, by its energy, to receiving the first
result with words that reaches beyond that moment. What the speaker needs for a word is in it.

*Time to first token*: from sending the first packet of the chunk that brought those words to receiving them.
So a chunk's length is in it and what the speaker needs is not: it is what the service can change.

*Drift*: by how much a stream's chunks took longer to answer in its last quarter than in its first: medians.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Any

from tests.benchmarks import measure
from tests.benchmarks.crowd import PACKET_MS, Crowd, Talk, Told, Voice

# The first steps of a stream pay for what is allocated once.
WARM_UP_S = 1.0
# Where speech begins is known to a frame or two, and words are placed a little before it at times.
SLACK_S = 0.02
LONG_ENOUGH_S = 1.5


def answers(voice: Voice, chunk_ms: int) -> list[tuple[float, float]]:
    """For each chunk that was answered while it was spoken: when it was complete, in seconds of the stream,
    and how many seconds later a partial came that reaches into it."""
    packets_of_a_chunk = chunk_ms / PACKET_MS
    found, answered = [], 0
    for told in voice.told:
        chunk = _chunk(told, chunk_ms)
        if told.is_final or chunk <= answered:
            continue
        answered = chunk
        last = math.ceil(chunk * packets_of_a_chunk) - 1
        complete_s = chunk * chunk_ms / 1000
        if last < len(voice.sent) and complete_s > WARM_UP_S:
            found.append((complete_s, told.received - voice.sent[last]))
    return found


@dataclass
class First:
    """Of an utterance's first words, in seconds."""

    since_speech: list[float] = field(default_factory=list)
    since_chunk: list[float] = field(default_factory=list)
    not_shown: int = 0


def first_words(voice: Voice, talk: Talk, chunk_ms: int) -> First:
    starts = talk.starts_between(voice.first, len(voice.sent))
    end = len(voice.sent) * PACKET_MS / 1000
    found = First()
    for start, following in pairwise([*starts, end]):
        if end - start < LONG_ENOUGH_S:  # cut off, perhaps before a word of it was over
            continue
        sent = voice.sent[_packet(start)]
        about = (
            told
            for told in voice.told
            if told.received >= sent and start + SLACK_S < told.end_s <= following + SLACK_S
        )
        if (told := next(about, None)) is None:
            found.not_shown += 1
            continue
        found.since_speech.append(told.received - sent)
        chunk_began = (_chunk(told, chunk_ms) - 1) * chunk_ms / 1000
        found.since_chunk.append(told.received - voice.sent[_packet(chunk_began)])
    return found


def _chunk(told: Told, chunk_ms: int) -> int:
    """The chunk into which it reaches, counted from 1."""
    return math.ceil(round(told.end_s * 1000, 3) / chunk_ms)


def _packet(moment_s: float) -> int:
    """The packet that holds it."""
    return int(round(moment_s * 1000, 3) // PACKET_MS)


def drift(voice: Voice, chunk_ms: int) -> float | None:
    found = answers(voice, chunk_ms)
    quarter = len(found) // 4
    if not quarter:
        return None
    return median(s for _, s in found[-quarter:]) - median(s for _, s in found[:quarter])


def figures(crowd: Crowd, talk: Talk, chunk_ms: int) -> dict[str, Any]:
    voices = crowd.voices
    chunks = [1000 * seconds for voice in voices for _, seconds in answers(voice, chunk_ms)]
    firsts = [first_words(voice, talk, chunk_ms) for voice in voices if not voice.error]
    since_speech = [1000 * seconds for first in firsts for seconds in first.since_speech]
    since_chunk = [1000 * seconds for first in firsts for seconds in first.since_chunk]
    drifts = [1000 * value for voice in voices if (value := drift(voice, chunk_ms)) is not None]
    return {
        "streams": len(voices),
        "chunks_answered": len(chunks),
        **percentiles("chunk_to_result", chunks, (50, 95, 99)),
        "utterances": len(since_speech),
        "utterances_not_shown": sum(first.not_shown for first in firsts),
        **percentiles("ttft", since_chunk, (50, 95)),
        **percentiles("first_partial", since_speech, (50, 95)),
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
