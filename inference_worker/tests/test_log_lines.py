from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference_worker import log_lines
from inference_worker.log_lines import Described, Head, LineError, Reader, Record

AT = 1_795_305_600.123
TENANT, PROJECT, KEY = (f"0000000{n}-0000-0000-0000-000000000000" for n in (1, 2, 3))
HEAD = log_lines.head(Head("f" * 32, "gpu-1", "eu", log_lines.moment(AT)))


def of(stream: str = "s", epoch: int = 1) -> Described:
    return Described(stream, epoch, TENANT, PROJECT, KEY, "live", "m", ("night",))


def opened(number: int = 1, stream: str = "s", from_ms: int = 0, *, again: bool = False) -> str:
    return log_lines.opened(AT, number, of(stream), from_ms, again=again)


def step(*processed: tuple[int, int], left: tuple[tuple[int, int], ...] = ()) -> str:
    return log_lines.step(AT + 1, processed, left)


MARK = log_lines.mark(AT + 2)


def read(*lines: str) -> list[tuple[str, int, int, bool]]:
    reader = Reader()
    records = reader.feed((HEAD + "".join(lines)).encode()) + reader.finish()
    assert [record.seq for record in records] == list(range(1, len(records) + 1))
    return [(record.of.stream, record.from_ms, record.to_ms, record.settled) for record in records]


def test_what_lies_between_two_marks_is_one_record_a_stream() -> None:
    lines = [opened(1), opened(2, "t"), step((1, 160), (2, 80)), step((1, 320)), MARK, step((1, 480))]
    assert read(*lines) == [("s", 0, 320, False), ("t", 0, 80, False), ("s", 320, 480, False)]


def test_a_record_says_all_that_the_database_wants() -> None:
    reader = Reader()
    [record] = reader.feed((HEAD + opened() + step((1, 160)) + MARK).encode())
    assert json.loads(json.dumps(record.as_dict())) == {
        "seq": 1,
        "stream": "s",
        "epoch": 1,
        "tenant": TENANT,
        "project": PROJECT,
        "key": KEY,
        "kind": "live",
        "model": "m",
        "tags": ["night"],
        "from_ms": 0,
        "to_ms": 160,
        "settled": False,
        "processed_at": "2026-11-22T00:00:01.123Z",
    }
    assert reader.head == Head("f" * 32, "gpu-1", "eu", "2026-11-22T00:00:00.123Z")


def test_a_person_can_read_it() -> None:
    assert step((7, 960), (8, 1120), left=((9, 5),)) == (
        "P 2026-11-22T00:00:01.123Z 7=960 8=1120\nC 2026-11-22T00:00:01.123Z 9=5\n"
    )


@pytest.mark.parametrize(
    ("lines", "records"),
    [
        ([step((1, 160), left=()), step(left=((1, 165),))], [(0, 165, True)]),  # ended
        ([step((1, 160)), MARK, step(left=((1, 165),))], [(0, 160, False), (160, 165, True)]),
        ([step((1, 160)), MARK, step(left=((1, 160),))], [(0, 160, False), (160, 160, True)]),
        ([step((1, 160)), MARK, step(left=((1, 100),))], [(0, 160, False), (100, 100, True)]),
        ([step((1, 160)), step(left=((1, 100),))], [(0, 100, True)]),  # broken off before it was shipped
        ([step(left=((1, 0),))], []),  # nothing was processed
        ([], []),
    ],
)
def test_how_much_of_a_stream_counts_is_said_as_it_leaves(
    lines: list[str], records: list[tuple[int, int, bool]]
) -> None:
    assert read(opened(), *lines) == [("s", *record) for record in records]


def test_a_stream_that_had_left_may_count_less_afterwards() -> None:
    again = log_lines.settled_again(AT + 3, of(), 100)
    lines = [opened(), step((1, 160)), step(left=((1, 165),)), MARK, again]
    assert read(*lines) == [("s", 0, 165, True), ("s", 100, 100, True)]


def test_a_stream_that_is_in_a_file_before_this_one_goes_on() -> None:
    assert read(opened(from_ms=500, again=True), step((1, 600))) == [("s", 500, 600, False)]
    assert read(opened(from_ms=500, again=True), step(left=((1, 400),))) == [("s", 400, 400, True)]
    assert read(opened(from_ms=500, again=True), step(left=((1, 500),))) == [("s", 500, 500, True)]


def test_a_torn_last_line_counts_for_nothing() -> None:
    whole = HEAD + opened() + step((1, 160))
    assert read(opened(), step((1, 160)), step((1, 320))[:-1]) == [("s", 0, 160, False)]
    reader = Reader()
    assert reader.feed(whole[:-1].encode()) + reader.finish() == []


@pytest.mark.parametrize(
    "line",
    ["P", "P yesterday 1=2", "P 2026-11-22T00:00:01.123Z 9=1", "X 2026-11-22T00:00:01.123Z", "\x00" * 9],
)
def test_a_line_that_cannot_be_read_is_passed_over_and_counted(line: str) -> None:
    reader = Reader()
    text = HEAD + opened() + step((1, 160)) + line + "\n" + step((1, 320)) + MARK
    assert [(record.from_ms, record.to_ms) for record in reader.feed(text.encode())] == [(0, 320)]
    assert reader.unreadable == 1


def test_a_line_without_an_end_does_not_fill_the_memory() -> None:
    reader = Reader()
    reader.feed(HEAD.encode())
    reader.feed(bytes(log_lines.MAX_LINE_BYTES + 1))
    assert reader.unreadable == 1
    assert len(reader.feed((opened() + step((1, 160)) + MARK).encode())) == 1


@pytest.mark.parametrize(
    "head",
    [
        "", "L 2 {}", "L 1 {}", "\x00\x00", "P 2026",
        log_lines.head(Head("not-a-uuid", "gpu-1", "eu", log_lines.moment(AT))).strip(),
        log_lines.head(Head("f" * 32, "gpu-1", "eu", "yesterday")).strip(),
    ],
)  # fmt: skip
def test_what_is_no_inference_log_is_refused(head: str) -> None:
    with pytest.raises(LineError):
        Reader().feed(f"{head}\n".encode())


@given(
    st.lists(st.one_of(st.just("mark"), st.tuples(st.integers(1, 3), st.integers(1, 400))), max_size=30),
    st.lists(st.integers(0, 4000), max_size=6),
)
@settings(max_examples=200, deadline=None)
def test_however_it_is_read_each_record_has_the_number_that_it_had(
    steps: list[object], cuts: list[int]
) -> None:
    at = dict.fromkeys((1, 2, 3), 0)
    text = HEAD + "".join(opened(number, f"s{number}") for number in at)
    for one in steps:
        if isinstance(one, tuple):
            at[one[0]] += one[1]
            text += step((one[0], at[one[0]]))
        else:
            text += MARK
    data = text.encode()
    borders = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    reader, records = Reader(), list[Record]()
    for start, end in pairwise(borders):
        records += reader.feed(data[start:end])
    records += reader.finish()
    whole = Reader()
    assert records == whole.feed(data) + whole.finish()
    for number, to_ms in at.items():
        ranges = [(record.from_ms, record.to_ms) for record in records if record.of.stream == f"s{number}"]
        assert [start for start, _ in ranges] == [0, *(end for _, end in ranges)][: len(ranges)]
        assert sum(end - start for start, end in ranges) == to_ms
