"""Files of inference logs into a real PostgreSQL, under a role that may do nothing else."""

from __future__ import annotations

import errno
import os
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import psycopg
import pytest
from django.db import connection
from structlog.testing import capture_logs

from inference_worker import log_lines, shipping
from inference_worker.log_files import UNREADABLE, LogFile
from inference_worker.log_lines import Described
from inference_worker.shipping import Shipper
from inference_worker.telemetry import Telemetry
from inference_worker.tests.logs import AT, Base, Kept, Writes

ROLE = "its_worker"
PASSWORD = "only-for-tests"
# As docs/operations.md has it.
MAKE_ROLE = (
    f"CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'",
    f"GRANT USAGE ON SCHEMA public TO {ROLE}",
    "GRANT EXECUTE ON FUNCTION metering_ship(uuid, text, text, timestamptz, boolean, jsonb) TO " + ROLE,
)


@pytest.fixture
def base(transactional_db: None) -> Iterator[Base]:
    given = connection.settings_dict
    place = f"{given['HOST']}:{given['PORT']}/{given['NAME']}"

    def url(user: str, password: str) -> str:
        return f"postgresql://{quote(user)}:{quote(password)}@{place}"

    owner = url(given["USER"], given["PASSWORD"])
    with psycopg.connect(owner, autocommit=True) as making:
        for statement in MAKE_ROLE:
            making.execute(statement)
    yield Base(url(ROLE, PASSWORD), owner)
    with psycopg.connect(owner, autocommit=True) as making:
        making.execute(f"GRANT {ROLE} TO CURRENT_USER")
        making.execute(f"DROP OWNED BY {ROLE}")
        making.execute(f"DROP ROLE {ROLE}")


@pytest.fixture
def writes(tmp_path: Path, acme: Any) -> Writes:
    return Writes(tmp_path, str(acme.tenant.id))


@pytest.fixture
def shipper(base: Base, tmp_path: Path) -> Iterator[Shipper]:
    shipper = Shipper(base.url, tmp_path, Telemetry())
    yield shipper
    shipper._disconnect()


def ship(shipper: Shipper, *, again: bool = False) -> bool:
    """One turn of its thread; it looks for files of others the first time, and `again`. False: it failed."""
    if again:
        shipper._look_at = 0.0
    shipper._take_new()
    now = shipper._look_at - 1 if shipper._look_at else 0.0
    return shipper._round(now) == 0.0


def next_worker(base: Base, folder: Path) -> None:
    shipper = Shipper(base.url, folder, Telemetry())
    assert ship(shipper)
    shipper._disconnect()


def rejected(shipper: Shipper) -> float:
    return float(shipper._telemetry.log_rejected._value.get())  # type: ignore[attr-defined]


def test_what_a_dead_worker_left_is_shipped_and_its_file_is_gone(
    base: Base, shipper: Shipper, writes: Writes, tmp_path: Path
) -> None:
    writes.opened(1, "s")
    writes.opened(2, "t")
    writes.step((1, 160), (2, 80))
    writes.mark()
    writes.step((1, 320))
    writes.dies()
    assert ship(shipper)
    assert base.records() == [(1, "s", 0, 160, False), (2, "t", 0, 80, False), (3, "s", 160, 320, False)]
    assert base.logs() == [("gpu-1", "eu", 3, True)]
    assert list(tmp_path.iterdir()) == []
    assert (shipper.unshipped_bytes(), shipper.behind_s()) == (0, 0)
    [row] = base.rows(
        "SELECT tenant_id::text, kind, model, tags, processed_at::text FROM metering_inferencerecord LIMIT 1"
    )
    assert row[:4] == (writes.tenant, "live", "m", ["night"])


def test_the_role_may_do_nothing_else(base: Base) -> None:
    with psycopg.connect(base.url) as asking, pytest.raises(psycopg.errors.InsufficientPrivilege):
        asking.execute("SELECT * FROM metering_inferencerecord")
    with psycopg.connect(base.url) as asking, pytest.raises(psycopg.errors.InsufficientPrivilege):
        asking.execute("INSERT INTO metering_inferencelog (log) VALUES (gen_random_uuid())")


def test_a_file_that_was_shipped_in_part_is_shipped_to_its_end_once(
    base: Base, writes: Writes, tmp_path: Path
) -> None:
    """One dies in the middle, and the next begins at the top of the file."""
    writes.opened(1, "s")
    for step in range(1, 6):
        writes.step((1, 100 * step))
        writes.mark()
    data = writes.file.path.read_bytes()
    writes.dies()
    dies = Shipper(base.url, tmp_path, Telemetry())
    call, calls = dies._call, []

    def until_the_third(*given: Any, **more: Any) -> int:
        calls.append(given)
        if len(calls) == 4:
            raise psycopg.OperationalError
        return call(*given, **more)

    dies._call = until_the_third  # type: ignore[method-assign]
    saved, shipping.MAX_RECORDS = shipping.MAX_RECORDS, 1
    try:
        assert not ship(dies)
    finally:
        shipping.MAX_RECORDS = saved
    assert len(base.records()) == 2
    dies._files[0].file.close()
    assert writes.file.path.read_bytes() == data
    next_worker(base, tmp_path)
    assert [row[2:4] for row in base.records()] == [(at, at + 100) for at in range(0, 500, 100)]
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_shipped_and_not_removed_changes_nothing(
    base: Base, writes: Writes, tmp_path: Path
) -> None:
    writes.opened(1, "s")
    writes.step((1, 100))
    copy = writes.file.path.read_bytes()
    writes.dies()
    next_worker(base, tmp_path)
    writes.file.path.write_bytes(copy)
    next_worker(base, tmp_path)
    assert len(base.records()) == 1
    assert list(tmp_path.iterdir()) == []


def test_the_file_of_a_worker_that_lives_is_left_alone(base: Base, shipper: Shipper, writes: Writes) -> None:
    writes.opened(1, "s")
    writes.step((1, 100))
    assert ship(shipper)
    assert base.logs() == []
    writes.dies()
    assert ship(shipper)  # it does not look again so soon
    assert base.logs() == []
    assert ship(shipper, again=True)
    assert base.logs() == [("gpu-1", "eu", 1, True)]


def test_its_own_file_is_shipped_as_it_grows_and_told_of_when_nothing_happens(
    base: Base, shipper: Shipper, tmp_path: Path, acme: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipping, "TELLS_EVERY_S", 0.0)
    kept = Kept(tmp_path, now=AT)
    kept.log._ship = shipper.take
    kept.log.begin()
    of = Described("s", 1, str(acme.tenant.id), str(uuid.UUID(int=2)), str(uuid.UUID(int=3)), "live", "m")
    kept.log.append(AT, log_lines.opened(AT, 1, of, 0))
    kept.log.append(AT, log_lines.step(AT, [(1, 100)]))
    assert ship(shipper)
    assert base.records() == []  # no mark yet
    for seconds in (2, 600):
        kept.now = AT + seconds
        kept.log.look_after()
        assert ship(shipper)
        assert base.records() == [(1, "s", 0, 100, False)]
        [(until,)] = base.rows("SELECT extract(epoch FROM complete_until) FROM metering_inferencelog")
        assert until == AT + seconds
    assert shipper.unshipped_bytes() == 0
    assert base.logs() == [("gpu-1", "eu", 1, False)]
    kept.log.append(kept.now, log_lines.step(kept.now, [], [(1, 90)]))
    kept.log.close()
    assert ship(shipper)
    assert base.records()[1:] == [(2, "s", 90, 90, True)]
    assert base.logs() == [("gpu-1", "eu", 2, True)]
    assert list(tmp_path.iterdir()) == []


def test_the_next_file_is_known_before_the_one_before_it_is_closed(
    base: Base, shipper: Shipper, tmp_path: Path, acme: Any
) -> None:
    kept = Kept(tmp_path, now=AT, max_file_bytes=1)
    kept.log._ship = shipper.take
    kept.log.begin()
    assert ship(shipper)
    assert base.logs() == [("gpu-1", "eu", 0, False)]  # at once, before anything is processed
    told: list[bool] = []
    call = shipper._call

    def tell(one: Any, *given: Any, closed: bool) -> int:
        told.append(closed)
        return call(one, *given, closed=closed)

    shipper._call = tell  # type: ignore[method-assign]
    files = shipper._files
    kept.log.look_after()
    shipper._ship(files[0])
    assert told == [False, True]
    assert sorted(closed for *_, closed in base.logs()) == [False, True]
    kept.log.close()
    assert ship(shipper)
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_is_away_is_tried_again_ever_more_rarely_and_loses_nothing(
    base: Base, writes: Writes, tmp_path: Path
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        away = f"postgresql://u:hunter2@127.0.0.1:{nobody.getsockname()[1]}/d"
        telemetry = Telemetry()
        shipper = Shipper(away, tmp_path, telemetry)
        writes.opened(1, "s")
        writes.step((1, 100))
        writes.dies()
        waits = [shipper._round(0.0) for _ in range(9)]
    for tries, wait in enumerate(waits, 1):
        assert 1 <= wait <= min(60, 2**tries)
    assert b"worker_inference_log_ship_failures_total 9.0" in telemetry.page()
    assert shipper.unshipped_bytes() == writes.file.path.stat().st_size
    shipper._url = base.url
    assert ship(shipper)
    shipper._disconnect()
    assert len(base.records()) == 1


def test_what_the_database_will_never_do_is_not_asked_again_at_once(
    base: Base, writes: Writes, tmp_path: Path
) -> None:
    another = urlsplit(base.url)._replace(path="/postgres").geturl()  # which has no function of ours
    shipper = Shipper(another, tmp_path, Telemetry())
    writes.opened(1, "s")
    writes.step((1, 100))
    writes.dies()
    assert shipper._round(0.0) >= 30
    shipper._disconnect()


def test_a_record_that_the_database_refuses_keeps_no_other_from_it(
    base: Base, shipper: Shipper, writes: Writes
) -> None:
    for number, stream in enumerate(("a", "b", "long" * 40, "d", "nul\x00", "f"), 1):
        writes.opened(number, stream)
        writes.step((number, 100))
    writes.opened(7, "g", project="nobody")
    writes.step((7, 100))
    writes.dies()
    assert ship(shipper)
    assert [row[:2] for row in base.records()] == [(1, "a"), (2, "b"), (4, "d"), (6, "f")]
    assert rejected(shipper) == 3
    assert base.logs()[0][3] is True


def test_records_of_a_tenant_that_is_gone_hold_up_nobody(
    base: Base, shipper: Shipper, writes: Writes, rival: Any
) -> None:
    writes.opened(1, "gone", tenant=str(uuid.uuid4()))
    writes.opened(2, "hers", tenant=str(rival.tenant.id))
    writes.step((1, 100), (2, 100))
    writes.dies()
    assert ship(shipper)
    assert [row[:2] for row in base.records()] == [(2, "hers")]
    assert base.logs() == [("gpu-1", "eu", 2, True)]


OTHER_REGION = (
    f'L 1 {{"log":"{uuid.uuid4()}","worker":"w","region":"e\\u0000u","began":"2026-11-22T00:00:00Z"}}\n'
)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00" * 100 + b"\n", b"hello\n", OTHER_REGION.encode()],
    ids=["empty", "zeros", "text", "what PostgreSQL refuses"],
)
def test_a_file_that_is_no_log_is_put_aside(
    base: Base, shipper: Shipper, writes: Writes, tmp_path: Path, content: bytes
) -> None:
    broken = tmp_path / f"{uuid.uuid4()}.log"
    broken.write_bytes(content)
    os.utime(broken, (0, 0))  # the first that is come to
    writes.opened(1, "s")
    writes.step((1, 100))
    writes.dies()
    assert ship(shipper)
    assert len(base.records()) == 1
    assert [path.name for path in tmp_path.iterdir()] == [broken.name + UNREADABLE]
    assert rejected(shipper) == 1


def test_a_file_that_the_disk_does_not_give_back_keeps_no_other_waiting(
    base: Base, shipper: Shipper, writes: Writes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = Writes(tmp_path, writes.tenant)
    for one in (lost, writes):
        one.opened(1, str(one.name)[:8])
        one.step((1, 100))
        one.dies()
    os.utime(lost.file.path, (0, 0))
    read = LogFile.read

    def worn_out(file: LogFile, start: int, end: int) -> bytes:
        if file.path == lost.file.path:
            raise OSError(errno.EIO, "Input/output error")
        return read(file, start, end)

    with monkeypatch.context() as patched:
        patched.setattr(LogFile, "read", worn_out)
        assert not ship(shipper)
        assert [stream for _, stream, *_ in base.records()] == [str(writes.name)[:8]]
    assert ship(shipper)
    assert len(base.records()) == 2


def test_a_file_that_cannot_be_opened_is_named_and_keeps_no_other_waiting(
    base: Base, shipper: Shipper, writes: Writes, tmp_path: Path
) -> None:
    (tmp_path / "folder.log").mkdir()
    os.utime(tmp_path / "folder.log", (0, 0))
    writes.opened(1, "s")
    writes.step((1, 100))
    writes.dies()
    with capture_logs() as lines:
        assert ship(shipper)
    assert len(base.records()) == 1
    assert [line["log"] for line in lines if line["log_level"] == "error"] == ["folder"]


def test_lines_that_cannot_be_read_are_counted(base: Base, shipper: Shipper, writes: Writes) -> None:
    writes.opened(1, "s")
    writes.write("P rubbish\n")
    writes.step((1, 100))
    writes.dies()
    assert ship(shipper)
    assert len(base.records()) == 1
    assert rejected(shipper) == 1


def test_too_many_files_at_once_are_counted_and_shipped_in_turn(
    base: Base, shipper: Shipper, tmp_path: Path, acme: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipping, "MAX_ADOPTED", 2)
    for number in range(5):
        one = Writes(tmp_path, str(acme.tenant.id))
        one.opened(1, f"s{number}")
        one.step((1, 100))
        one.dies()
    shipper._adopt()
    assert len(shipper._files) == 2
    assert shipper.unshipped_bytes() == sum(path.stat().st_size for path in tmp_path.iterdir())
    for _ in range(3):
        assert ship(shipper, again=True)
    assert len(base.records()) == 5
    assert shipper.unshipped_bytes() == 0


def test_stopping_ships_what_there_is(base: Base, shipper: Shipper, tmp_path: Path, acme: Any) -> None:
    kept = Kept(tmp_path, now=AT)
    kept.log._ship = shipper.take
    kept.log.begin()
    shipper.start()
    of = Described("s", 1, str(acme.tenant.id), str(uuid.UUID(int=2)), str(uuid.UUID(int=3)), "live", "m")
    kept.log.append(AT, log_lines.opened(AT, 1, of, 0))
    kept.log.append(AT, log_lines.step(AT, [(1, 100)]))
    kept.log.close()
    assert shipper.stop(20)
    assert base.records() == [(1, "s", 0, 100, False)]
    assert base.logs() == [("gpu-1", "eu", 1, True)]
    assert list(tmp_path.iterdir()) == []


def test_stopping_without_a_database_leaves_the_file(tmp_path: Path, writes: Writes) -> None:
    shipper = Shipper("postgresql://u@127.0.0.1:1/d", tmp_path, Telemetry())
    writes.dies()
    shipper.start()
    assert not shipper.stop(20)
    assert os.listdir(tmp_path) == [f"{writes.name}.log"]
