"""Words, finals and what was heard, by hand."""

from __future__ import annotations

from gateway.about import About
from gateway.events import Summary, Transcript
from gateway.recorded.heard import Heard
from wire.messages import Word

ABOUT = About(
    request_id="r-1",
    region="eu",
    worker="w",
    model="m",
    version="1",
    arch="a",
    created="2026-01-01T00:00:00.000Z",
)


def words(text: str, *, start_ms: int = 0, each_ms: int = 300, gap_ms: int = 100) -> list[Word]:
    step = each_ms + gap_ms
    return [
        Word(word, start_ms + n * step, start_ms + n * step + each_ms, 0.9)
        for n, word in enumerate(text.split())
    ]


def final(text: str, *, start_ms: int = 0, channel: int = 0) -> Transcript:
    said = tuple(words(text, start_ms=start_ms))
    end_ms = said[-1].end_ms if said else start_ms
    return Transcript(0, said, start_ms, end_ms, is_final=True, channel=channel)


def heard(*finals: Transcript, about: About = ABOUT) -> Heard:
    return Heard(about, finals, Summary(9_963, "of the stream", 9_963), "of the file")
