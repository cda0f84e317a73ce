"""The tiny model: NeMo's cache-aware FastConformer RNNT, small enough to be committed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

CONTEXTS = [[70, 13], [70, 6], [70, 1], [70, 0]]
WIDTH, LAYERS, PREDICTION, JOINT = 112, 5, 128, 128
VOCABULARY = 128


def make_tokenizer(folder: Path, corpus: list[str], vocabulary: int = VOCABULARY) -> None:
    """The three files that NeMo expects in a tokenizer's folder."""
    import sentencepiece

    folder.mkdir(parents=True, exist_ok=True)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus),
        model_prefix=str(folder / "tokenizer"),
        vocab_size=vocabulary,
        model_type="bpe",
        character_coverage=1.0,
        bos_id=-1,
        eos_id=-1,
        minloglevel=2,
    )
    pieces = [line.split("\t")[0] for line in (folder / "tokenizer.vocab").read_text().splitlines()]
    (folder / "vocab.txt").write_text("\n".join(pieces[1:]) + "\n")


def config(tokenizer: Path) -> Any:
    greedy = {"max_symbols": 10, "loop_labels": True, "use_cuda_graph_decoder": False}
    return OmegaConf.create(
        {
            "sample_rate": 16_000,
            "log_prediction": False,
            "model_defaults": {"enc_hidden": WIDTH, "pred_hidden": PREDICTION, "joint_hidden": JOINT},
            "tokenizer": {"dir": str(tokenizer), "type": "bpe"},
            "preprocessor": {
                "_target_": "nemo.collections.asr.modules.AudioToMelSpectrogramPreprocessor",
                "sample_rate": 16_000,
                "normalize": "NA",
                "window_size": 0.025,
                "window_stride": 0.01,
                "window": "hann",
                "features": 80,
                "n_fft": 512,
                "log": True,
                "frame_splicing": 1,
                "dither": 0.0,
                "pad_to": 0,
            },
            "encoder": {
                "_target_": "nemo.collections.asr.modules.ConformerEncoder",
                "feat_in": 80,
                "feat_out": -1,
                "n_layers": LAYERS,
                "d_model": WIDTH,
                "subsampling": "dw_striding",
                "subsampling_factor": 8,
                "subsampling_conv_channels": 64,
                "causal_downsampling": True,
                "ff_expansion_factor": 4,
                "self_attention_model": "rel_pos",
                "n_heads": 4,
                "att_context_size": CONTEXTS,
                "att_context_probs": [0.15, 0.15, 0.5, 0.2],
                "att_context_style": "chunked_limited",
                "xscaling": False,
                "untie_biases": True,
                "pos_emb_max_len": 5000,
                "conv_kernel_size": 9,
                "conv_norm_type": "layer_norm",
                "conv_context_size": "causal",
                "dropout": 0.05,
                "dropout_pre_encoder": 0.05,
                "dropout_emb": 0.0,
                "dropout_att": 0.05,
            },
            "decoder": {
                "_target_": "nemo.collections.asr.modules.RNNTDecoder",
                "normalization_mode": None,
                "random_state_sampling": False,
                "blank_as_pad": True,
                "prednet": {"pred_hidden": PREDICTION, "pred_rnn_layers": 1, "t_max": None, "dropout": 0.1},
            },
            "joint": {
                "_target_": "nemo.collections.asr.modules.RNNTJoint",
                "log_softmax": None,
                "preserve_memory": False,
                "fuse_loss_wer": False,
                "fused_batch_size": 1,
                "jointnet": {"joint_hidden": JOINT, "activation": "relu", "dropout": 0.1},
            },
            "decoding": {"strategy": "greedy_batch", "greedy": greedy},
            "loss": {"loss_name": "default", "warprnnt_numba_kwargs": {"fastemit_lambda": 0.0}},
            "optim": {"name": "adamw", "lr": 0.001},
        }
    )


# Of the log-mel features of the clips, which the model takes as they are (`normalize: NA`).
MEAN, DEVIATION = -11.5, 3.6


def build(tokenizer: Path) -> Any:
    import torch
    from nemo.collections.asr.models import EncDecRNNTBPEModel

    net = EncDecRNNTBPEModel(cfg=config(tokenizer))
    # As if the features were normalised: at first the network learns nothing from numbers far from zero.
    first = net.encoder.pre_encode.conv[0]
    with torch.no_grad():
        first.weight /= DEVIATION
        first.bias -= MEAN * first.weight.sum((1, 2, 3))
    return net
