"""Every model that cannot be served is refused with what is wrong and what to do."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from inference_worker.engines.base import EngineStartError
from inference_worker.engines.nemo import loading
from inference_worker.engines.nemo.loading import TINY, load
from inference_worker.engines.nemo.tests import tiny
from inference_worker.tools.tiny import model as recipe


def refusal(model: object, right: int = 1, dtype: str = "float32", device: str = "cpu") -> str:
    with pytest.raises(EngineStartError) as raised:
        load(str(model), right, dtype, device)
    return str(raised.value)


def test_the_tiny_model_is_small_enough_to_be_committed() -> None:
    assert TINY.stat().st_size <= 8_000_000
    parameters = sum(part.numel() for part in tiny.loaded().model.parameters())
    assert 1_000_000 <= parameters <= 4_000_000


def test_a_file_that_is_not_there() -> None:
    assert refusal("/nowhere/x.nemo") == "MODEL is /nowhere/x.nemo, and there is no such file."


@pytest.mark.parametrize("content", [b"", b"not a model" * 100])
def test_a_file_that_is_no_model(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.nemo"
    path.write_bytes(content)
    assert f"MODEL is {path}, which is no model that NeMo can read" in refusal(path)


def test_an_archive_without_a_model(tmp_path: Path) -> None:
    (tmp_path / "readme").write_text("nothing")
    with tarfile.open(tmp_path / "x.nemo", "w") as file:
        file.add(tmp_path / "readme", "readme")
    assert "is no model that NeMo can read" in refusal(tmp_path / "x.nemo")


def test_a_name_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "which is no file and no known name" in refusal("nobody/knows-this")


@pytest.mark.parametrize("right", [2, 7, 100])
def test_a_context_that_it_was_not_trained_for(right: int) -> None:
    said = refusal(TINY, right)
    assert f"ATT_RIGHT_CONTEXT is {right}" in said
    assert said.endswith("was trained for 0, 1, 6, 13.")


def test_a_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "torch finds no GPU" in refusal(TINY, device="cuda")


def test_a_number_format_that_a_cpu_is_slow_in() -> None:
    assert "COMPUTE_DTYPE is bfloat16, and on a CPU only float32 is of use" in refusal(TINY, dtype="bfloat16")


@pytest.mark.filterwarnings("ignore")  # NeMo's own, while it builds one
def test_a_model_that_was_not_trained_for_streaming(tmp_path: Path) -> None:
    recipe.make_tokenizer(tmp_path / "tokenizer", ["one two three four five six seven eight nine"] * 20, 32)
    settings = recipe.config(tmp_path / "tokenizer")
    settings.encoder.update(
        n_layers=1, att_context_style="regular", att_context_size=[-1, -1], causal_downsampling=False,
        conv_context_size=None, att_context_probs=None,
    )  # fmt: skip
    from nemo.collections.asr.models import EncDecRNNTBPEModel

    EncDecRNNTBPEModel(cfg=settings).save_to(str(tmp_path / "offline.nemo"))
    said = refusal(tmp_path / "offline.nemo")
    assert "was not trained for cache-aware streaming" in said
    assert "docs/decisions/nemo.md" in said


def without_decoder(model: Any) -> None:
    model.decoder = None


def with_another_attention(model: Any) -> None:
    model.encoder.self_attention_model = "abs_pos"


def with_features_of_the_whole(model: Any) -> None:
    model.preprocessor = SimpleNamespace(featurizer=SimpleNamespace(normalize="per_feature"))


def with_characters(model: Any) -> None:
    model.tokenizer = object()


def with_another_subsampling(model: Any) -> None:
    model.encoder.pre_encode = object()


@pytest.mark.parametrize(
    ("change", "because"),
    [
        (without_decoder, "has no RNNT decoder"),
        (with_another_attention, "has an attention that is not served here (abs_pos)"),
        (with_another_subsampling, "has a subsampling that is not causal"),
        (with_characters, "has no BPE tokenizer"),
        (with_features_of_the_whole, "normalises its features over the utterance (per_feature)"),
    ],
)
def test_a_model_of_another_make(change: Callable[[Any], None], because: str) -> None:
    real = tiny.loaded().model
    encoder = SimpleNamespace(
        **{name: getattr(real.encoder, name) for name in
           ("att_context_style", "conv_context_size", "self_attention_model", "pre_encode")}
    )  # fmt: skip
    parts = ("decoder", "joint", "tokenizer", "preprocessor")
    model = SimpleNamespace(encoder=encoder, **{name: getattr(real, name) for name in parts})
    loading._check(model, "x")
    change(model)
    with pytest.raises(EngineStartError, match="The model x") as raised:
        loading._check(model, "x")
    assert because in str(raised.value)


def test_in_half_of_fp32_the_features_are_computed_as_before() -> None:
    nemo, _ = loading._libraries()
    model = nemo.restore_from(str(TINY), map_location="cpu")
    before = model.preprocessor.featurizer.fb.clone()
    loading.prepare(model, "x", 1, "bfloat16", torch.device("cpu"))
    assert model.encoder.layers[0].norm_out.weight.dtype is torch.bfloat16
    assert torch.equal(model.preprocessor.featurizer.fb, before)


def test_a_model_that_the_device_has_no_memory_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.nn.Module, "to", tiny.out_of_memory)
    assert refusal(TINY) == f"The model {TINY} does not fit into the memory of cpu."


def test_without_nemo_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "nemo.collections.asr.models", None)
    said = refusal(TINY)
    assert "needs nemo_toolkit, which is not installed here" in said
    assert "python3 -m ops.local.install nemo" in said
