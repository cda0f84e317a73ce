"""What a worker writes of its streams, as the next one would read it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from inference_worker.engines.scripted import ScriptedEngine
from inference_worker.recording import NOBODY, Recorder
from inference_worker.tests.house import DEADLINE_S, House, end, house, opening, silence
from inference_worker.tests.logs import KEY, OF, PROJECT, TENANT, Kept, counted, full_after, written
from wire.messages import (
    Abort,
    End,
    Ended,
    Failed,
    Open,
    Opened,
    Progress,
    Refused,
    StreamOptions,
    WorkerState,
)

RIVAL = "00000009-0000-0000-0000-000000000000"


def its(stream: str = "s", *, epoch: int = 1, start: int = 0, **more: Any) -> Open:
    given = {**OF, "tags": ("night",), **more}
    return Open(stream=stream, epoch=epoch, start=start, options=StreamOptions(), **given)


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    kept = Kept(tmp_path)
    kept.log.begin()
    yield kept
    kept.close()


@asynccontextmanager
async def recorded(kept: Kept, engine: ScriptedEngine | None = None) -> AsyncIterator[House]:
    async with house(engine, recorder=Recorder(kept.log, "scripted")) as h:
        yield h


async def test_a_stream_that_ends_counts_as_long_as_the_client_says_it_was(kept: Kept) -> None:
    async with recorded(kept) as h:
        h.say(its(), *silence(1.05), End(stream="s", epoch=1, input_ms=1049))
        assert isinstance(await h.over(), Ended)
    records = written(kept.folder)
    assert counted(records) == 1049
    assert records[-1].settled
    of = records[0].of
    assert (of.tenant, of.project, of.key, of.tags) == (TENANT, PROJECT, KEY, ("night",))
    assert (of.kind, of.model, of.stream, of.epoch) == ("live", "scripted", "s", 1)


async def test_nobody_hears_of_what_is_not_written(kept: Kept) -> None:
    """At every message that a gateway gets, the file has at least as much."""
    behind = []
    async with recorded(kept) as h:
        take = h.take

        def look(gateway: str, items: list[Any]) -> None:
            told = max((item.processed for item in items if isinstance(item, Progress | Ended)), default=0)
            if counted(written(kept.folder)) < told // 16:
                behind.append(items)
            take(gateway, items)

        h.take = look  # type: ignore[method-assign]
        h.say(its(), *silence(3), End(stream="s", epoch=1, input_ms=3000))
        await h.over()
    assert not behind
    assert counted(written(kept.folder)) == 3000


async def test_a_step_of_many_streams_is_one_line(kept: Kept) -> None:
    async with recorded(kept) as h:
        for name in ("a", "b", "c"):
            h.say(its(name))
        h.say(*(item for name in ("a", "b", "c") for item in silence(0.16, name)))
        await h.until(lambda: all(h.heard(Progress, name) for name in ("a", "b", "c")))
        lines = [line for line in kept.text().splitlines() if line.startswith("P")]
        assert len(lines) < 3
        assert len(lines[0].split()) - 2 >= 2


@pytest.mark.parametrize(("heard", "counts"), [(None, 960), (8_000, 500), (0, 0), (10**9, 960)])
async def test_what_the_gateway_breaks_off_counts_as_far_as_it_had_heard(
    kept: Kept, heard: int | None, counts: int
) -> None:
    async with recorded(kept) as h:
        h.say(its(), *silence(1))
        await h.until(lambda: h.heard(Progress) and h.heard(Progress)[-1].processed >= 15_360)
        done = h.heard(Progress)[-1].processed
        h.say(Abort(stream="s", epoch=1, processed=heard))
        await h.until(lambda: not h.worker.active)
    expected = done // 16 if heard is None else min(heard, done) // 16
    assert counted(written(kept.folder)) == expected
    assert (expected == counts) or counts == 960


@pytest.mark.parametrize(("heard", "counts"), [(8_000, 500), (10**9, 1000), (None, 1000)])
async def test_a_gateway_that_breaks_off_what_has_ended_already_lowers_what_counts(
    kept: Kept, heard: int | None, counts: int
) -> None:
    async with recorded(kept) as h:
        h.say(its(), *silence(1), End(stream="s", epoch=1, input_ms=1000))
        await h.over()
        h.say(Abort(stream="s", epoch=1, processed=0), gateway="mallory")
        h.say(Abort(stream="s", epoch=2, processed=0))
        h.say(Abort(stream="s", epoch=1, processed=heard))
        h.say(Abort(stream="s", epoch=1, processed=0))  # said once
    assert counted(written(kept.folder)) == counts


async def test_a_stream_that_fails_and_one_whose_gateway_is_lost_count_as_far_as_they_were_processed(
    kept: Kept,
) -> None:
    async with recorded(kept) as h:
        h.say(its("fails"), *silence(1, "fails"))
        h.say(its("lost", tenant=RIVAL), *silence(1, "lost"), gateway="other")
        await h.until(lambda: h.heard(Progress, "fails") and h.heard(Progress, "lost", "other"))
        h.say(*silence(0.1, "fails", start=99))
        failed = await h.over("fails")
        h.worker.gateway_lost("other")
        told = h.heard(Progress, "lost", "other")[-1].processed
    assert isinstance(failed, Failed)
    records = written(kept.folder)
    assert counted(records, "fails") == failed.processed // 16
    assert counted(records, "lost") == told // 16
    assert {record.of.stream: record.of.tenant for record in records} == {"fails": TENANT, "lost": RIVAL}
    assert {record.of.stream for record in records if record.settled} == {"fails", "lost"}


async def test_a_stream_that_moves_here_begins_where_it_was(kept: Kept) -> None:
    async with recorded(kept) as h:
        h.say(its(epoch=2, start=8_000), *silence(0.5, epoch=2, start=8_000))
        h.say(End(stream="s", epoch=2, input_ms=1000))
        await h.over()
    records = written(kept.folder)
    assert records[0].from_ms == 500
    assert counted(records) == 500


async def test_a_stream_of_which_nothing_was_processed_leaves_no_record(kept: Kept) -> None:
    async with recorded(kept) as h:
        h.say(its(), Abort(stream="s", epoch=1, processed=0))
        await h.a_turn()
    assert written(kept.folder) == []


async def test_a_gateway_of_before_says_only_the_tenant(kept: Kept) -> None:
    async with recorded(kept) as h:
        h.say(opening(tenant=TENANT), *silence(1), end())
        await h.over()
    records = written(kept.folder)
    assert (records[0].of.project, records[0].of.key) == (NOBODY, NOBODY)
    assert counted(records) == 1000


@pytest.mark.parametrize("wrong", [{"tenant": "acme"}, {"tenant": ""}, {"project": "calls"}, {"key": "k"}])
async def test_a_stream_that_cannot_be_recorded_is_refused(kept: Kept, wrong: dict[str, str]) -> None:
    async with recorded(kept) as h:
        h.say(its(**wrong))
        assert await h.over() == Refused(stream="s", epoch=1, code="not_recorded")
        assert h.worker.active == 0
        h.say(its("t"))
        await h.until(lambda: h.heard(Opened, "t"))


async def test_a_full_disk_fails_the_streams_by_name_and_lets_none_in_until_it_is_over(kept: Kept) -> None:
    async with recorded(kept) as h:
        h.say(its(), *silence(1))
        h.say(its("idle"))
        await h.until(lambda: h.heard(Progress) and h.heard(Progress)[-1].processed >= 15_360)
        told = h.heard(Progress)[-1].processed
        with full_after(kept.large()):
            h.say(*silence(2, start=16_000))
            failed = await h.over()
            assert failed == Failed(stream="s", epoch=1, code="not_recorded", processed=told)
            assert isinstance(await h.over("idle"), Failed)
            assert h.worker.state is WorkerState.UNHEALTHY
            h.say(its("new"))
            assert await h.over("new") == Refused(stream="new", epoch=1, code="unhealthy")
        assert h.heard(Progress)[-1].processed == told
        kept.log.look_after()
        assert h.worker.state is WorkerState.READY
        h.say(its("next"), *silence(1, "next"), End(stream="next", epoch=1, input_ms=1000))
        assert isinstance(await h.over("next"), Ended)
    records = written(kept.folder)
    assert counted(records) == told // 16
    assert counted(records, "next") == 1000
    # Also of the one that left when there was no room to say so.
    assert {record.of.stream for record in records if record.settled} == {"s", "next"}


async def test_an_opening_that_cannot_be_written_is_refused(kept: Kept) -> None:
    async with recorded(kept) as h:
        with full_after(kept.large()):
            h.say(its())
            assert await h.over() == Refused(stream="s", epoch=1, code="not_recorded")
            assert h.worker.active == 0


async def test_open_streams_go_on_in_the_next_file(tmp_path: Path) -> None:
    kept = Kept(tmp_path, max_file_bytes=1)
    kept.log.begin()
    async with recorded(kept) as h:
        h.say(its(), *silence(1))
        await h.until(lambda: h.heard(Progress))
        kept.log.look_after()
        h.say(*silence(1, start=16_000), End(stream="s", epoch=1, input_ms=2000))
        async with asyncio.timeout(DEADLINE_S):
            await h.over()
    assert len(kept.files) == 2
    assert counted(written(kept.folder)) == 2000
    kept.close()
