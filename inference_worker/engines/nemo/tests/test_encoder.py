"""What the encoder computes is compared with NeMo's in test_equality."""

from __future__ import annotations

import torch

from inference_worker.engines.nemo.encoder import Encoder
from inference_worker.engines.nemo.tests import tiny
from inference_worker.engines.nemo.writes import Writes


@torch.inference_mode()
def test_numbers_that_are_none_go_to_no_later_stream_of_the_slot() -> None:
    """In half of fp32 a sum may overflow. That spoils its own stream, and has to end with it."""
    encoder = Encoder(tiny.loaded().model.encoder, 2, tiny.LEFT, 1)
    mel = torch.randn(1, 16, 80)

    def step(slot: int, mel: torch.Tensor) -> torch.Tensor:
        writes = Writes(torch.tensor([slot]))
        encoded = encoder.step(writes, mel)
        writes.commit()
        return encoded

    for slot in (0, 1):
        encoder.open(torch.tensor([slot]))
    for _ in range(3):
        assert step(0, mel * torch.nan).isnan().all()
    encoder.open(torch.tensor([0]))
    assert torch.equal(step(0, mel), step(1, mel))
