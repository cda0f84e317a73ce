"""Trains the tiny model: `python -m inference_worker.tools.tiny.train OUT.nemo`. See the README beside it.

About 70 minutes on two cores. What it does depends on the seed alone, but for the last bits
of floating point sums, which differ from machine to machine.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from bisect import bisect_right
from pathlib import Path
from typing import Any

import numpy as np
import torch

from inference_worker.tools.tiny import model as tiny
from inference_worker.tools.tiny import texts, voices
from inference_worker.tools.tiny.clips import Clips, synthesise
from inference_worker.tools.tiny.loss import rnnt_loss
from inference_worker.tools.tiny.voices import RATE, Samples

CLIPS, BATCH_S, MOST_S = 24_000, 56.0, 7.0
SHORT_S, SHORT_STEPS, GROWN_AFTER = 1.0, 600, 3_000
CTC_SHARE = 0.5
SAY_EVERY, SAVE_EVERY = 50, 250


class Batches:
    """Batches of about BATCH_S seconds, of clips alike in length; now and then two clips make one."""

    def __init__(self, clips: Clips, seed: int) -> None:
        self._clips, self._dice, self._random = clips, np.random.default_rng(seed), random.Random(seed)
        self._by_length = sorted(clips.all, key=lambda clip: clip.samples)
        self._lengths = [clip.samples for clip in self._by_length]
        self.longest_s, self.strength = MOST_S, 1.0

    def grow(self, step: int) -> None:
        """From short, clear clips it is learned soonest what belongs to which sound."""
        grown = min(1.0, max(0, step - SHORT_STEPS) / (GROWN_AFTER - SHORT_STEPS))
        self.longest_s, self.strength = SHORT_S + (MOST_S - SHORT_S) * grown, grown

    def _utterance(self) -> tuple[str, Samples]:
        usable = max(500, bisect_right(self._lengths, self.longest_s * RATE))
        two = self.longest_s >= MOST_S and self._random.random() < 0.3
        chosen = [
            self._by_length[self._random.randrange(min(usable, len(self._lengths)))] for _ in range(1 + two)
        ]
        if sum(clip.samples for clip in chosen) > MOST_S * RATE:
            chosen = chosen[:1]
        parts = [voices.augmented(self._clips.samples(clip), self._dice, self.strength) for clip in chosen]
        return " ".join(clip.text for clip in chosen), np.concatenate(parts)

    def __iter__(self) -> Any:
        while True:
            pool = [self._utterance() for _ in range(256)]
            pool.sort(key=lambda one: len(one[1]))
            batches: list[list[tuple[str, Samples]]] = [[]]
            for one in pool:
                if batches[-1] and (len(batches[-1]) + 1) * len(one[1]) > BATCH_S * RATE:
                    batches.append([])
                batches[-1].append(one)
            self._random.shuffle(batches)
            yield from batches


def train(
    net: Any, clips: Clips, checkpoint: Path, *, seed: int, steps: int, rate: float, device: str
) -> None:
    """Goes on from the checkpoint when there is one; with other batches then than without a break."""
    net.to(device).train()
    head = torch.nn.Linear(tiny.WIDTH, tiny.VOCABULARY + 1).to(device)
    parameters = [*net.parameters(), *head.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=rate, betas=(0.9, 0.98), weight_decay=1e-3)
    first = 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, map_location=device)
        first = saved["step"]
        for part, state in ((net, "net"), (head, "head"), (optimiser, "optimiser")):
            part.load_state_dict(saved[state])
        print(f"going on after step {first}", flush=True)
    torch.manual_seed(seed + first)
    began, heard, losses = time.monotonic(), 0.0, []
    batches = Batches(clips, seed + first)
    batches.grow(first)
    for step, batch in zip(range(first, steps), batches, strict=False):
        batches.grow(step)
        for group in optimiser.param_groups:
            group["lr"] = rate * min((step + 1) / 200, 0.5 * (1 + math.cos(math.pi * step / steps)) + 0.01)
        loss = _loss(net, head, batch, device)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        heard += sum(len(samples) for _, samples in batch) / RATE
        losses.append(loss.item())
        if step % SAY_EVERY == SAY_EVERY - 1:
            spent = time.monotonic() - began
            left = spent / (step + 1 - first) * (steps - step - 1)
            print(
                f"step {step + 1} of {steps}, loss {np.mean(losses[-SAY_EVERY:]):.3f}, "
                f"{heard / 3600:.1f} h heard, {spent / 60:.0f} min, {left / 60:.0f} to go",
                flush=True,
            )
        if step % SAVE_EVERY == SAVE_EVERY - 1:
            now = {"net": net.state_dict(), "head": head.state_dict(), "optimiser": optimiser.state_dict()}
            torch.save({"step": step + 1, **now}, checkpoint.with_suffix(".new"))
            checkpoint.with_suffix(".new").replace(checkpoint)


def _loss(net: Any, head: torch.nn.Module, batch: list[tuple[str, Samples]], device: str) -> torch.Tensor:
    length = torch.tensor([len(samples) for _, samples in batch], device=device)
    audio = torch.zeros(len(batch), int(length.max()), device=device)
    for row, (_, samples) in zip(audio, batch, strict=True):
        row[: len(samples)] = torch.from_numpy(samples)
    tokens = [net.tokenizer.text_to_ids(text) for text, _ in batch]
    lengths = torch.tensor([len(one) for one in tokens], device=device)
    labels = torch.zeros(len(batch), int(lengths.max()), dtype=torch.long, device=device)
    for row, one in zip(labels, tokens, strict=True):
        row[: len(one)] = torch.tensor(one)
    with torch.no_grad():
        mel, mel_length = net.preprocessor(input_signal=audio, length=length)
        _mask(mel)
    encoded, frames = net.encoder(audio_signal=mel, length=mel_length)
    predicted, _, _ = net.decoder(targets=labels, target_length=lengths)
    scores = net.joint.joint(encoded.transpose(1, 2), predicted.transpose(1, 2))
    loss = rnnt_loss(scores, labels, frames, lengths, blank=tiny.VOCABULARY)
    helper = torch.nn.functional.ctc_loss(
        head(encoded.transpose(1, 2)).log_softmax(-1).transpose(0, 1),
        labels, frames, lengths, blank=tiny.VOCABULARY, zero_infinity=True,
    )  # fmt: skip
    return (1 - CTC_SHARE) * loss + CTC_SHARE * helper


def _mask(mel: torch.Tensor) -> None:
    """Some tones and some moments are not heard."""
    _, tones, moments = mel.shape
    low = int(torch.randint(0, tones - 12, ()))
    mel[:, low : low + int(torch.randint(0, 12, ()))] = -16.6355
    at = int(torch.randint(0, max(1, moments - 12), ()))
    mel[:, :, at : at + int(torch.randint(0, 12, ()))] = -16.6355


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("out", type=Path)
    asked.add_argument("--work", type=Path, default=Path("var/tiny"), help="where clips and tokenizer go")
    asked.add_argument("--seed", type=int, default=1)
    asked.add_argument("--clips", type=int, default=CLIPS)
    asked.add_argument("--steps", type=int, default=6_400)
    asked.add_argument("--rate", type=float, default=1e-3)
    asked.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    wish = asked.parse_args()

    folder = wish.work / "training"
    if not (folder / "clips.json").exists():
        for done in synthesise(folder, wish.seed, wish.clips):
            if done % 1000 == 0:
                print(f"{done} of {wish.clips} clips synthesised", flush=True)
    tiny.make_tokenizer(wish.work / "tokenizer", texts.texts(wish.seed, 20_000, test=False))
    torch.manual_seed(wish.seed)
    net = tiny.build(wish.work / "tokenizer")
    print(f"{sum(p.numel() for p in net.parameters()):,} parameters", flush=True)
    clips = Clips(folder)
    train(
        net,
        clips,
        wish.work / "checkpoint.pt",
        seed=wish.seed,
        steps=wish.steps,
        rate=wish.rate,
        device=wish.device,
    )
    net.cpu().eval().save_to(str(wish.out))
    recipe = {name: str(value) for name, value in vars(wish).items()}
    wish.out.with_suffix(".json").write_text(json.dumps(recipe, indent=1) + "\n")


if __name__ == "__main__":
    main()
