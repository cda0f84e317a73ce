"""Our features are the model's own."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from inference_worker.engines.nemo import mel
from inference_worker.engines.nemo.mel import Mel
from inference_worker.engines.nemo.tests import tiny
from inference_worker.engines.nemo.writes import Writes
from tests import spoken

HOP, CHUNK, SLOTS = 160, 2560, 4


@torch.inference_mode()
def test_chunk_by_chunk_they_are_those_of_nemos_preprocessor() -> None:
    preprocessor = tiny.loaded().model.preprocessor
    ours = Mel(preprocessor, SLOTS, HOP, CHUNK, torch.device("cpu"))
    samples = torch.from_numpy(spoken.some(SLOTS)[: SLOTS * 10 * CHUNK].reshape(SLOTS, 10, CHUNK).copy())
    before = torch.zeros(SLOTS, HOP)
    for number in range(10):
        chunk = samples[:, number]
        # The last ones end within the chunk, at every kind of place.
        lengths = torch.tensor([CHUNK, 1, 801, 2559]) if number == 9 else torch.full((SLOTS,), CHUNK)
        chunk = chunk * (torch.arange(CHUNK) < lengths[:, None])
        signal = torch.cat([before, chunk], 1)
        theirs, frames = preprocessor(input_signal=signal, length=lengths + HOP)
        writes = Writes(torch.arange(SLOTS))
        got, counts = ours.step(writes, chunk, lengths)
        whole, none = ours.step(Writes(torch.arange(SLOTS)), chunk, None)
        assert none is None
        torch.testing.assert_close(got.transpose(1, 2), theirs[:, :, 1:17], atol=1e-4, rtol=1e-5)
        assert counts.tolist() == (frames.clamp(max=17) - 1).clamp(min=0).tolist()
        if number < 9:
            assert torch.equal(got, whole)
        writes.commit()
        before = chunk[:, -HOP:]


def test_a_slot_that_is_opened_again_has_forgotten() -> None:
    ours = Mel(tiny.loaded().model.preprocessor, SLOTS, HOP, CHUNK, torch.device("cpu"))
    slots = torch.arange(2)
    fresh, _ = ours.step(Writes(slots), torch.zeros(2, CHUNK), None)
    writes = Writes(slots)
    ours.step(writes, torch.ones(2, CHUNK), None)
    writes.commit()
    after, _ = ours.step(Writes(slots), torch.zeros(2, CHUNK), None)
    assert not torch.equal(after, fresh)
    ours.open(slots)
    assert torch.equal(ours.step(Writes(slots), torch.zeros(2, CHUNK), None)[0], fresh)


def usual(**other: object) -> SimpleNamespace:
    known = {"normalize": "NA", "mag_power": 2.0, "log": True, "frame_splicing": 1}
    known |= {"exact_pad": False, "pad_to": 0, "sample_rate": 16_000}
    return SimpleNamespace(**{**known, **other})


@pytest.mark.parametrize(
    ("other", "because"),
    [
        ({"normalize": "per_feature"}, "normalises its features over the utterance (per_feature)"),
        ({"sample_rate": 8_000}, "hears 8000 samples a second, and streams have 16000"),
        ({"mag_power": 1.0}, "has features of another kind (mag_power)"),
        ({"frame_splicing": 3, "pad_to": 16}, "has features of another kind (frame_splicing, pad_to)"),
    ],
)
def test_features_that_are_not_computed_here_are_named(other: dict[str, object], because: str) -> None:
    assert mel.unknown(usual()) is None
    assert mel.unknown(usual(**other)) == because
