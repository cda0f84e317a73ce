"""All state, in one SQLite file. What a transaction has committed survives a kill -9 of the process."""

from __future__ import annotations

import json
import secrets
import sqlite3
import string
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Object = dict[str, Any]
ALPHABET = string.ascii_letters + string.digits

SCHEMA = """
create table if not exists objects (
    n integer primary key autoincrement, id text unique not null, kind text not null, body text not null);
create index if not exists objects_of_kind on objects (kind, n);
create table if not exists meter_events (
    n integer primary key autoincrement, identifier text not null, event_name text not null,
    customer text not null, value integer not null, timestamp integer not null, received integer not null,
    visible integer not null, meter text, state text not null, code text,
    reported integer not null default 0);
create index if not exists meter_events_identifier on meter_events (identifier, received);
create index if not exists meter_events_total on meter_events (meter, customer, timestamp);
create table if not exists kept_answers (
    key text primary key, asked text not null, status integer not null, body text not null,
    at integer not null);
create table if not exists settings (name text primary key, value text not null);
create table if not exists deliveries (
    n integer primary key autoincrement, event text not null, type text not null, body text not null,
    next_at real not null, attempts integer not null default 0, status integer,
    done integer not null default 0);
"""
TABLES = ("objects", "meter_events", "kept_answers", "settings", "deliveries")


class Store:
    """One connection, one writer at a time: whoever reads or writes holds `lock`."""

    def __init__(self, file: Path | str) -> None:
        self.lock = threading.RLock()
        self.db = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
        self.db.row_factory = sqlite3.Row
        self.db.execute("pragma journal_mode=wal")
        # A power cut may cost the last seconds; the death of this process costs nothing.
        self.db.execute("pragma synchronous=off")
        self.db.executescript(SCHEMA)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self.lock:
            self.db.execute("begin immediate")
            try:
                yield
            except BaseException:
                self.db.execute("rollback")
                raise
            self.db.execute("commit")

    def clear(self) -> None:
        for table in TABLES:
            self.db.execute(f"delete from {table}")  # noqa: S608

    # ---- objects

    def put(self, body: Object) -> Object:
        self.db.execute(
            "insert into objects (id, kind, body) values (?, ?, ?)"
            " on conflict (id) do update set kind = excluded.kind, body = excluded.body",
            (body["id"], body["object"], json.dumps(body)),
        )
        return body

    def get(self, kind: str, name: str) -> Object | None:
        row = self.db.execute("select body from objects where id = ? and kind = ?", (name, kind)).fetchone()
        return json.loads(row["body"]) if row else None

    def any(self, name: str) -> Object | None:
        row = self.db.execute("select body from objects where id = ?", (name,)).fetchone()
        return json.loads(row["body"]) if row else None

    def all(self, kind: str, field: str = "", at_most: int = 0) -> list[Object]:
        """Newest first, as Stripe lists. With `field`, a path into the object: only those whose number there
        is no more than `at_most`."""
        query = "select body from objects where kind = ?"
        told: list[str | int] = [kind]
        if field:
            query, told = f"{query} and json_extract(body, ?) <= ?", [kind, field, at_most]
        return [json.loads(row["body"]) for row in self.db.execute(f"{query} order by n desc", told)]

    # ---- settings

    def setting(self, name: str, default: Any) -> Any:
        row = self.db.execute("select value from settings where name = ?", (name,)).fetchone()
        return json.loads(row["value"]) if row else default

    def set(self, name: str, value: Any) -> None:
        self.db.execute(
            "insert into settings values (?, ?) on conflict (name) do update set value = excluded.value",
            (name, json.dumps(value)),
        )


def new_id(prefix: str, length: int = 24) -> str:
    return f"{prefix}_{''.join(secrets.choice(ALPHABET) for _ in range(length))}"
