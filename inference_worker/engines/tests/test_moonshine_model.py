from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inference_worker.engines import moonshine_model
from inference_worker.engines.base import EngineStartError
from inference_worker.engines.moonshine_model import (
    MoonshineModel,
    asset_folder,
    geometric_mean,
    read_pieces,
    to_words,
    without_repeats,
)
from tests import recordings


@pytest.fixture(scope="module")
def model() -> MoonshineModel:
    return MoonshineModel()


def test_the_vocabulary_is_as_large_as_the_model_s_output() -> None:
    pieces = read_pieces(asset_folder() / "tokenizer.bin")
    assert len(pieces) == 32768
    assert pieces[:3] == [b"<unk>", b"<s>", b"</s>"]


def test_lengths_of_one_and_of_two_bytes(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.bin"
    path.write_bytes(b"\x03abc" + b"\x00" + bytes([128 + 44, 1]) + b"x" * 172)
    assert read_pieces(path) == [b"abc", b"", b"x" * 172]


def test_a_missing_wheel_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moonshine_model, "PACKAGE", "no_such_package")
    with pytest.raises(EngineStartError, match=r"install moonshine-voice==0\.0\.73"):
        asset_folder()


def test_a_broken_model_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.bin").write_bytes(b"")
    (tmp_path / "encoder_model.ort").write_bytes(b"nonsense")
    with pytest.raises(EngineStartError, match=r"encoder_model\.ort cannot be loaded"):
        MoonshineModel(tmp_path)


def test_pieces_become_words_as_certain_as_their_pieces() -> None:
    pieces = [
        "▁Hel".encode(),
        b"lo,",
        "▁w".encode(),
        "\u00f6".encode()[:1],
        "\u00f6".encode()[1:],
        b"rld",
        b".",
    ]
    words = to_words(pieces, [1.0, 0.25, 0.9, 0.9, 0.9, 0.9, 0.9])
    assert [word.text for word in words] == ["Hello,", "wörld."]
    assert [word.confidence for word in words] == [0.5, 0.9]


def test_control_tokens_and_broken_characters_are_no_text() -> None:
    assert to_words([b"<<ST_1>>", "▁".encode(), b"\xff", "▁ok".encode()], [0.9] * 4)[-1].text == "ok"
    assert len(to_words([b"<<ST_1>>", "▁".encode(), b"\xff"], [0.9] * 3)) == 0
    assert to_words([], []) == []


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("a b c d", 4),
        ("no no no no", 4),
        ("we will fight we will win we will fight", 9),
        ("a " * 30, 1),
        ("so " + "it was the " * 12, 4),
        ("x " + "left right " * 30 + "end", 3),
    ],
)
def test_a_loop_of_the_decoder_is_cut_and_speech_is_not(said: str, kept: int) -> None:
    words = said.split()
    assert without_repeats([hash(word) for word in words]) == kept


def test_the_mean_of_certainties() -> None:
    assert geometric_mean([]) == 0.0
    assert geometric_mean([0.5, 0.5]) == pytest.approx(0.5)
    assert geometric_mean([0.0, 1.0]) < 0.01


def test_it_hears_the_same_each_time(model: MoonshineModel) -> None:
    samples = recordings.samples("two_cities.wav")[: 5 * 16_000]
    first = model.hear(samples)
    assert " ".join(word.text for word in first.words).startswith("It was the best of times")
    assert model.hear(samples) == first
    assert 0.5 < first.certainty <= 1


def test_next_to_nothing_is_heard_as_next_to_nothing(model: MoonshineModel) -> None:
    for length in (0, 1, 400):
        assert len(model.hear(np.zeros(length, np.float32)).words) <= 2
