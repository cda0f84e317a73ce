from __future__ import annotations

import random

from inference_worker.tools.tiny import texts


def test_training_and_test_share_no_text() -> None:
    training, test = set(texts.texts(1, 3000, test=False)), texts.texts(2, 500, test=True)
    assert not training & set(test)
    assert len(set(test)) == len(test)


def test_the_same_seed_gives_the_same_texts() -> None:
    assert texts.texts(3, 50, test=False) == texts.texts(3, 50, test=False) != texts.texts(4, 50, test=False)


def test_the_domain_is_small() -> None:
    words = set(" ".join(texts.text(random.Random(seed)) for seed in range(20_000)).split())
    assert 150 < len(words) < 250
    assert all(word.replace("'", "").isalpha() and word == word.lower() for word in words)
