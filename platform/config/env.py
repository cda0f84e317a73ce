"""Every environment variable, once: its name, type, default, example and what it is for.

Imports neither Django nor anything of ours, so the worker reads its own variables here too. Values are
read when asked for; `check` reads all of them and reports every mistake at once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar, cast
from urllib.parse import urlsplit

T = TypeVar("T")

DEMO_SECRET_KEY = "demo-only-secret-key-never-use-in-production"  # noqa: S105
TRUE, FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


class EnvError(Exception):
    """An environment variable is missing or malformed."""


@dataclass(frozen=True)
class Variable(Generic[T]):
    name: str
    parse: Callable[[str], T]
    example: str
    help: str
    default: str | None = None  # None: it must be set
    secret: bool = False

    def read(self, environ: Mapping[str, str] = os.environ) -> T:
        raw = environ.get(self.name, "").strip() or self.default
        if raw is None:
            raise EnvError(f"{self.name} is not set. {self.help} Example: {self.name}={self.example}")
        try:
            return self.parse(raw)
        except ValueError as error:
            shown = "its value" if self.secret else repr(raw)
            raise EnvError(
                f"{self.name}: {shown} {error}. {self.help} Example: {self.name}={self.example}"
            ) from None


def text(raw: str) -> str:
    return raw


def boolean(raw: str) -> bool:
    if raw.lower() in TRUE:
        return True
    if raw.lower() in FALSE:
        return False
    raise ValueError(f"is not a boolean ({'/'.join(TRUE)} or {'/'.join(FALSE)})")


def integer(low: int, high: int) -> Callable[[str], int]:
    def parse(raw: str) -> int:
        try:
            value = int(raw)
        except ValueError:
            raise ValueError("is not a whole number") from None
        if not low <= value <= high:
            raise ValueError(f"is not between {low} and {high}")
        return value

    return parse


def number(low: float, high: float) -> Callable[[str], float]:
    def parse(raw: str) -> float:
        try:
            value = float(raw)
        except ValueError:
            raise ValueError("is not a number") from None
        if not low <= value <= high:
            raise ValueError(f"is not between {low:g} and {high:g}")
        return value

    return parse


def one_of(*allowed: str) -> Callable[[str], str]:
    def parse(raw: str) -> str:
        if raw not in allowed:
            raise ValueError(f"is not one of {', '.join(allowed)}")
        return raw

    return parse


def words(raw: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in raw.split(",") if part.strip())


def url(*schemes: str) -> Callable[[str], str]:
    def parse(raw: str) -> str:
        try:
            parts = urlsplit(raw)
            _ = parts.port
        except ValueError:
            raise ValueError("is not a URL") from None
        if parts.scheme not in schemes:
            raise ValueError(f"is not a URL starting with {' or '.join(s + '://' for s in schemes)}")
        if not parts.hostname and not parts.path:
            raise ValueError("is a URL without a host")
        return raw

    return parse


def name(raw: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,31}", raw):
        raise ValueError("is not a name (a lower-case letter, then letters, digits, dashes; at most 32)")
    return raw


def identifier(raw: str) -> str:
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", raw):
        raise ValueError("is not a database identifier (lower-case letters, digits, underscores)")
    return raw


# ---- all parts

DEBUG = Variable("DEBUG", boolean, "false", "Show tracebacks in answers; never in production.", "false")
DEMO = Variable(
    "DEMO", boolean, "false", "Allow the seeded demo tenant and its published login; set by make run.", "false"
)
LOG_LEVEL = Variable(
    "LOG_LEVEL", one_of("DEBUG", "INFO", "WARNING", "ERROR"), "INFO", "The least level that is logged.", "INFO"
)
REGION = Variable("REGION", name, "eu-1", "The region this process serves.", "local")
REDIS_URL = Variable(
    "REDIS_URL",
    url("redis", "rediss", "unix"),
    "redis://127.0.0.1:6379/0",
    "Valkey or Redis: channel layer, Celery broker, limits.",
    secret=True,
)

# ---- gateway, Celery, management commands

SECRET_KEY = Variable(
    "SECRET_KEY",
    text,
    "at-least-fifty-random-characters-from-a-password-manager",
    "Signs sessions and tokens; the demo key is refused unless DEMO or DEBUG is on.",
    secret=True,
)
DATABASE_URL = Variable(
    "DATABASE_URL",
    url("postgres", "postgresql"),
    "postgresql://stenogate@127.0.0.1:5432/stenogate",
    "PostgreSQL; the owner of the schema, who may create the application's role.",
    secret=True,
)
DATABASE_ROLE = Variable(
    "DATABASE_ROLE",
    identifier,
    "stenogate_app",
    "The role all work runs under; it cannot bypass row-level security.",
    "stenogate_app",
)
ALLOWED_HOSTS = Variable(
    "ALLOWED_HOSTS", words, "stt.example.com,10.0.0.5", "Host names the gateway answers to.", "localhost,127.0.0.1"
)
TRUSTED_PROXY = Variable(
    "TRUSTED_PROXY",
    boolean,
    "true",
    "Take the client's address from X-Forwarded-For; only behind a proxy that sets it.",
    "false",
)
GATEWAY_HOST = Variable("GATEWAY_HOST", text, "0.0.0.0", "Address the gateway listens on.", "127.0.0.1")  # noqa: S104
GATEWAY_PORT = Variable("GATEWAY_PORT", integer(1, 65535), "8000", "Port the gateway listens on.", "8000")
GATEWAY_MAX_STREAMS = Variable(
    "GATEWAY_MAX_STREAMS", integer(1, 100_000), "2000", "Streams one gateway process holds at most.", "2000"
)
KEY_CACHE_SECONDS = Variable(
    "KEY_CACHE_SECONDS", number(0, 60), "5", "How long a checked API key is remembered.", "5"
)
AUTH_FAILURES_PER_MINUTE = Variable(
    "AUTH_FAILURES_PER_MINUTE",
    integer(1, 100_000),
    "60",
    "Failed key checks one address may cause in a minute before it gets 429.",
    "60",
)
STREAM_IDLE_SECONDS = Variable(
    "STREAM_IDLE_SECONDS",
    number(0.1, 3600),
    "10",
    "A stream with no audio and no KeepAlive for this long is closed with NET-0001.",
    "10",
)
STREAM_MAX_SECONDS = Variable(
    "STREAM_MAX_SECONDS", number(1, 86_400), "14400", "The longest a stream may be open.", "14400"
)
STREAM_WINDOW_SECONDS = Variable(
    "STREAM_WINDOW_SECONDS",
    number(1, 600),
    "20",
    "Audio of one stream that may wait to be processed before its socket is read no further.",
    "20",
)
USAGE_EVERY_SECONDS = Variable(
    "USAGE_EVERY_SECONDS", number(0.1, 300), "5", "Seconds of audio between two usage events of a stream.", "5"
)

# ---- inference worker

ENGINE = Variable(
    "ENGINE", one_of("moonshine", "scripted"), "moonshine", "The engine of the inference worker.", "moonshine"
)
WORKER_NAME = Variable("WORKER_NAME", name, "gpu-0", "The worker's name in results and metrics.", "worker-1")
WORKER_HOST = Variable("WORKER_HOST", text, "0.0.0.0", "Address of the worker's health and metrics.", "127.0.0.1")  # noqa: S104
WORKER_PORT = Variable(
    "WORKER_PORT", integer(1, 65535), "8081", "Port of the worker's health page and metrics.", "8081"
)
MAX_STREAMS = Variable(
    "MAX_STREAMS", integer(1, 100_000), "64", "Streams a worker holds at most; the engine may hold fewer.", "64"
)
BATCH_WAIT_MS = Variable(
    "BATCH_WAIT_MS",
    words,
    "5,15,40",
    "Milliseconds an idle worker waits for company under 10, under 50 and from 50 streams.",
    "5,15,40",
)
DRAIN_SECONDS = Variable(
    "DRAIN_SECONDS", number(0, 3600), "30", "How long a stopping worker lets its streams finish.", "30"
)


def variables() -> list[Variable[object]]:
    """All of them, in the order in which they are written above."""
    return [cast(Variable[object], value) for value in globals().values() if isinstance(value, Variable)]


def check(environ: Mapping[str, str] = os.environ, *, among: list[Variable[object]] | None = None) -> None:
    """Raise one `EnvError` that names every variable that is wrong."""
    mistakes = []
    for variable in variables() if among is None else among:
        try:
            variable.read(environ)
        except EnvError as error:
            mistakes.append(str(error))
    if mistakes:
        raise EnvError("\n".join(mistakes))


def example() -> str:
    """The text of `.env.example`."""
    lines = ["# Every variable Stenogate reads. Written by `make env-example`; values are examples.", ""]
    for variable in variables():
        lines.append(f"# {variable.help}")
        lines.append("# Required." if variable.default is None else f"# Default: {variable.default}")
        lines += [f"{variable.name}={variable.example}", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    print(example(), end="")
