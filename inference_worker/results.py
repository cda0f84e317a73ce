"""What an engine says about a slot, as messages for the stream that holds it."""

from __future__ import annotations

from inference_worker.engines.base import Hypothesis, Output
from inference_worker.streams import Stream
from wire.messages import Ended, Failed, Final, Flushed, Partial, Progress, SpeechStarted, ToGateway


def messages(stream: Stream, output: Output) -> list[ToGateway]:
    """In the order in which they are sent: speech, hypotheses, the watermark, then what is complete.

    Brings the stream up to date. After an `Ended` nothing more may be sent.
    """
    out: list[ToGateway] = []
    if output.speech_started_ms is not None:
        out.append(SpeechStarted(stream=stream.id, epoch=stream.epoch, at_ms=output.speech_started_ms))
    for hypothesis in output.hypotheses:
        if hypothesis.is_final:
            out.append(_final(stream, hypothesis))
        elif stream.options.interim_results:
            out.append(_partial(stream, hypothesis))
    processed = max(stream.processed, min(output.processed, stream.received))
    confirmed = max(stream.confirmed, min(output.confirmed, processed))
    if output.flushed and stream.finishing:
        processed = confirmed = stream.received
    marks = (processed, confirmed, min(output.speech_end, processed))
    if marks != stream.marks:
        stream.processed, stream.confirmed, stream.speech_end = marks
        out.append(
            Progress(
                stream=stream.id,
                epoch=stream.epoch,
                processed=processed,
                confirmed=confirmed,
                speech_end=stream.speech_end,
            )
        )
    if output.flushed:
        out.extend(Flushed(stream=stream.id, epoch=stream.epoch, token=token) for token in stream.tokens)
        stream.tokens = ()
        if stream.finishing:
            out.append(Ended(stream=stream.id, epoch=stream.epoch, processed=stream.processed))
    return out


def failure(stream: Stream, code: str) -> Failed:
    return Failed(stream=stream.id, epoch=stream.epoch, code=code, processed=stream.processed)


def _final(stream: Stream, hypothesis: Hypothesis) -> Final:
    final = Final(
        stream=stream.id,
        epoch=stream.epoch,
        index=stream.finals,
        start_ms=hypothesis.start_ms,
        end_ms=hypothesis.end_ms,
        words=hypothesis.words,
        speech_final=hypothesis.speech_final,
    )
    stream.finals += 1
    return final


def _partial(stream: Stream, hypothesis: Hypothesis) -> Partial:
    return Partial(
        stream=stream.id,
        epoch=stream.epoch,
        start_ms=hypothesis.start_ms,
        end_ms=hypothesis.end_ms,
        words=hypothesis.words,
        stability=hypothesis.stability,
    )
