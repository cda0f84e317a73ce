"""With the errors of the real libraries: of ports where nobody is, of servers that say no, of each code."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent import futures

import grpc
import psycopg
import pytest
import redis
from django.db import OperationalError, connection
from django.db.utils import IntegrityError
from kombu.exceptions import OperationalError as BrokerAway
from redis.backoff import NoBackoff
from redis.retry import Retry

from faults.kinds import GRPC, Kind, of_grpc, of_postgres, of_valkey, postgres_is_away


@pytest.fixture
def nobody() -> Iterator[int]:
    """A port that is ours, and where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


# ---- PostgreSQL


def test_a_postgres_that_is_not_there_may_come_back(nobody: int) -> None:
    with pytest.raises(psycopg.OperationalError) as raised:
        psycopg.connect(host="127.0.0.1", port=nobody, connect_timeout=2)
    assert of_postgres(raised.value) is Kind.TRANSIENT
    assert postgres_is_away(raised.value)


@pytest.mark.parametrize(
    ("error", "away"),
    [
        (psycopg.errors.AdminShutdown(""), True),
        (psycopg.errors.CannotConnectNow(""), True),
        (psycopg.errors.TooManyConnections(""), True),
        (psycopg.InterfaceError("the connection is closed"), True),
        (ConnectionRefusedError(), True),
        (psycopg.errors.QueryCanceled(""), False),
        (psycopg.errors.DeadlockDetected(""), False),
        (psycopg.errors.UndefinedTable(""), False),
        (psycopg.ProgrammingError("a mistake of ours"), False),
        (KeyError(""), False),
    ],
)
def test_no_answer_and_a_refusal_are_two_things(error: Exception, away: bool) -> None:
    assert postgres_is_away(error) is away


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (psycopg.errors.AdminShutdown, Kind.TRANSIENT),
        (psycopg.errors.CannotConnectNow, Kind.TRANSIENT),
        (psycopg.errors.TooManyConnections, Kind.TRANSIENT),
        (psycopg.errors.DiskFull, Kind.TRANSIENT),
        (psycopg.errors.SerializationFailure, Kind.TRANSIENT),
        (psycopg.errors.DeadlockDetected, Kind.TRANSIENT),
        (psycopg.errors.LockNotAvailable, Kind.TRANSIENT),
        (psycopg.errors.QueryCanceled, Kind.TRANSIENT),
        (psycopg.errors.ReadOnlySqlTransaction, Kind.TRANSIENT),
        (psycopg.errors.InFailedSqlTransaction, Kind.FATAL),
        (psycopg.errors.UniqueViolation, Kind.FATAL),
        (psycopg.errors.ForeignKeyViolation, Kind.FATAL),
        (psycopg.errors.NumericValueOutOfRange, Kind.FATAL),
        (psycopg.errors.UndefinedTable, Kind.FATAL),
        (psycopg.errors.InsufficientPrivilege, Kind.FATAL),
        (psycopg.errors.InvalidPassword, Kind.FATAL),
        (psycopg.errors.RaiseException, Kind.FATAL),
    ],
)
def test_postgres_by_its_code(error: type[psycopg.Error], kind: Kind) -> None:
    assert of_postgres(error("")) is kind


@pytest.mark.django_db
def test_django_s_errors_are_those_they_come_from() -> None:
    with pytest.raises(IntegrityError) as refused, connection.cursor() as cursor:
        cursor.execute("INSERT INTO django_content_type (app_label, model) VALUES (NULL, 'x')")
    assert of_postgres(refused.value) is Kind.FATAL
    away = OperationalError("server closed the connection")
    away.__cause__ = psycopg.OperationalError("server closed the connection")
    assert of_postgres(away) is Kind.TRANSIENT
    assert of_postgres(TimeoutError()) is Kind.TRANSIENT
    assert of_postgres(KeyError("a mistake of ours")) is Kind.FATAL


# ---- Valkey


def test_a_valkey_that_is_not_there_may_come_back(nobody: int) -> None:
    client = redis.Redis(port=nobody, socket_connect_timeout=2, retry=Retry(NoBackoff(), 0))
    with client, pytest.raises(redis.ConnectionError) as raised:
        client.ping()
    assert of_valkey(raised.value) is Kind.TRANSIENT
    broker = BrokerAway("no broker")
    broker.__cause__ = raised.value
    assert of_valkey(broker) is Kind.TRANSIENT


def test_what_a_valkey_says_no_to(valkey_server: str) -> None:
    with redis.Redis.from_url(valkey_server) as client:
        client.set("faults:a-text", "a")
        for command in (("LPUSH", "faults:a-text", "b"), ("NO-SUCH-COMMAND",)):
            with pytest.raises(redis.ResponseError) as raised:
                client.execute_command(*command)
            assert of_valkey(raised.value) is Kind.FATAL
    wrong = valkey_server.replace("://", "://somebody:wrong@")
    with redis.Redis.from_url(wrong) as client, pytest.raises(redis.AuthenticationError) as refused:
        client.ping()
    assert of_valkey(refused.value) is Kind.FATAL  # though it is a ConnectionError, too


@pytest.mark.parametrize(
    "error",
    [redis.TimeoutError(), redis.BusyLoadingError(), redis.ReadOnlyError(), redis.OutOfMemoryError(),
     TimeoutError(), ConnectionResetError()],
)  # fmt: skip
def test_a_valkey_that_is_busy_may_have_time(error: Exception) -> None:
    assert of_valkey(error) is Kind.TRANSIENT


# ---- gRPC


class _Says(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Answers every call with the status that is the name of its method."""

    def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        status = grpc.StatusCode[call.method.rpartition("/")[2]]
        return grpc.unary_unary_rpc_method_handler(lambda _, context: context.abort(status, "as asked"))


def test_a_grpc_server_by_what_it_says() -> None:
    with futures.ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool, handlers=[_Says()])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                for status in grpc.StatusCode:
                    if status is grpc.StatusCode.OK:
                        continue
                    with pytest.raises(grpc.RpcError) as raised:
                        channel.unary_unary(f"/a/{status.name}")(b"", timeout=10)
                    expected = GRPC.get(status.name, (Kind.FATAL, ""))[0]
                    assert of_grpc(raised.value) is expected, status
        finally:
            server.stop(None)
    assert set(GRPC) < {status.name for status in grpc.StatusCode}


def test_a_grpc_server_that_is_not_there_may_come_back(nobody: int) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{nobody}") as channel, pytest.raises(grpc.RpcError) as raised:
        channel.unary_unary("/a/b")(b"", timeout=10)
    assert of_grpc(raised.value) is Kind.TRANSIENT


def test_what_is_no_error_of_grpc_is_none() -> None:
    assert of_grpc(ValueError()) is None
    assert of_grpc(SystemExit(3)) is None
