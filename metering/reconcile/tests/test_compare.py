from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.intervals import size, union
from metering.reconcile.compare import (
    CLOCKS_AGREE_WITHIN,
    CREDITED,
    DOUBLE,
    LOST,
    QUIET,
    RAISED,
    REPLAYED,
    WAITING,
    WRONG_TENANT,
    Entry,
    Finding,
    Log,
    Logs,
    Record,
    Stored,
    Stream,
    compare,
    counted,
    coverage,
    of_day,
    of_strangers,
)

ACME, RIVAL, PROJECT, KEY, FILE = (UUID(int=number) for number in range(1, 6))
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
ALL_HERE = Logs({FILE: Log("worker.1", NOON + timedelta(days=1), closed=True)})


def record(start: int, end: int, epoch: int = 1, *, settled: bool = False, at: datetime = NOON) -> Record:
    return Record(
        PROJECT, KEY, epoch, start, end, settled, "live", "m", "local", "worker.1", ("a",), at, FILE
    )


def entry(start: int, end: int, *, corrects: bool = False) -> Entry:
    return Entry(start, end, start - end if corrects else end - start, NOON)


def event(start: int, end: int, *, unposted: bool = False) -> Stored:
    return Stored(start, end, "worker.1", NOON, unposted)


def stream(
    records: Sequence[Record] = (), entries: Sequence[Entry] = (), events: Sequence[Stored] | None = None
) -> Stream:
    if events is None:
        events = [event(one.from_ms, one.to_ms) for one in entries if one.ms > 0]
    return Stream(ACME, "s", tuple(records), tuple(entries), tuple(events))


def told(found: Sequence[Finding]) -> list[tuple[str, str, int, int]]:
    return [(one.kind, one.action, one.from_ms, one.to_ms) for one in found]


def test_the_same_differs_in_nothing() -> None:
    assert compare(stream([record(0, 500), record(500, 900)], [entry(0, 900)]), ALL_HERE) == []


def test_what_only_the_log_has_is_replayed_from_its_record() -> None:
    second = record(500, 900)
    (found,) = compare(stream([record(0, 500), second], [entry(0, 600)]), ALL_HERE)
    assert told([found]) == [(LOST, REPLAYED, 600, 900)]
    assert found.record == second


def test_what_only_the_ledger_has_is_credited() -> None:
    found = compare(stream([record(0, 400), record(700, 800)], [entry(0, 600), entry(600, 900)]), ALL_HERE)
    assert told(found) == [(DOUBLE, CREDITED, 400, 700), (DOUBLE, CREDITED, 800, 900)]
    assert [one.reference for one in found] == ["reconcile:s:400-700", "reconcile:s:800-900"]


def test_what_the_ledger_has_twice_is_raised_when_it_was_processed() -> None:
    found = compare(stream([record(0, 600)], [entry(0, 900), entry(300, 900)]), ALL_HERE)
    assert told(found) == [(DOUBLE, CREDITED, 600, 900), (DOUBLE, RAISED, 300, 600)]


def test_what_was_credited_is_not_credited_again() -> None:
    entries = [entry(0, 900), entry(400, 900, corrects=True)]
    assert compare(stream([record(0, 400)], entries), ALL_HERE) == []


def test_past_where_an_epoch_was_settled_nothing_counts() -> None:
    records = [record(0, 500), record(500, 900), record(700, 700, settled=True), record(650, 800, 2)]
    assert counted(records) == [(0, 800)]
    assert counted(records[:3]) == [(0, 700)]
    assert counted([*records[:3], record(600, 600, settled=True)]) == [(0, 600)]  # the least that was said


def test_an_epoch_that_is_not_settled_waits_while_its_worker_may_still_say() -> None:
    lively = Logs({FILE: Log("worker.1", NOON + QUIET - timedelta(seconds=1), closed=False)})
    assert told(compare(stream([record(0, 500)]), lively)) == [(LOST, WAITING, 0, 500)]
    settled = [record(0, 500), record(500, 500, settled=True)]
    assert told(compare(stream(settled), lively)) == [(LOST, REPLAYED, 0, 500)]
    quiet = Logs({FILE: Log("worker.1", NOON + QUIET, closed=False)})
    assert told(compare(stream([record(0, 500)]), quiet)) == [(LOST, REPLAYED, 0, 500)]


@pytest.mark.parametrize(
    "logs",
    [
        Logs({}),  # never heard of
        Logs({FILE: Log("worker.2", NOON + timedelta(days=1), closed=True)}),  # somebody else's
        Logs({FILE: Log("worker.1", NOON, closed=False)}),
        Logs({
            FILE: Log("worker.1", NOON + timedelta(days=1), closed=True),
            uuid4(): Log("worker.1", NOON, closed=False),  # an older boot's, not shipped to its end
        }),
    ],
)  # fmt: skip
def test_nothing_is_credited_while_the_log_may_still_come(logs: Logs) -> None:
    one = stream([], [entry(0, 500)])
    assert told(compare(one, logs)) == [(DOUBLE, WAITING, 0, 500)]
    # In the end what a log had not said is taken not to be; but where there was no log, nobody knows.
    action = CREDITED if logs.known(["worker.1"]) else RAISED
    assert told(compare(one, replace(logs, give_up=True))) == [(DOUBLE, action, 0, 500)]


def test_a_file_that_is_closed_says_nothing_of_what_came_after_it() -> None:
    """Its worker goes on in another, of which nothing may be here yet."""
    one = stream([], [entry(0, 500)])
    closed = {FILE: Log("worker.1", NOON - timedelta(minutes=10), closed=True)}
    assert told(compare(one, Logs(closed))) == [(DOUBLE, WAITING, 0, 500)]
    assert told(compare(one, Logs(closed, give_up=True))) == [(DOUBLE, CREDITED, 0, 500)]
    following = {**closed, uuid4(): Log("worker.1", NOON + CLOCKS_AGREE_WITHIN, closed=False)}
    assert told(compare(one, Logs(following))) == [(DOUBLE, CREDITED, 0, 500)]
    # The last one: its worker was stopped, and the gateway's clock is a little ahead.
    last = {FILE: Log("worker.1", NOON - CLOCKS_AGREE_WITHIN, closed=True)}
    assert told(compare(one, Logs(last))) == [(DOUBLE, CREDITED, 0, 500)]


def test_of_a_worker_that_keeps_a_log_no_longer_nothing_is_credited() -> None:
    """A file of long ago is still open, as its worker was killed and nobody has taken it on."""
    old = Log("worker.1", NOON - timedelta(days=9), closed=False, heard=False)
    one = stream([], [entry(0, 500)])
    assert told(compare(one, Logs({FILE: old}))) == [(DOUBLE, WAITING, 0, 500)]
    assert told(compare(one, Logs({FILE: old}, give_up=True))) == [(DOUBLE, RAISED, 0, 500)]


def test_what_a_stream_did_after_the_day_is_not_given_up_with_it() -> None:
    """It may have gone on until a moment ago: its log is seconds away."""
    file = {FILE: Log("worker.1", NOON - timedelta(hours=1), closed=False)}
    logs = Logs(file, give_up=True, until=NOON)
    credit = compare(stream([], [entry(0, 500)]), logs)
    assert told(credit) == [(DOUBLE, WAITING, 0, 500)]
    assert of_day(credit, NOON - timedelta(hours=1)) == []  # of another day's run
    assert told(compare(stream([record(0, 500)]), logs)) == [(LOST, WAITING, 0, 500)]
    before = replace(logs, until=NOON + timedelta(seconds=1))
    assert told(compare(stream([], [entry(0, 500)]), before)) == [(DOUBLE, CREDITED, 0, 500)]
    assert told(compare(stream([record(0, 500)]), before)) == [(LOST, REPLAYED, 0, 500)]


def test_a_log_that_is_here_past_the_clocks_decides() -> None:
    here = Logs({FILE: Log("worker.1", NOON + CLOCKS_AGREE_WITHIN, closed=False)})
    assert told(compare(stream([], [entry(0, 500)]), here)) == [(DOUBLE, CREDITED, 0, 500)]


def test_what_waits_to_be_posted_is_not_lost() -> None:
    assert compare(stream([record(0, 500)], [], [event(0, 500, unposted=True)]), ALL_HERE) == []


def test_what_is_stored_and_was_never_posted_is_raised() -> None:
    (found,) = compare(stream([record(0, 500)], [], [event(0, 500)]), ALL_HERE)
    assert told([found]) == [(LOST, RAISED, 0, 500)]
    assert "neither posted" in found.detail


def test_a_log_that_comes_after_the_credit_is_raised_and_never_charged_by_itself() -> None:
    entries = [entry(0, 500), entry(0, 500, corrects=True)]
    (found,) = compare(stream([record(0, 500)], entries), ALL_HERE)
    assert told([found]) == [(LOST, RAISED, 0, 500)]
    assert "credited before" in found.detail


def test_what_waits_after_the_day_is_for_the_next_run() -> None:
    lively = Logs({FILE: Log("worker.1", NOON, closed=False)})
    found = compare(stream([record(0, 500), record(500, 900, at=NOON + QUIET)]), lively)
    assert told(of_day(found, NOON + QUIET - CLOCKS_AGREE_WITHIN)) == [(LOST, WAITING, 0, 500)]
    assert of_day(found, NOON + QUIET) == found
    mended = compare(stream([record(0, 500), record(500, 900, at=NOON + QUIET)]), ALL_HERE)
    assert of_day(mended, NOON) == mended  # what can be mended is


def test_a_stream_of_two_tenants_is_raised_and_nothing_of_it_is_mended() -> None:
    mine = compare(stream([record(0, 500)]), ALL_HERE)
    others = compare(replace(stream([], [entry(0, 500)]), tenant=RIVAL), ALL_HERE)
    fine = compare(replace(stream([record(0, 300)]), name="t"), ALL_HERE)
    found = of_strangers([*mine, *others, *fine], {"s": [ACME, RIVAL]})
    assert told(found) == [
        (WRONG_TENANT, RAISED, 0, 500),
        (WRONG_TENANT, RAISED, 0, 500),
        (LOST, REPLAYED, 0, 300),
    ]
    assert str(RIVAL) in found[0].detail
    assert str(ACME) in found[1].detail


# ---- whatever the records say

edges = st.integers(0, 60)
ranges = st.tuples(edges, edges).map(sorted).filter(lambda pair: pair[0] < pair[1])
records = st.lists(
    st.builds(
        lambda pair, epoch, settled: record(
            pair[0], pair[1], epoch, settled=settled, at=NOON + timedelta(seconds=pair[1])
        ),
        ranges, st.integers(1, 3), st.booleans(),
    ),
    max_size=8,
)  # fmt: skip
# Of one stream they never overlap: see the exclusion constraint on usage events.
entries = st.lists(ranges, max_size=6).map(lambda found: [entry(*one) for one in union(found)])


def mended(one: Stream, found: Sequence[Finding]) -> Stream:
    """As the ledger takes it."""
    made, events = list(one.entries), list(one.events)
    for finding in found:
        if finding.action == REPLAYED:
            assert finding.record is not None
            events.append(event(finding.from_ms, finding.to_ms))
            made.append(entry(finding.from_ms, finding.to_ms))
        elif finding.action == CREDITED:
            made.append(entry(finding.from_ms, finding.to_ms, corrects=True))
    return replace(one, entries=tuple(made), events=tuple(events))


@given(records, entries)
def test_once_mended_the_ledger_has_what_the_log_has_and_a_second_run_finds_nothing(
    logged: list[Record], booked: list[Entry]
) -> None:
    before = stream(logged, booked)
    found = compare(before, ALL_HERE)
    after = mended(before, found)
    assert sum(one.ms for one in after.entries) == size(counted(logged))
    assert union((start, end) for start, end, times in coverage(after.entries) if times) == counted(logged)
    assert compare(after, ALL_HERE) == []
    # Each credit is made once, whatever happens in the middle of making them.
    references = [one.reference for one in found if one.action == CREDITED]
    assert len(references) == len(set(references))


@given(records, entries)
def test_what_is_replayed_was_processed_and_what_is_credited_was_charged(
    logged: list[Record], booked: list[Entry]
) -> None:
    for one in compare(stream(logged, booked), ALL_HERE):
        part = [(one.from_ms, one.to_ms)]
        charged = union((two.from_ms, two.to_ms) for two in booked)
        if one.action == REPLAYED:
            assert one.record is not None
            assert one.record.from_ms <= one.from_ms < one.to_ms <= one.record.to_ms
            assert union(counted(logged), part) == counted(logged)
        else:
            assert union(charged, part) == charged


@given(records, entries)
def test_half_a_mending_never_charges_too_much_and_the_next_run_does_the_rest(
    logged: list[Record], booked: list[Entry]
) -> None:
    before = stream(logged, booked)
    found = compare(before, ALL_HERE)
    most = max(size(counted(logged)), sum(one.ms for one in booked))
    half = mended(before, [one for one in found[: len(found) // 2] if one.action == CREDITED])
    assert sum(one.ms for one in half.entries) <= most
    assert sum(one.ms for one in mended(half, compare(half, ALL_HERE)).entries) == size(counted(logged))
