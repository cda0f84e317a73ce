"""From what streams went through to the figures. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tests.benchmarks.paced import Result, Take
from tests.benchmarks.speech import Conversation, Utterance

# Engines place words a little before or after where the energy is.
TOLERANCE_S = 0.3


@dataclass(frozen=True)
class Latencies:
    final_s: list[float]
    first_partial_s: list[float]
    lost: int  # utterances of which no final came


def latencies(take: Take, conversation: Conversation) -> Latencies:
    """For every utterance, from its last loud sample being sent to its last final being received.

    The last final is the last one with a word in the utterance: a final that covers two utterances counts
    for the earlier one with the whole wait, and an utterance cut in two counts when its second half came.
    """
    finals, partials, lost = [], [], 0
    for utterance in conversation.utterances:
        about = [result for result in take.results if _is_about(result, utterance)]
        received = [result.received for result in about if result.is_final]
        if not received:
            lost += 1
            continue
        finals.append(received[-1] - take.sent_at(utterance.end_s))
        partials.append(about[0].received - take.sent_at(utterance.start_s))
    return Latencies(finals, partials, lost)


def percentile(values: Sequence[float], percent: float) -> float | None:
    return float(np.percentile(values, percent)) if values else None


def partials_per_second(takes: Iterable[Take], conversation: Conversation) -> float:
    """Of speech, for one stream."""
    counts = [sum(not r.is_final for r in take.results) for take in takes]
    return sum(counts) / len(counts) / conversation.speech_s


def _is_about(result: Result, utterance: Utterance) -> bool:
    first, last = utterance.start_s - TOLERANCE_S, utterance.end_s + TOLERANCE_S
    return any(first <= middle <= last for middle in result.word_middles_s)
