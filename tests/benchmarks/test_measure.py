from __future__ import annotations

import pytest

from tests.benchmarks.measure import latencies, partials_per_second, percentile
from tests.benchmarks.paced import PACKET_S, Result, Take
from tests.benchmarks.speech import Conversation, Utterance

TALK = Conversation(bytes(10 * 32000), (Utterance(1.0, 3.0), Utterance(5.0, 7.0)))
START = 100.0


def take(*results: tuple[float, bool, tuple[float, ...]]) -> Take:
    heard = [Result(START + received, final, middles, "") for received, final, middles in results]
    return Take(started=START, results=heard)


def test_the_wait_runs_from_the_last_sample_sent_to_the_last_final() -> None:
    found = latencies(take((1.8, False, (1.1,)), (3.9, True, (1.1, 2.9)), (8.0, True, (5.1,))), TALK)
    assert found.final_s == pytest.approx([3.9 - 3.0 - PACKET_S, 8.0 - 7.0 - PACKET_S])
    assert found.first_partial_s == pytest.approx([1.8 - 1.0 - PACKET_S, 8.0 - 5.0 - PACKET_S])
    assert found.lost == 0


def test_an_utterance_cut_in_two_is_complete_with_its_second_half() -> None:
    found = latencies(take((2.0, True, (1.1,)), (4.5, True, (2.9,)), (8.0, True, (6.0,))), TALK)
    assert found.final_s[0] == pytest.approx(4.5 - 3.0 - PACKET_S)


def test_one_final_for_two_utterances_is_late_for_the_first() -> None:
    found = latencies(take((8.0, True, (2.0, 6.0))), TALK)
    assert found.final_s == pytest.approx([8.0 - 3.0 - PACKET_S, 8.0 - 7.0 - PACKET_S])


def test_an_utterance_of_which_only_partials_came_is_lost() -> None:
    assert latencies(take((1.5, False, (1.1,)), (8.0, True, (6.0,))), TALK).lost == 1
    assert latencies(take(), TALK).lost == 2


def test_partials_are_counted_by_second_of_speech() -> None:
    assert (
        partials_per_second([take((2.0, False, (1.1,)), (2.5, False, (1.1,)), (4, True, (1.1,)))], TALK)
        == 0.5
    )


def test_percentiles_of_nothing_are_nothing() -> None:
    assert percentile([], 95) is None
    assert percentile([1.0, 2.0, 3.0], 50) == 2.0
