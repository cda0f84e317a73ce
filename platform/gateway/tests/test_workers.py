from __future__ import annotations

import math
import random
from collections import Counter

from gateway.link import HOUSEKEEPING_S
from gateway.ramp import Pace
from gateway.workers import SILENT_AFTER_S, Pool, speaks
from inference_worker.transport import BEAT_S
from wire.messages import Heartbeat, StreamOptions, WorkerState

EN = StreamOptions(language="en")


def heartbeat(
    name: str,
    *,
    active: int = 0,
    late_ms: float = 0,
    recorded_room: int | None = None,
    capacity: int = 10,
    state: WorkerState = WorkerState.READY,
    language: str = "en",
) -> Heartbeat:
    return Heartbeat(
        worker=name,
        address=name,
        region="local",
        state=state,
        engine="scripted",
        model="m",
        languages=(language,),
        capacity=capacity,
        active=active,
        recorded_room=recorded_room,
        queue_p95_ms=late_ms,
    )


def pool(*heartbeats: Heartbeat, pace: Pace | None = None) -> Pool:
    made = Pool(random=random.Random(7), pace=pace or Pace())
    for one in heartbeats:
        made.hear(one, now=0.0)
    return made


def test_an_empty_pool_has_nobody() -> None:
    assert pool().choose(EN) is None


def test_only_ready_workers_with_room_that_speak_the_language_are_chosen() -> None:
    p = pool(
        heartbeat("full", active=10),
        heartbeat("draining", state=WorkerState.DRAINING),
        heartbeat("sick", state=WorkerState.UNHEALTHY),
        heartbeat("french", language="fr"),
        heartbeat("good"),
    )
    assert {p.choose(EN).worker for _ in range(10)} == {"good"}  # type: ignore[union-attr]


def test_recorded_audio_goes_where_room_is_left_for_it() -> None:
    file = StreamOptions(language="en", recorded=True)
    p = pool(
        heartbeat("a", recorded_room=0), heartbeat("b", active=9, recorded_room=1), heartbeat("c", active=10)
    )
    chosen = p.choose(file)
    assert chosen is not None
    assert chosen.worker == "b"
    assert p.choose(file) is None  # until the next heartbeat
    live = p.choose(EN)
    assert live is not None
    assert live.worker == "a"


def test_reservations_count_until_the_next_heartbeat_so_two_streams_do_not_share_the_last_slot() -> None:
    p = pool(heartbeat("a", active=9))
    assert p.choose(EN) is not None
    assert p.choose(EN) is None
    p.hear(heartbeat("a", active=9), now=0.2)
    assert p.choose(EN) is not None


def test_the_less_loaded_of_two_gets_more() -> None:
    p = pool(heartbeat("busy", active=600, capacity=1000), heartbeat("idle", capacity=1000))
    chosen = Counter(p.choose(EN).worker for _ in range(300))  # type: ignore[union-attr]
    assert chosen == {"idle": 300}


def test_one_that_refused_is_not_asked_again() -> None:
    p = pool(heartbeat("a"), heartbeat("b"))
    assert p.choose(EN, frozenset({"a"})).worker == "b"  # type: ignore[union-attr]
    assert p.choose(EN, frozenset({"a", "b"})) is None


def test_whether_there_is_room_without_taking_it() -> None:
    p = pool(heartbeat("a", active=9), heartbeat("late", state=WorkerState.DRAINING))
    for _ in range(3):
        assert p.has_room(EN)
    assert not p.has_room(EN, frozenset({"a"}))
    assert not p.has_room(StreamOptions(language="fr"))
    assert p.choose(EN) is not None
    assert not p.has_room(EN)


def test_a_worker_is_found_to_be_silent_within_a_second() -> None:
    assert 3 * BEAT_S < SILENT_AFTER_S
    assert SILENT_AFTER_S + HOUSEKEEPING_S <= 1.0


def test_a_silent_worker_is_forgotten_once() -> None:
    p = pool(heartbeat("a"))
    p.hear(heartbeat("b"), now=SILENT_AFTER_S)
    assert p.silent(SILENT_AFTER_S + 0.1) == ["a"]
    assert p.silent(SILENT_AFTER_S + 0.1) == []
    assert [h.worker for h in p.all()] == ["b"]


def test_a_stopped_worker_is_gone() -> None:
    p = pool(heartbeat("a"))
    p.hear(heartbeat("a", state=WorkerState.STOPPED), now=0.1)
    assert p.all() == []


def test_languages() -> None:
    assert speaks(heartbeat("a"), "en-GB")
    assert speaks(heartbeat("a"), "")
    assert speaks(heartbeat("a"), "EN")
    assert not speaks(heartbeat("a"), "french")
    assert not speaks(heartbeat("a"), "eng")


def test_a_named_model_is_served_by_no_other() -> None:
    p = pool(heartbeat("a"))
    assert p.choose(StreamOptions(model="m")) is not None
    assert p.choose(StreamOptions(model="")) is not None
    assert p.choose(StreamOptions(model="another")) is None


def test_a_worker_that_is_late_is_spared_while_another_has_room() -> None:
    p = pool(heartbeat("late", active=1, late_ms=300), heartbeat("busy", active=8), pace=Pace(budget_ms=200))
    chosen = [p.choose(EN).worker for _ in range(9)]  # type: ignore[union-attr]
    assert chosen == ["busy"] * 2 + ["late"] * 7  # for a stream that must go somewhere, late is better


def test_turns_are_taken_where_they_are_left() -> None:
    p = pool(heartbeat("full", active=80, capacity=100), heartbeat("cold", capacity=100), pace=Pace(10))
    chosen = Counter(p.choose(EN).worker for _ in range(20))  # type: ignore[union-attr]
    assert chosen == {"cold": 10, "full": 10}
    assert Counter(p.choose(EN).worker for _ in range(5)) == {"cold": 5}  # type: ignore[union-attr]  # owed


def test_how_long_a_new_stream_waits() -> None:
    p = pool(heartbeat("a", capacity=100), heartbeat("b", capacity=100), pace=Pace(10, 200))
    assert p.opening_rate() == 20
    assert p.wait_s(EN, 20) == 0
    assert p.wait_s(EN, 40) == 1
    assert p.wait_s(StreamOptions(language="fr"), 40) == 0  # nobody to wait for
    p.hear(heartbeat("b", active=1, capacity=100, late_ms=201), 0.0)
    assert p.wait_s(EN, 30) > 1
    p.hear(heartbeat("a", active=1, capacity=100, late_ms=201), 0.0)
    assert p.wait_s(EN, 1) == math.inf


def test_what_other_gateways_open_takes_turns_too() -> None:
    p = pool(heartbeat("a", capacity=100), pace=Pace(10))
    assert p.choose(EN) is not None
    p.hear(heartbeat("a", active=6, capacity=100), 0.0)  # ours and five of others
    assert p.wait_s(EN, 4) == 0
    assert p.wait_s(EN, 5) == 0.1


def test_recordings_take_no_turns() -> None:
    p = pool(heartbeat("a", capacity=100), pace=Pace(10))
    for _ in range(50):
        assert p.choose(StreamOptions(recorded=True)) is not None
    assert p.wait_s(EN, 10) == 0
