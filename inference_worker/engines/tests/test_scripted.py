from __future__ import annotations

import itertools
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_worker import engines
from inference_worker.engines.base import EngineError, EngineOutOfMemory, EngineStartError, Row
from inference_worker.engines.scripted import (
    SAMPLES_PER_MS,
    SENTENCES,
    ScriptedEngine,
    Trouble,
    read_script,
    spoken,
)
from inference_worker.engines.tests.driving import listen, run
from wire.messages import StreamOptions


def silence(ms: int) -> np.ndarray:
    return np.zeros(ms * SAMPLES_PER_MS, np.float32)


def row(slot: int, samples: int = 2560) -> Row:
    return Row(slot, np.zeros(samples, np.float32))


def test_words_come_when_their_time_has_passed_and_partials_grow() -> None:
    heard = listen(ScriptedEngine(), silence(3000), interim_results=True)
    assert heard.text == "The quick brown fox jumps over the lazy"
    texts = [" ".join(word.text for word in partial.words) for partial in heard.partials]
    assert texts[0] == "The"
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(texts))
    for output in heard.outputs:
        for hypothesis in output.hypotheses:
            assert hypothesis.end_ms * SAMPLES_PER_MS <= output.processed


def test_partials_come_every_300_ms_while_somebody_speaks_and_never_for_silence() -> None:
    heard = listen(ScriptedEngine(), silence(5000), interim_results=True)
    told = [output.processed // SAMPLES_PER_MS for output in heard.outputs if output.hypotheses]
    gaps = {after for before, after in itertools.pairwise(told) if after - before > 300}
    assert len(gaps) == 1  # the pause after the first sentence
    for output in heard.outputs:
        if output.hypotheses and not output.hypotheses[-1].is_final:
            assert output.speech_end == output.processed


def test_sentences_end_utterances_and_long_ones_are_cut() -> None:
    finals = listen(ScriptedEngine(words_per_final=8), silence(12_000)).finals
    assert [len(final.words) for final in finals[:3]] == [8, 1, 5]
    assert [final.speech_final for final in finals[:3]] == [False, True, True]


@given(st.lists(st.integers(1, 2560), min_size=1, max_size=40))
def test_any_cut_of_the_audio_gives_the_same_finals(sizes: list[int]) -> None:
    total = sum(sizes)
    engine = ScriptedEngine(spoken(["one two three four five"]), words_per_final=2)
    engine.open(0, StreamOptions(), 0)
    ends = np.cumsum(sizes)
    rows = [Row(0, np.zeros(s, np.float32), last=end == total) for s, end in zip(sizes, ends, strict=True)]
    cut = run(engine, rows)
    whole = listen(engine, np.zeros(total, np.float32), slot=1)
    assert [final.words for final in cut.finals] == [final.words for final in whole.finals]


@given(st.integers(0, 20_000))
def test_a_stream_that_moves_at_the_watermark_loses_and_repeats_no_word(move_ms: int) -> None:
    engine = ScriptedEngine()
    whole = listen(engine, silence(20_000))
    engine.open(0, StreamOptions(), 0)
    before = run(engine, [Row(0, part) for part in np.array_split(silence(move_ms), move_ms // 160 + 1)])
    confirmed = before.outputs[-1].confirmed
    after = listen(ScriptedEngine(), silence(20_000)[confirmed:], start=confirmed)
    both = [word for heard in (before, after) for final in heard.finals for word in final.words]
    assert both == [word for final in whole.finals for word in final.words]


def test_the_script_begins_again_after_its_end() -> None:
    words = listen(ScriptedEngine(spoken(["a b"])), silence(10_000)).finals
    starts = [word.start_ms for final in words for word in final.words]
    assert len(starts) > 6
    assert starts == sorted(starts)
    assert starts[2] - starts[0] == starts[4] - starts[2]


def test_it_can_be_slow() -> None:
    engine = ScriptedEngine(trouble=Trouble(ms_per_step=10, ms_per_row=5))
    for slot in range(4):
        engine.open(slot, StreamOptions(), 0)
    began = time.perf_counter()
    engine.step([row(slot) for slot in range(4)])
    assert time.perf_counter() - began >= 0.030


def test_it_can_fail_at_a_step_for_a_slot_and_out_of_memory() -> None:
    engine = ScriptedEngine(trouble=Trouble(fail_at_steps={2}, fail_slots={1}, memory_rows=2))
    for slot in range(3):
        engine.open(slot, StreamOptions(), 0)
    with pytest.raises(EngineOutOfMemory):
        engine.step([row(0), row(1), row(2)])
    result = engine.step([row(0), row(1)])
    assert [output.slot for output in result.outputs] == [0]
    assert result.failed == {1: "engine_failed"}
    with pytest.raises(EngineError):
        engine.step([row(2)])
    assert engine.step([row(2)]).outputs[0].processed == 2560


def test_the_built_in_text_is_long_enough_to_tell_streams_apart() -> None:
    assert len(" ".join(SENTENCES).split()) > 30


def test_a_script_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "script.txt"
    path.write_text("Grüß Gott.\n\n  Auf Wiedersehen!  \n", "utf-8")
    assert [word.text for word in read_script(path)] == ["Grüß", "Gott.", "Auf", "Wiedersehen!"]


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xff\xfe"])
def test_a_script_that_says_nothing_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "script.txt"
    path.write_bytes(content)
    with pytest.raises(EngineStartError, match="script"):
        read_script(path)


def test_the_registry_makes_it_and_names_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRIPTED_STEP_MS", "3")
    engine = engines.create("scripted", 7)
    assert engine.info.max_streams == 7
    with pytest.raises(EngineStartError, match="moonshine, nemo, scripted"):
        engines.create("magic", 7)


def test_it_is_cheap_enough_to_load_a_gateway() -> None:
    engine = ScriptedEngine()
    slots = range(500)
    for slot in slots:
        engine.open(slot, StreamOptions(interim_results=True), 0)
    rows = [row(slot) for slot in slots]
    began = time.perf_counter()
    for _ in range(10):
        engine.step(rows)
    # Far above what it takes, so that a busy machine does not fail it: 10 steps are 1.6 s of 500 streams.
    assert time.perf_counter() - began < 1.6
