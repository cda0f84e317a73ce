"""How long somebody who speaks waited for words, and how sure the engine was of them: what people notice,
where steps and queues are causes."""

from __future__ import annotations

from inference_worker.engines.base import Output
from inference_worker.streams import Stream
from inference_worker.telemetry import Telemetry
from wire.messages import SAMPLE_RATE

SAMPLES_PER_MS = SAMPLE_RATE // 1000


def observe(stream: Stream, output: Output, now: float, telemetry: Telemetry) -> None:
    """What `output` says of it. Times are of live audio, if it came not too long ago to be remembered."""
    telemetry.heard(output.hypotheses)
    if not stream.timed or stream.is_ahead(now):
        stream.unanswered_speech = None
        return
    if output.speech_started_ms is not None:
        stream.unanswered_speech = output.speech_started_ms * SAMPLES_PER_MS
    for hypothesis in output.hypotheses:
        if stream.unanswered_speech is not None and hypothesis.words:
            came = stream.arrival(stream.unanswered_speech)
            stream.unanswered_speech = None
            if came is not None and stream.options.interim_results:
                telemetry.first_partial.add(now - came)
        if hypothesis.is_final and hypothesis.speech_final:
            came = stream.arrival(hypothesis.end_ms * SAMPLES_PER_MS)
            if came is not None:
                telemetry.speech_end_to_final.add(now - came)
