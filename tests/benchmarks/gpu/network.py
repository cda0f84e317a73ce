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
FRAME_S = 0.08
MOST_TRIES = 20
LOUD, VARIED, BLOCKED = 8.0, 0.5, 30.0  # what decides, what chooses among the tokens it allows, what forbids
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
def make_it_talk(loaded: Loaded, audio: NDArray[np.float32]) -> None:
    """Random weights say either nothing or the same token for ever. So a few of them are set by hand.

    One direction of what is heard decides: while it is high, tokens of one half of the vocabulary are likely,
    while it is low those of the other, but not after one of their own half. Half of each half may be followed
    by one of the other quarter at once. So tokens come one or two at a time, when what is heard of
    [streams, samples] turns; how far it has to turn is for the score of the blank to say."""
    decoder, joint = loaded.model.decoder, loaded.model.joint
    vocabulary = joint.num_classes_with_blank - 1
    quarter = torch.arange(vocabulary, device=loaded.device) % 4
    _forget(decoder.prediction["dec_rnn"].lstm)
    embedding = decoder.prediction["embed"].weight
    embedding *= 0.05
    embedding[:vocabulary, :4] = 1.0 * torch.nn.functional.one_hot(quarter, 4).to(embedding.dtype)
    _spread_out(joint.enc, Eager(loaded, len(audio)).encode(audio))
    encoded = _encoded(loaded, audio)
    heard = joint.enc(encoded)
    heard -= heard.mean((0, 1))
    liveliest = int(((heard[:, 1:] > 0) != (heard[:, :-1] > 0)).sum((0, 1)).argmax())
    spread = heard[..., liveliest].std()
    weight = joint.enc.weight[liveliest] / spread
    bias = -(encoded @ weight).mean()
    joint.enc.weight.zero_()
    joint.enc.bias.zero_()
    for unit, sign in enumerate((1, 1, -1, -1)):
        joint.enc.weight[unit], joint.enc.bias[unit] = sign * weight, sign * bias
    outputs = _said_before(loaded)
    not_after = torch.stack([quarter < 2, quarter == 1, quarter >= 2, quarter == 3], 1).to(outputs.dtype)
    not_after = torch.nn.functional.pad(not_after, (0, 0, 0, 1))  # after nothing, anything
    with_one = torch.cat([outputs, torch.ones_like(outputs[:, :1])], 1)
    # On the CPU, whose way to solve it does not mind columns that say the same.
    found = torch.linalg.lstsq(with_one.cpu(), not_after.cpu()).solution.to(loaded.device)
    _spread_out(joint.pred, outputs[None])
    joint.pred.weight[:4], joint.pred.bias[:4] = -BLOCKED * found[:-1].T, -BLOCKED * found[-1]
    last = joint.joint_net[-1]
    last.weight[:, :4] = 0.0
    last.bias.zero_()
    last.weight *= VARIED / last(torch.relu(joint.pred(outputs))).std()
    last.weight[torch.arange(vocabulary, device=loaded.device), quarter] = LOUD
    last.weight[-1] = 0.0


def _encoded(loaded: Loaded, audio: NDArray[np.float32]) -> Tensor:
    """Without the beginnings: there frames differ by how much was heard before them."""
    encoded = Eager(loaded, len(audio)).encode(audio)
    return encoded[:, encoded.shape[1] // 3 :]


def _forget(lstm: Any) -> None:
    """All but the last token; the gates are computed nevertheless."""
    for name, part in lstm.named_parameters():
        if name.startswith("weight_hh"):
            part.zero_()
        elif name.startswith("bias_ih"):
            let_in, keep, _, give_out = part.chunk(4)
            let_in.fill_(5.0)
            keep.fill_(-5.0)
            give_out.fill_(5.0)


def _spread_out(layer: Any, inputs: Tensor) -> None:
    """Its outputs for `inputs` then have a mean of 0 and a deviation of 1, each of them."""
    outputs = layer(inputs).flatten(0, 1)
    spread, middle = outputs.std(0).clamp(min=1e-6), outputs.mean(0)
    layer.weight /= spread[:, None]
    layer.bias -= middle
    layer.bias /= spread


def _said_before(loaded: Loaded) -> Tensor:
    """What the decoder makes of every token, and last of none."""
    every = torch.arange(loaded.model.joint.num_classes_with_blank, device=loaded.device)
    outputs, _ = loaded.model.decoder.predict(every[:, None], None, add_sos=False, batch_size=len(every))
    return outputs[:, 0]


@torch.inference_mode()
def set_token_rate(loaded: Loaded, audio: NDArray[np.float32], wanted: float = TOKENS_PER_S) -> float:
    """By what the network makes of [streams, samples]. Gives the rate that it has then."""
    joint = loaded.model.joint
    last = joint.joint_net[-1]
    encoded = _encoded(loaded, audio)
    seconds = encoded.shape[0] * encoded.shape[1] * FRAME_S
    last.bias[-1] = 0.0
    scores = last(torch.relu(joint.enc(encoded)))
    above = (scores[..., :-1].amax(-1) - scores[..., -1]).flatten().float()
    frames = min(1.0, wanted * seconds / len(above))  # of which something is to be said
    silence, step, rate, more = float(above.quantile(1 - frames)), LOUD / 4, 0.0, True
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
