from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.recorded.captions import LINE, LINES, LONGEST_MS, SHORTEST_MS, captions, srt, vtt, wrap
from gateway.recorded.tests.saying import words
from wire.messages import Word


def test_srt_as_players_read_it() -> None:
    said = [*words("Ever tried. Ever failed.", start_ms=320), *words("No matter.", start_ms=3_723_000)]
    assert srt(said) == (
        "1\n00:00:00,320 --> 00:00:01,820\nEver tried. Ever failed.\n\n"
        "2\n01:02:03,000 --> 01:02:03,700\nNo matter.\n\n"
    )


def test_vtt_escapes_what_means_something_there() -> None:
    assert vtt(words("R&D <b>")) == "WEBVTT\n\n00:00:00.000 --> 00:00:00.700\nR&amp;D &lt;b&gt;\n\n"
    assert vtt([]) == "WEBVTT\n\n"
    assert srt([]) == ""


def test_a_caption_ends_with_its_sentence() -> None:
    said = words("It was the best of times. It was the worst of times.")
    assert [caption.lines for caption in captions(said)] == [
        ("It was the best of times.",),
        ("It was the worst of times.",),
    ]


def test_a_long_sentence_is_cut_at_a_comma() -> None:
    said = words(
        "we had everything before us and a great deal behind us, we had nothing before us at all today",
        each_ms=100,
        gap_ms=10,
    )
    assert [" ".join(caption.lines) for caption in captions(said)] == [
        "we had everything before us and a great deal behind us,",
        "we had nothing before us at all today",
    ]


def test_two_lines_are_about_equally_long() -> None:
    first, second = "it was the age of wisdom,", "it was the age of foolishness,"
    assert wrap([*first.split(), *second.split()]) == (first, second)
    assert wrap(["x" * 30] * 3) is None


def test_a_word_can_be_read_and_the_next_one_is_not_covered() -> None:
    said = [Word("Yes.", 0, 50, 1.0), Word("No.", 5000, 5050, 1.0), Word("What?", 5000 + 1100, 6200, 1.0)]
    shown = captions(said)
    assert (shown[0].start_ms, shown[0].end_ms) == (0, SHORTEST_MS)
    assert all(before.end_ms <= after.start_ms for before, after in pairwise(shown))


@given(
    st.lists(
        st.tuples(
            st.text(alphabet="abc,.?", min_size=1, max_size=60), st.integers(0, 3000), st.integers(0, 3000)
        ),
        max_size=80,
    )
)
def test_nothing_is_lost_and_everything_fits(spoken: list[tuple[str, int, int]]) -> None:
    said, at = [], 0
    for text, pause_ms, long_ms in spoken:
        said.append(Word(text, at + pause_ms, at + pause_ms + long_ms, 0.5))
        at += pause_ms + long_ms
    shown = captions(said)
    assert " ".join(" ".join(caption.lines) for caption in shown) == " ".join(word.text for word in said)
    for caption in shown:
        assert len(caption.lines) <= LINES
        assert all(len(line) <= LINE or " " not in line for line in caption.lines)
        assert caption.start_ms < caption.end_ms
        assert caption.end_ms - caption.start_ms <= LONGEST_MS
    assert all(before.start_ms <= after.start_ms for before, after in pairwise(shown))
