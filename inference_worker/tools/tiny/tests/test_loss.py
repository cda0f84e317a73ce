"""The loss against all ways of saying the labels, one by one."""

from __future__ import annotations

import math
from functools import cache

import pytest

torch = pytest.importorskip("torch")

from inference_worker.tools.tiny.loss import rnnt_loss  # noqa: E402

FRAMES, LENGTHS = (4, 3, 1), (3, 2, 1)


def by_hand(scores, labels, frames: int, length: int, blank: int) -> float:
    log_p = scores.log_softmax(-1).tolist()

    @cache
    def from_here(frame: int, said: int) -> float:
        if frame == frames:
            return 0.0 if said == length else -math.inf
        ways = [log_p[frame][said][blank] + from_here(frame + 1, said)]
        if said < length:
            ways.append(log_p[frame][said][labels[said]] + from_here(frame, said + 1))
        return math.log(total) if (total := sum(map(math.exp, ways))) else -math.inf

    return -from_here(0, 0) / length


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_mean_over_all_alignments(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(3, 4, 4, 6, generator=generator)
    labels = torch.randint(0, 5, (3, 3), generator=generator)
    found = rnnt_loss(scores, labels, torch.tensor(FRAMES), torch.tensor(LENGTHS), blank=5)
    expected = [by_hand(scores[i], labels[i].tolist(), FRAMES[i], LENGTHS[i], 5) for i in range(len(FRAMES))]
    assert found.item() == pytest.approx(sum(expected) / len(expected), rel=1e-5)


def test_what_lies_past_the_end_changes_nothing_and_gets_no_gradient() -> None:
    scores = torch.randn(1, 5, 4, 6, requires_grad=True)
    labels = torch.tensor([[1, 2, 3]])
    loss = rnnt_loss(scores, labels, torch.tensor([3]), torch.tensor([2]), blank=5)
    loss.backward()
    assert scores.grad[:, 3:].abs().max() == 0
    assert scores.grad[:, :, 3:].abs().max() == 0
    assert scores.grad[:, :3, :3].abs().max() > 0
