"""What an error of each remote thing means: may the same work in a while, or never?

TRANSIENT: it is away, overloaded or busy. Said again, after a pause, the same may work.
FATAL: it has understood and says no. The same would fail the same way, so nobody says it again by itself; a
loop that cannot stop for that (it ships a log, it listens) says it at its longest pause, for somebody to put
right.

docs/failures.md has these tables, and those of Stripe (`metering.payments.errors`) and of customers' servers
(`gateway.callbacks`), which only their own rooms know; a test compares.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

import psycopg
import redis


class Kind(StrEnum):
    TRANSIENT = "transient"
    FATAL = "fatal"


# PostgreSQL, by the beginning of its SQLSTATE; the longest that fits counts. Any other is FATAL, and an error
# that has none is of the connection, before or instead of an answer.
SQLSTATES: dict[str, tuple[Kind, str]] = {
    "08": (Kind.TRANSIENT, "the connection broke"),
    "25006": (Kind.TRANSIENT, "it is read-only: a replica that is about to be the primary"),
    "40": (Kind.TRANSIENT, "rolled back: a deadlock, or two at once"),
    "53": (Kind.TRANSIENT, "out of connections, memory or disk"),
    "55P03": (Kind.TRANSIENT, "locked by somebody else"),
    "57": (Kind.TRANSIENT, "it stops, starts, or took too long"),
    "58": (Kind.TRANSIENT, "its system failed it"),
    "22": (Kind.FATAL, "a value it does not take"),
    "23": (Kind.FATAL, "it breaks a rule: a duplicate, a tenant that is not there"),
    "42": (Kind.FATAL, "not allowed, or not there: not migrated"),
}
AWAY = ("08", "53", "57", "58")
TOOK_TOO_LONG = "57014"
# Those of the connection, which psycopg raises itself.
NO_ANSWER = (psycopg.OperationalError, psycopg.InterfaceError)

# Valkey, by redis-py's class; the first that fits counts, any other is FATAL.
VALKEY: tuple[tuple[type[Exception], Kind, str], ...] = (
    (redis.AuthenticationError, Kind.FATAL, "the password is wrong"),
    (redis.exceptions.AuthorizationError, Kind.FATAL, "the user may not do this"),
    (redis.BusyLoadingError, Kind.TRANSIENT, "it starts, and reads its file"),
    (redis.ConnectionError, Kind.TRANSIENT, "it is not there, or cut us off"),
    (redis.TimeoutError, Kind.TRANSIENT, "it did not answer in time"),
    (redis.ReadOnlyError, Kind.TRANSIENT, "a replica that is about to be the primary"),
    (redis.exceptions.ClusterDownError, Kind.TRANSIENT, "its primary is away"),
    (redis.exceptions.TryAgainError, Kind.TRANSIENT, "a slot is moving"),
    (redis.OutOfMemoryError, Kind.TRANSIENT, "it is full"),
    (redis.exceptions.NoPermissionError, Kind.FATAL, "the user may not do this"),
    (redis.ResponseError, Kind.FATAL, "it does not understand: another version, a key of another type"),
    (redis.DataError, Kind.FATAL, "a value that cannot be sent"),
    (OSError, Kind.TRANSIENT, "no way to it"),  # also Python's TimeoutError
)

# gRPC, which an engine that is a server (Riva) speaks, by the name of the status. Any other is FATAL.
GRPC: dict[str, tuple[Kind, str]] = {
    "UNAVAILABLE": (Kind.TRANSIENT, "it is away, or restarts"),
    "DEADLINE_EXCEEDED": (Kind.TRANSIENT, "it did not answer in time"),
    "RESOURCE_EXHAUSTED": (Kind.TRANSIENT, "it is full"),
    "ABORTED": (Kind.TRANSIENT, "it gave up in the middle"),
    "CANCELLED": (Kind.TRANSIENT, "it gave up in the middle"),
    "INTERNAL": (Kind.TRANSIENT, "it broke on its side"),
    "UNKNOWN": (Kind.TRANSIENT, "it broke on its side, and does not say how"),
    "UNAUTHENTICATED": (Kind.FATAL, "it does not know us"),
    "PERMISSION_DENIED": (Kind.FATAL, "we may not do this"),
    "INVALID_ARGUMENT": (Kind.FATAL, "it does not take these settings"),
    "NOT_FOUND": (Kind.FATAL, "it has no such model"),
    "FAILED_PRECONDITION": (Kind.FATAL, "it is not set up for this"),
    "UNIMPLEMENTED": (Kind.FATAL, "it is another version, or another service"),
}


def of_postgres(error: BaseException) -> Kind:
    """Of psycopg's error, or of Django's, which carries it."""
    for one in _chain(error):
        if isinstance(one, psycopg.Error):
            return _of_sqlstate(one)
    return Kind.TRANSIENT if isinstance(error, OSError) else Kind.FATAL


def postgres_is_away(error: BaseException) -> bool:
    """Whether that was no answer, or that of a server that cannot serve. A deadlock is an answer."""
    for one in _chain(error):
        if isinstance(one, psycopg.Error):
            if one.sqlstate is None:
                return isinstance(one, NO_ANSWER)
            return one.sqlstate.startswith(AWAY) and one.sqlstate != TOOK_TOO_LONG
    return isinstance(error, OSError)


def of_valkey(error: BaseException) -> Kind:
    """Of redis-py's error, or of kombu's, which carries it."""
    for one in _chain(error):
        for known, kind, _ in VALKEY:
            if isinstance(one, known):
                return kind
    return Kind.FATAL


def of_grpc(error: BaseException) -> Kind | None:
    """None: this is no error of gRPC. Asked by its shape, because the library is there only with such an
    engine."""
    code = getattr(error, "code", None)
    status = code() if callable(code) else None
    name = getattr(status, "name", None)
    if not isinstance(name, str):
        return None
    return GRPC.get(name, (Kind.FATAL, ""))[0]


def _of_sqlstate(error: psycopg.Error) -> Kind:
    state = error.sqlstate
    if state is None:
        return Kind.TRANSIENT if isinstance(error, NO_ANSWER) else Kind.FATAL
    fitting = [known for known in SQLSTATES if state.startswith(known)]
    return SQLSTATES[max(fitting, key=len)][0] if fitting else Kind.FATAL


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error, and those it was raised from."""
    one: BaseException | None = error
    while one is not None:
        yield one
        one = one.__cause__
