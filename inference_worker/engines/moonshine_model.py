"""Moonshine's tiny English model, run with onnxruntime from the files in the `moonshine-voice` wheel.

An utterance is decoded alone, never in a batch with others: the model's int8 layers scale their input by the
largest value in the batch, so one customer's audio would change, however slightly, what another is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime  # type: ignore[import-untyped]
from numpy.typing import NDArray

from inference_worker.engines.base import EngineStartError, Samples
from wire.messages import SAMPLE_RATE

PACKAGE, FOLDER = "moonshine_voice", "assets/tiny-en"
LAYERS, HEADS, HEAD_SIZE = 6, 8, 36
BEGIN, END = 1, 2
TOKENS_PER_SECOND, TOKENS_MORE = 6.5, 6
LONGEST_PHRASE, MOST_REPEATS = 10, 4
WORD_MARK = "▁".encode()
# Audio that ends abruptly loses its last word, so some silence follows it.
SILENCE_AFTER = SAMPLE_RATE // 2
# How much silence comes before changes what a short utterance with no context is taken for: "fail" or "fell".
# So one that the model is unsure of is heard again, and the surest hearing counts.
SILENCES_BEFORE = tuple(SAMPLE_RATE * ms // 1000 for ms in (400, 200, 0))
SURE, LIKELY, SHORT = 0.8, 0.6, 4 * SAMPLE_RATE


@dataclass(frozen=True)
class HeardWord:
    text: str
    confidence: float


@dataclass(frozen=True)
class Hearing:
    words: tuple[HeardWord, ...]
    certainty: float  # geometric mean over the tokens
    tokens: tuple[int, ...]


def asset_folder() -> Path:
    """Found without importing the package, which would pull in microphones and loudspeakers."""
    spec = find_spec(PACKAGE)
    for location in (spec.submodule_search_locations or []) if spec else []:
        if (Path(location) / FOLDER / "tokenizer.bin").is_file():
            return Path(location) / FOLDER
    raise EngineStartError(
        f"the model is missing: install moonshine-voice==0.0.73, which carries {FOLDER}, or set ENGINE"
    )


def read_pieces(path: Path) -> list[bytes]:
    """The vocabulary: pieces of text, each with its length before it; 0 in length for the unused.

    Lengths from 128 on take two bytes, the low seven bits first.
    """
    data, pieces, at = path.read_bytes(), [], 0
    while at < len(data):
        length, at = data[at], at + 1
        if length >= 128:
            length, at = length - 128 + data[at] * 128, at + 1
        pieces.append(data[at : at + length])
        at += length
    return pieces


@dataclass(frozen=True)
class Context:
    """What was said right before: the audio, and the tokens it was heard as."""

    samples: Samples
    tokens: tuple[int, ...]


NOTHING = Context(np.zeros(0, np.float32), ())


def _plausibility(hearing: Hearing) -> tuple[bool, float]:
    return bool(hearing.words), hearing.certainty


class MoonshineModel:
    """Thread-safe: `hear` may run in several threads, on `threads` threads each."""

    def __init__(self, folder: Path | None = None, threads: int = 1) -> None:
        folder = folder or asset_folder()
        self._pieces = read_pieces(folder / "tokenizer.bin")
        self._encoder = _session(folder / "encoder_model.ort", threads)
        self._decoder = _session(folder / "decoder_model_merged.ort", threads)
        self._first_outputs = [output.name for output in self._decoder.get_outputs()]
        # What the encoder contributes to attention stays as the first pass computed it.
        self._next_outputs = ["logits", *(name for name in self._first_outputs if ".decoder." in name)]

    def hear(self, samples: Samples, *, carefully: bool = False, context: Context = NOTHING) -> Hearing:
        """What is said in `samples`, which follow the `context` without a gap.

        The model was trained on whole sentences: a few words mean more to it after those before them.
        """
        best = self._hear(samples, SILENCES_BEFORE[0], context)
        if context is not NOTHING:
            if best.words and best.certainty >= LIKELY:
                return best
            # What was said before can mislead as well as lead.
            best = max(best, self._hear(samples, SILENCES_BEFORE[0], NOTHING), key=_plausibility)
        if carefully and len(samples) <= SHORT:
            for before in SILENCES_BEFORE[1:]:
                if best.certainty >= SURE:
                    break
                best = max(best, self._hear(samples, before, NOTHING), key=_plausibility)
        return best

    def _hear(self, samples: Samples, silence_before: int, context: Context) -> Hearing:
        audio = np.pad(np.concatenate([context.samples, samples]), (silence_before, SILENCE_AFTER))
        most = int(len(samples) / SAMPLE_RATE * TOKENS_PER_SECOND) + TOKENS_MORE
        tokens, probabilities = self._decode(audio, context.tokens, most)
        keep = without_repeats(tokens)
        words = to_words([self._pieces[token] for token in tokens[:keep]], probabilities[:keep])
        return Hearing(tuple(words), geometric_mean(probabilities), tuple(tokens[:keep]))

    def _decode(self, samples: Samples, said: tuple[int, ...], most: int) -> tuple[list[int], list[float]]:
        """Greedy: after what was `said`, the likeliest token until the end, at most `most`."""
        mask = np.ones((1, len(samples)), np.int64)
        (states,) = self._encoder.run(None, {"input_values": samples[None], "attention_mask": mask})
        nothing = np.zeros((1, HEADS, 0, HEAD_SIZE), np.float32)
        inputs: dict[str, NDArray[np.generic]] = {
            f"past_key_values.{layer}.{side}.{kind}": nothing
            for layer in range(LAYERS)
            for side in ("decoder", "encoder")
            for kind in ("key", "value")
        }
        # The decoder thins this mask to its own frames, so it has the length of the audio.
        inputs |= {"encoder_hidden_states": states, "encoder_attention_mask": mask}
        names, follow = self._first_outputs, [BEGIN, *said]
        tokens: list[int] = []
        probabilities: list[float] = []
        for _ in range(most):
            inputs["input_ids"] = np.array([follow], np.int64)
            inputs["use_cache_branch"] = np.array([bool(tokens)])
            logits, *present = self._decoder.run(names, inputs)
            for name, value in zip(names[1:], present, strict=True):
                inputs[name.replace("present", "past_key_values")] = value
            scores = logits[0, -1]
            token = int(scores.argmax())
            if token == END:
                break
            tokens.append(token)
            probabilities.append(float(1 / np.exp(scores - scores[token]).sum()))
            names, follow = self._next_outputs, [token]
        return tokens, probabilities


def _session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Threads that wait do not burn the cores that other streams need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises what its bindings happen to raise
        raise EngineStartError(f"{path.name} cannot be loaded: {type(error).__name__}") from None


def without_repeats(tokens: list[int]) -> int:
    """How many tokens to keep: a phrase that comes over and over again is the decoder's fault, not speech."""
    for length in range(1, LONGEST_PHRASE + 1):
        # A single word may well be said four times; ten times is a loop.
        most = MOST_REPEATS if length > 2 else 2 * MOST_REPEATS
        repeats = 1
        for at in range(length, len(tokens) - length + 1, 1):
            if tokens[at : at + length] == tokens[at - length : at]:
                repeats += 1
                if repeats > most * length:
                    return at - repeats + 2
            else:
                repeats = 1
    return len(tokens)


def to_words(pieces: list[bytes], probabilities: list[float]) -> list[HeardWord]:
    """Pieces put together; a word is as certain as the geometric mean of its pieces."""
    words: list[tuple[bytes, list[float]]] = []
    for piece, probability in zip(pieces, probabilities, strict=True):
        if piece.startswith(b"<") and piece.endswith(b">") and len(piece) > 2:
            continue  # a control token, not text
        if piece.startswith(WORD_MARK) or not words:
            words.append((b"", []))
        spelled, certainties = words[-1]
        words[-1] = (spelled + piece, [*certainties, probability])
    heard = []
    for raw, certainties in words:
        text = raw.replace(WORD_MARK, b"").decode("utf-8", "ignore").strip()
        if text:
            heard.append(HeardWord(text, round(geometric_mean(certainties), 4)))
    return heard


def geometric_mean(probabilities: Sequence[float]) -> float:
    if not probabilities:
        return 0.0
    return float(np.exp(np.mean(np.log(np.maximum(probabilities, 1e-6)))))
