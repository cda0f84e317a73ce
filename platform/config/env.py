"""Every environment variable, once: its name, type, default, example and what it is for.

Imports neither Django nor anything of ours, so the worker reads its own variables here too. Values are
read when asked for; `check` reads all of them and reports every mistake at once.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import cast

from config import env_control, env_money, env_overload, env_recorded, env_scripted
from config.env_control import CERTIFICATE_ADDRESSES as CERTIFICATE_ADDRESSES
from config.env_control import CONTROL_DB_GRACE_SECONDS as CONTROL_DB_GRACE_SECONDS
from config.env_control import KEY_CACHE_SECONDS as KEY_CACHE_SECONDS
from config.env_money import GRACE_DAYS as GRACE_DAYS
from config.env_money import INFERENCE_LOG_DATABASE_URL as INFERENCE_LOG_DATABASE_URL
from config.env_money import INFERENCE_LOG_DIR as INFERENCE_LOG_DIR
from config.env_money import INFERENCE_LOG_MAX_BYTES as INFERENCE_LOG_MAX_BYTES
from config.env_money import MAIL_FROM as MAIL_FROM
from config.env_money import MAIL_URL as MAIL_URL
from config.env_money import PAYMENT_TERM_DAYS as PAYMENT_TERM_DAYS
from config.env_money import PUBLIC_URL as PUBLIC_URL
from config.env_money import RECEIPT_KEYS as RECEIPT_KEYS
from config.env_money import SELLER as SELLER
from config.env_money import STRIPE_API_BASE as STRIPE_API_BASE
from config.env_money import STRIPE_API_KEY as STRIPE_API_KEY
from config.env_money import STRIPE_WEBHOOK_SECRET as STRIPE_WEBHOOK_SECRET
from config.env_money import USAGE_EVERY_SECONDS as USAGE_EVERY_SECONDS
from config.env_money import USAGE_SPOOL_DIR as USAGE_SPOOL_DIR
from config.env_money import USAGE_SPOOL_MAX_BYTES as USAGE_SPOOL_MAX_BYTES
from config.env_overload import GATEWAY_MAX_HANDSHAKES as GATEWAY_MAX_HANDSHAKES
from config.env_overload import OPENING_RAMP_SECONDS as OPENING_RAMP_SECONDS
from config.env_overload import OPENING_WAIT_SECONDS as OPENING_WAIT_SECONDS
from config.env_overload import OVERLOAD_MS as OVERLOAD_MS
from config.env_recorded import RECORDED_MAX_SECONDS as RECORDED_MAX_SECONDS
from config.env_recorded import RECORDED_WAIT_SECONDS as RECORDED_WAIT_SECONDS
from config.env_recorded import UPLOAD_DISK_BYTES as UPLOAD_DISK_BYTES
from config.env_recorded import UPLOAD_MAX_BYTES as UPLOAD_MAX_BYTES
from config.env_recorded import UPLOAD_STALL_SECONDS as UPLOAD_STALL_SECONDS
from config.env_scripted import SCRIPTED_FILE as SCRIPTED_FILE
from config.env_scripted import SCRIPTED_ROW_MS as SCRIPTED_ROW_MS
from config.env_scripted import SCRIPTED_STEP_MS as SCRIPTED_STEP_MS
from config.parsers import (
    boolean,
    host,
    hosts,
    identifier,
    integer,
    key,
    languages,
    name,
    networks,
    number,
    one_of,
    text,
    three_numbers,
    url,
    zero_or,
)
from config.variable import EnvError as EnvError
from config.variable import Variable as Variable

DEMO_SECRET_KEY = "demo-only-secret-key-never-use-in-production"  # noqa: S105


# ---- all parts

DEBUG = Variable("DEBUG", boolean, "false", "Show tracebacks in answers; never in production.", "false")
DEMO = Variable(
    "DEMO",
    boolean,
    "false",
    "Allow the seeded demo tenant and its published login; set by make run.",
    "false",
)
LOG_LEVEL = Variable(
    "LOG_LEVEL",
    one_of("DEBUG", "INFO", "WARNING", "ERROR"),
    "INFO",
    "The least level that is logged.",
    "INFO",
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
    key(32),
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
    "ALLOWED_HOSTS",
    hosts,
    "stt.example.com,10.0.0.5",
    "Host names the gateway answers to.",
    "localhost,127.0.0.1",
)
TRUSTED_PROXY = Variable(
    "TRUSTED_PROXY",
    boolean,
    "true",
    "Take the client's address from X-Forwarded-For; only behind a proxy that sets it.",
    "false",
)
GATEWAY_HOST = Variable("GATEWAY_HOST", host, "0.0.0.0", "Address the gateway listens on.", "127.0.0.1")  # noqa: S104
GATEWAY_PORT = Variable("GATEWAY_PORT", integer(1, 65535), "8000", "Port the gateway listens on.", "8000")
GATEWAY_MAX_STREAMS = Variable(
    "GATEWAY_MAX_STREAMS", integer(1, 100_000), "2000", "Streams one gateway process holds at most.", "2000"
)
WORKER_SILENT_SECONDS = Variable(
    "WORKER_SILENT_SECONDS",
    number(0.5, 60),
    "0.9",
    "A worker whose heartbeats stay away this long is lost, and its streams move to others.",
    "0.9",
)
MOVE_WITHIN_SECONDS = Variable(
    "MOVE_WITHIN_SECONDS",
    number(0, 300),
    "10",
    "How long a stream without a worker waits for room on another before it ends with worker_lost.",
    "10",
)
RESUME_WINDOW_SECONDS = Variable(
    "RESUME_WINDOW_SECONDS",
    number(1, 3600),
    "60",
    "How long a client that was cut off may take to come back to its stream.",
    "60",
)
GATEWAY_DRAIN_SECONDS = Variable(
    "GATEWAY_DRAIN_SECONDS",
    number(0, 3600),
    "20",
    "How long a stopping gateway lets streams end by themselves whose clients do not come back.",
    "20",
)
REPLAY_LEAD_SECONDS = Variable(
    "REPLAY_LEAD_SECONDS",
    number(0, 14_400),
    "10",
    "How much audio a stream's next worker hears again first, for context; kept in memory, 32 kB a second.",
    "10",
)
AUTH_FAILURES_PER_MINUTE = Variable(
    "AUTH_FAILURES_PER_MINUTE",
    integer(1, 100_000),
    "60",
    "Failed key checks one address may cause in a minute before it gets 429.",
    "60",
)
FETCH_ALLOW = Variable(
    "FETCH_ALLOW",
    networks,
    "10.20.0.0/16",
    "Networks inside the house that a customer's URL (recorded audio, callback) may lead to. "
    "Others that are not of the public internet are refused.",
    "",
)
METRICS_TOKEN = Variable(
    "METRICS_TOKEN",
    text,
    "32-random-characters",
    "Lets Prometheus read the gateway's /metrics from another machine; without it only this one may.",
    "",
    secret=True,
)
STREAM_IDLE_SECONDS = Variable(
    "STREAM_IDLE_SECONDS",
    number(0.1, 3600),
    "10",
    "A stream with no audio and no KeepAlive for this long is closed with NET-0001.",
    "10",
)
STREAM_QUIET_SECONDS = Variable(
    "STREAM_QUIET_SECONDS",
    number(0.1, 86_400),
    "300",
    "The same for OpenAI's and AssemblyAI's protocols, whose clients send no KeepAlive in a pause.",
    "300",
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

# ---- inference worker

ENGINE = Variable(
    "ENGINE",
    one_of("moonshine", "nemo", "scripted"),
    "nemo",
    "The engine of the inference worker.",
    "moonshine",
)
MODEL = Variable(
    "MODEL",
    text,
    "/models/streaming.nemo",
    "The model of the nemo engine: a .nemo file, or a pretrained name. Without it, the tiny one for tests.",
    "",
)
MODEL_LANGUAGES = Variable(
    "MODEL_LANGUAGES",
    languages,
    "en,de",
    "The languages that MODEL understands; a stream of another one is refused.",
    "en",
)
ATT_RIGHT_CONTEXT = Variable(
    "ATT_RIGHT_CONTEXT",
    integer(0, 1000),
    "6",
    "Frames of 80 ms that the model looks ahead: 0, 1, 6 or 13, as far as it was trained for them.",
    "1",
)
COMPUTE_DTYPE = Variable(
    "COMPUTE_DTYPE",
    one_of("float32", "bfloat16", "float16"),
    "bfloat16",
    "What the nemo engine computes in. On a CPU float32.",
    "float32",
)
DEVICE = Variable("DEVICE", one_of("auto", "cpu", "cuda"), "cuda", "Where the nemo engine computes.", "auto")
DETERMINISTIC = Variable(
    "DETERMINISTIC",
    boolean,
    "1",
    "Let the nemo engine compute every step with MAX_STREAMS rows, in float32: the same audio then gives the "
    "same words to the last bit whatever the load. Slower.",
    "false",
)
ENGINE_THREADS = Variable(
    "ENGINE_THREADS",
    integer(1, 64),
    "2",
    "Cores the engine uses: utterances moonshine decodes at a time, threads of nemo's where there is no GPU.",
    "2",
)
WORKER_NAME = Variable("WORKER_NAME", name, "gpu-0", "The worker's name in results and metrics.", "worker-1")
WORKER_HOST = Variable(
    "WORKER_HOST",
    host,
    "0.0.0.0",  # noqa: S104
    "Address of the worker's health and metrics.",
    "127.0.0.1",
)
WORKER_PORT = Variable(
    "WORKER_PORT", integer(1, 65535), "8081", "Port of the worker's health page and metrics.", "8081"
)
MAX_STREAMS = Variable(
    "MAX_STREAMS",
    integer(1, 100_000),
    "64",
    "Streams a worker holds at most; the engine may hold fewer.",
    "64",
)
RECORDED_SHARE = Variable(
    "RECORDED_SHARE",
    number(0, 1),
    "0.25",
    "The part of a worker's slots that recorded audio may hold; the others are for live streams alone.",
    "0.5",
)
BATCH_WAIT_MS = Variable(
    "BATCH_WAIT_MS",
    three_numbers(0, 1000),
    "5,15,40",
    "Milliseconds an idle worker waits for company under 10, under 50 and from 50 streams.",
    "5,15,40",
)
MAX_BATCH_LATENCY_MS = Variable(
    "MAX_BATCH_LATENCY_MS",
    number(0, 1000),
    "10",
    "The longest wait for company, however many the streams: a cap on BATCH_WAIT_MS. 0 never waits.",
    "40",
)
STEP_LIMIT_SECONDS = Variable(
    "STEP_LIMIT_SECONDS",
    number(0.1, 3600),
    "30",
    "A worker whose engine takes longer for one step fails its streams and leaves, to be started again.",
    "60",
)
RECYCLE_AFTER_HOURS = Variable(
    "RECYCLE_AFTER_HOURS",
    zero_or(0.01, 8760),
    "24",
    "A worker of this age, more or less, drains and leaves, to be started again; 0: never.",
    "0",
)
RECYCLE_ON_DRIFT = Variable(
    "RECYCLE_ON_DRIFT",
    zero_or(1.1, 100),
    "2",
    "It does so, too, when its steps have for minutes taken so many times what they took at first; 0: never.",
    "0",
)
DEBUG_TIMING = Variable(
    "DEBUG_TIMING",
    boolean,
    "1",
    "Log for each chunk when it was complete, given to the engine, back and sent; never what was said.",
    "false",
)
DRAIN_SECONDS = Variable(
    "DRAIN_SECONDS", number(0, 3600), "30", "How long a stopping worker lets its streams finish.", "30"
)


def variables() -> list[Variable[object]]:
    """All of them, in the order in which they are written: above, then elsewhere."""
    found = [cast(Variable[object], value) for value in globals().values() if isinstance(value, Variable)]
    modules = (env_control, env_overload, env_recorded, env_money, env_scripted)
    elsewhere = {id(value) for module in modules for value in vars(module).values()}
    return sorted(found, key=lambda variable: id(variable) in elsewhere)


def check(environ: Mapping[str, str] = os.environ, *, among: list[Variable[object]] | None = None) -> None:
    """Raise one `EnvError` that names every variable that is wrong."""
    chosen = variables() if among is None else among
    mistakes = []
    for variable in chosen:
        try:
            variable.read(environ)
        except EnvError as error:
            mistakes.append(str(error))
    if any(variable.name == SECRET_KEY.name for variable in chosen):
        mistakes += _published_key(environ)
    if mistakes:
        raise EnvError("\n".join(mistakes))


def _published_key(environ: Mapping[str, str]) -> list[str]:
    """Whoever knows the key can forge a session, and these keys everybody knows."""
    try:
        known = SECRET_KEY.read(environ) in (DEMO_SECRET_KEY, SECRET_KEY.example)
        harmless = DEBUG.read(environ) or DEMO.read(environ)
    except EnvError:
        return []  # said already
    if not known or harmless:
        return []
    return [
        "SECRET_KEY: its value is published with the source, so anybody could forge a login. "
        "Make your own, for example with: python3 -c 'import secrets; print(secrets.token_urlsafe(50))'"
    ]


def example() -> str:
    """The text of `.env.example`. Every line is a comment, so that a copy of it changes nothing."""
    lines = [
        "# Every variable Stenogate reads, with an example. Written by `make env-example`.",
        "# Copy it to .env, which `make run` reads, and take the # from the lines that you want to change.",
        "",
    ]
    for variable in variables():
        lines.append(f"# {variable.help}")
        required = variable.default is None
        lines.append("# Required; `make run` sets its own." if required else f"# Default: {variable.default}")
        lines += [f"#{variable.name}={variable.example}", ""]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    print(example(), end="")
