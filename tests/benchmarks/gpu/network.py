"""A network of the published 0.6 B model's architecture with random weights that says as much as people do.

Nothing can be fetched where this runs, and how fast a network is does not depend on what it has learned, but
for one thing: each token costs its decoder a turn. So the weight of saying nothing is set such that it says
as many tokens a second as a trained one.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import OmegaConf
from torch import Tensor

from inference_worker.engines.nemo import loading
from inference_worker.engines.nemo.loading import Loaded
from inference_worker.tools.tiny import model as tiny
from tests.benchmarks.gpu.eager import Eager

SAMPLE_RATE = 16_000
TOKENS_PER_S = 3.5  # of English in pieces of a vocabulary of 1024, pauses included
NEAR = 0.1  # of that
MOST_TRIES = 20
LOUD = 4.0  # how far scores lie apart, which is what makes some tokens much likelier than others
SEED = 4


@dataclass(frozen=True)
class Size:
    name: str
    layers: int
    width: int
    heads: int
    mels: int
    channels: int
    prediction: int
    prediction_layers: int
    vocabulary: int


# nvidia/nemotron-speech-streaming-en-0.6b
LARGE = Size("0.6 B, random weights", 24, 1024, 8, 128, 256, 640, 2, 1024)
SMALL = Size("tiny, random weights", 2, 32, 2, 80, 16, 32, 1, 128)


def build(size: Size, folder: Path) -> Any:
    """NeMo's EncDecRNNTBPEModel, on the CPU in fp32."""
    from nemo.collections.asr.models import EncDecRNNTBPEModel

    make_tokenizer(folder, size.vocabulary)
    torch.manual_seed(SEED)
    return EncDecRNNTBPEModel(cfg=config(size, folder)).eval()


def config(size: Size, tokenizer: Path) -> Any:
    config = tiny.config(tokenizer)
    changed = {
        "model_defaults": {
            "enc_hidden": size.width, "pred_hidden": size.prediction, "joint_hidden": size.prediction
        },
        "preprocessor": {"features": size.mels},
        "encoder": {
            "feat_in": size.mels,
            "n_layers": size.layers,
            "d_model": size.width,
            "n_heads": size.heads,
            "subsampling_conv_channels": size.channels,
            "use_bias": False,
        },
        "decoder": {"prednet": {"pred_hidden": size.prediction, "pred_rnn_layers": size.prediction_layers}},
        "joint": {"jointnet": {"joint_hidden": size.prediction}},
    }  # fmt: skip
    return OmegaConf.merge(config, changed)


def make_tokenizer(folder: Path, vocabulary: int) -> None:
    """Of words that nobody has heard, so that no corpus is needed."""
    import sentencepiece

    dice = random.Random(SEED)
    sounds = itertools.product("bdfgklmnprstvz", "aeiou", ("", "n", "r"))
    syllables = ["".join(parts) for parts in sounds]
    words = ["".join(dice.choices(syllables, k=dice.randint(1, 4))) for _ in range(4000)]
    folder.mkdir(parents=True, exist_ok=True)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(" ".join(dice.choices(words, k=8)) for _ in range(2000)),
        model_prefix=str(folder / "tokenizer"),
        vocab_size=vocabulary,
        model_type="bpe",
        bos_id=-1,
        eos_id=-1,
        minloglevel=2,
    )
    pieces = [line.split("\t")[0] for line in (folder / "tokenizer.vocab").read_text().splitlines()]
    (folder / "vocab.txt").write_text("\n".join(pieces[1:]) + "\n")


def prepare(network: Any, right: int, dtype: str, device: torch.device) -> Loaded:
    """As the worker prepares a network that it has read from a file. Changes this one."""
    return loading.prepare(network, "random", right, dtype, device)


@torch.inference_mode()
def make_frames_matter(loaded: Loaded, audio: NDArray[np.float32]) -> None:
    """Random layers make much the same of all frames of [streams, samples]. What differs is made to count."""
    joint = loaded.model.joint
    encoded = Eager(loaded, len(audio)).encode(audio)
    heard = joint.enc(encoded).flatten(0, 1)
    spread, middle = heard.std(0).clamp(min=1e-6), heard.mean(0)
    joint.enc.weight /= spread[:, None]
    joint.enc.bias -= middle
    joint.enc.bias /= spread
    joint.pred.weight *= 0.3
    joint.pred.bias.zero_()
    last = joint.joint_net[-1]
    last.weight *= LOUD / last(torch.relu(joint.enc(encoded))).std()
    last.bias.zero_()


@torch.inference_mode()
def set_token_rate(loaded: Loaded, audio: NDArray[np.float32], wanted: float = TOKENS_PER_S) -> float:
    """By what the network makes of [streams, samples]. Gives the rate that it has then."""
    joint, seconds = loaded.model.joint, audio.size / SAMPLE_RATE
    last = joint.joint_net[-1]
    encoded = Eager(loaded, len(audio)).encode(audio)
    last.bias[-1] = 0.0
    scores = last(torch.relu(joint.enc(encoded)))
    above = (scores[..., :-1].amax(-1) - scores[..., -1]).flatten().float()
    frames = min(1.0, wanted * seconds / len(above))  # of which something is to be said
    silence, step, rate, more = float(above.quantile(1 - frames)), LOUD / 2, 0.0, True
    for _ in range(MOST_TRIES):
        last.bias[-1] = silence
        rate = _tokens(loaded, encoded) / seconds
        if abs(rate - wanted) <= NEAR * wanted:
            break
        if (rate > wanted) is not more:
            step, more = step / 2, rate > wanted
        silence += step if more else -step
    return rate


def _tokens(loaded: Loaded, encoded: Tensor) -> int:
    lengths = torch.full((len(encoded),), encoded.shape[1], device=encoded.device)
    computer = loaded.model.decoding.decoding.decoding_computer
    heard, _ = computer.torch_impl(encoder_output=encoded, encoder_output_length=lengths)
    return int(heard.current_lengths.sum())
