"""A `.nemo` file, or a pretrained name, as a model that can be streamed; or why it cannot."""

from __future__ import annotations

import logging
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference_worker.engines.base import EngineStartError

# What the tests hear with: a small domain and nothing else. See tools/tiny/README.md.
TINY = Path(__file__).with_name("tiny.nemo")


@dataclass(frozen=True)
class Loaded:
    model: Any  # NeMo's EncDecRNNTBPEModel
    name: str
    left: int
    right: int
    device: Any  # torch.device


def load(model: str, right: int, dtype: str, device: str) -> Loaded:
    """`model` is a path, or a name that NeMo can fetch; `device` is auto, cpu or cuda."""
    path = Path(model)
    if path.suffix == ".nemo" and not path.is_file():
        raise EngineStartError(f"MODEL is {model}, and there is no such file.")
    nemo, torch = _libraries()
    place = _device(torch, device, dtype)
    try:
        return prepare(_restore(nemo, torch, model, path, place), model, right, dtype, place)
    except torch.OutOfMemoryError:
        raise EngineStartError(f"The model {model} does not fit into the memory of {place}.") from None


def prepare(restored: Any, model: str, right: int, dtype: str, place: Any) -> Loaded:
    """A network of NeMo's that is in memory; it is changed in place."""
    import torch

    _check(restored, model)
    left = _left(restored, right, model)
    encoder = restored.encoder
    encoder.set_default_att_context_size([left, right])
    encoder.setup_streaming_params()
    # Features are computed in fp32: in half of it the logarithm of silence is not what the model has learned.
    # And converted there and back its filters would stay rounded.
    preprocessor, restored.preprocessor = restored.preprocessor, None
    restored = restored.to(device=place, dtype=getattr(torch, dtype))
    restored.preprocessor = preprocessor.to(device=place)
    restored.eval()
    _prepare_decoding(restored)
    path = Path(model)
    return Loaded(restored, path.stem if path.suffix == ".nemo" else model, left, right, place)


def _libraries() -> tuple[Any, Any]:
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    warnings.filterwarnings("ignore")
    logging.getLogger("nv_one_logger").setLevel(logging.ERROR)
    try:
        import torch
        from nemo.collections.asr.models import ASRModel
    except ImportError as error:
        raise EngineStartError(
            f"The engine nemo needs nemo_toolkit, which is not installed here ({error.name} is missing). "
            "Install it with: python3 -m ops.local.install nemo"
        ) from None
    # NeMo's own way to say it changes the handlers too, which may be those of others.
    logging.getLogger("nemo_logger").setLevel(logging.ERROR)
    return ASRModel, torch


def _device(torch: Any, device: str, dtype: str) -> Any:
    has_gpu = torch.cuda.is_available()
    if device == "cuda" and not has_gpu:
        raise EngineStartError("DEVICE is cuda, and torch finds no GPU. Set DEVICE=cpu, or see nvidia-smi.")
    place = torch.device("cuda" if has_gpu and device != "cpu" else "cpu")
    if place.type == "cpu" and dtype != "float32":
        raise EngineStartError(f"COMPUTE_DTYPE is {dtype}, and on a CPU only float32 is of use.")
    return place


def _restore(nemo: Any, torch: Any, model: str, path: Path, place: Any) -> Any:
    try:
        if path.suffix == ".nemo":
            return nemo.restore_from(str(path), map_location=place)
        return nemo.from_pretrained(model, map_location=place)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        kind = "is no model that NeMo can read" if path.suffix == ".nemo" else "is no file and no known name"
        raise EngineStartError(f"MODEL is {model}, which {kind} ({type(error).__name__}).") from error


def _check(restored: Any, model: str) -> None:
    from inference_worker.engines.nemo import mel

    encoder: Any = getattr(restored, "encoder", None)
    style = getattr(encoder, "att_context_style", None)
    wrong = None
    if getattr(restored, "decoder", None) is None or not hasattr(restored, "joint"):
        wrong = "has no RNNT decoder"
    elif style != "chunked_limited" or list(encoder.conv_context_size)[1] != 0:
        wrong = "was not trained for cache-aware streaming"
    elif encoder.self_attention_model != "rel_pos":
        wrong = f"has an attention that is not served here ({encoder.self_attention_model})"
    elif not hasattr(encoder.pre_encode, "conv") or not getattr(encoder.pre_encode, "is_causal", False):
        wrong = "has a subsampling that is not causal"
    elif not hasattr(restored.tokenizer, "tokenizer"):
        wrong = "has no BPE tokenizer"
    else:
        wrong = mel.unknown(restored.preprocessor.featurizer)
    if wrong:
        raise EngineStartError(f"The model {model} {wrong}. docs/decisions/nemo.md says what can be served.")


def _left(restored: Any, right: int, model: str) -> int:
    """How far back its attention reaches at this look-ahead."""
    known = {int(context[1]): int(context[0]) for context in restored.encoder.att_context_size_all}
    if right not in known or known[right] < 0:
        usable = ", ".join(str(one) for one in sorted(known) if known[one] >= 0)
        raise EngineStartError(
            f"ATT_RIGHT_CONTEXT is {right}, and the model {model} was trained for {usable or 'none at all'}."
        )
    return known[right]


def _prepare_decoding(restored: Any) -> None:
    from omegaconf import OmegaConf, open_dict

    decoding = OmegaConf.create(OmegaConf.to_container(restored.cfg.decoding, resolve=True))
    with open_dict(decoding):
        decoding.strategy = "greedy_batch"
        decoding.fused_batch_size = -1
        decoding.greedy = {
            "max_symbols": 10,
            "loop_labels": True,
            # Needs a driver, and cuda-python ends the process where there is none.
            "use_cuda_graph_decoder": restored.device.type == "cuda",
            "preserve_frame_confidence": True,
        }
        decoding.confidence_cfg = {
            "preserve_frame_confidence": True,
            "exclude_blank": True,
            "aggregation": "mean",
            "method_cfg": {"name": "max_prob", "alpha": 1.0},
        }
    restored.change_decoding_strategy(decoding, verbose=False)
