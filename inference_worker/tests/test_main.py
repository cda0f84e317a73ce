"""The worker as a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import socket
import sys
import uuid
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection

from inference_worker import log_files
from inference_worker.engines.scripted import SENTENCES
from inference_worker.tests.gateways import FakeGateway, gateway
from inference_worker.tests.house import end, opening, silence
from inference_worker.tests.logs import KEY, PROJECT, counted, written
from tenants.scope import staff_scope
from wire.messages import End, Ended, Failed, Open, Progress, Refused, StreamOptions, WorkerState

ROOT = Path(__file__).resolve().parents[2]
SAID = " ".join(SENTENCES[:2])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def start(**variables: str) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "inference_worker",
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'platform'}",
            "ENGINE": "scripted",
            **variables,
        },
        stdout=PIPE,
        stderr=PIPE,
    )


@dataclass
class Running:
    process: Process
    port: int
    region: str

    async def get(self, path: str) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(f"GET {path} HTTP/1.1\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        return answer


@asynccontextmanager
async def worker(url: str, **variables: str) -> AsyncIterator[Running]:
    port, region = free_port(), f"t{uuid.uuid4().hex[:8]}"
    process = await start(REDIS_URL=url, REGION=region, WORKER_PORT=str(port), **variables)
    try:
        yield Running(process, port, region)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def ready(g: FakeGateway) -> None:
    await g.until(lambda: g.beats[-1].state is WorkerState.READY)


async def test_it_serves_and_tells_how_it_is(valkey_server: str) -> None:
    async with worker(valkey_server, WORKER_NAME="gpu-7") as w, gateway(valkey_server, w.region) as g:
        await ready(g)
        assert g.beats[-1].worker == "gpu-7"
        g.say(opening(), *silence(6.05), end())
        assert isinstance(await g.over(), Ended)
        assert g.text() == SAID
        assert (await w.get("/healthz")).endswith(b"engine: ok\nredis: ok\n")
        page = await w.get("/metrics")
        assert b"worker_streams_opened_total 1.0" in page
        assert b'worker_state{state="ready"} 1.0' in page
        assert b"quick" not in page


async def test_sigterm_finishes_streams_then_says_goodbye(valkey_server: str) -> None:
    async with worker(valkey_server) as w, gateway(valkey_server, w.region) as g:
        await ready(g)
        g.say(opening("old"), *silence(3, "old"))
        await g.until(lambda: any(isinstance(item, Progress) for item in g.of("old")))
        w.process.send_signal(signal.SIGTERM)
        await g.until(lambda: g.beats[-1].state is WorkerState.DRAINING)
        assert b"503" in (await w.get("/healthz"))[:20]
        g.say(opening("new"))
        assert await g.over("new") == Refused(stream="new", epoch=1, code="draining")
        g.say(*silence(3.05, "old", start=48_000), end("old"))
        assert isinstance(await g.over("old"), Ended)
        assert g.text("old") == SAID
        _, logged = await asyncio.wait_for(w.process.communicate(), 10)
        assert w.process.returncode == 0
        await g.until(lambda: g.beats[-1].state is WorkerState.STOPPED)
        events = [json.loads(line) for line in logged.decode().splitlines()]
        assert events[-1]["event"] == "worker stopped"
        assert b"quick" not in logged


@pytest.mark.parametrize("again", [False, True], ids=["after DRAIN_SECONDS", "at a second signal"])
async def test_what_does_not_finish_fails_by_name(valkey_server: str, again: bool) -> None:
    async with (
        worker(valkey_server, DRAIN_SECONDS="60" if again else "0.2") as w,
        gateway(valkey_server, w.region) as g,
    ):
        await ready(g)
        g.say(opening(), *silence(1))
        await g.until(
            lambda: any(isinstance(item, Progress) and item.processed == 15_680 for item in g.items)
        )
        w.process.send_signal(signal.SIGTERM)
        await g.until(lambda: g.beats[-1].state is WorkerState.DRAINING)
        if again:
            w.process.send_signal(signal.SIGTERM)
        failed = await g.over()
        assert isinstance(failed, Failed)
        assert (failed.code, failed.processed) == ("worker_stopping", 15_680)
        await asyncio.wait_for(w.process.communicate(), 10)
        assert w.process.returncode == 0


async def test_an_engine_that_hangs_does_not_keep_it_from_stopping(valkey_server: str) -> None:
    async with (
        worker(valkey_server, DRAIN_SECONDS="0.1", SCRIPTED_STEP_MS="60000") as w,
        gateway(valkey_server, w.region) as g,
    ):
        await ready(g)
        g.say(opening(), *silence(1))
        await g.until(lambda: g.items)
        w.process.send_signal(signal.SIGTERM)
        assert isinstance(await g.over(), Failed)
        await asyncio.wait_for(w.process.communicate(), 15)
        assert w.process.returncode == 0


async def test_an_engine_that_hangs_for_good_makes_it_leave_and_its_streams_hear_of_it(
    valkey_server: str,
) -> None:
    async with (
        worker(valkey_server, STEP_LIMIT_SECONDS="0.3", SCRIPTED_STEP_MS="60000") as w,
        gateway(valkey_server, w.region) as g,
    ):
        await ready(g)
        g.say(opening(), *silence(1))
        failed = await g.over()
        assert isinstance(failed, Failed)
        assert failed.code == "engine_failed"
        _, logged = await asyncio.wait_for(w.process.communicate(), 15)
        assert w.process.returncode == 70
        await g.until(lambda: g.beats[-1].state is WorkerState.STOPPED)
        assert WorkerState.UNHEALTHY in [beat.state for beat in g.beats]
        assert b"the engine hangs" in logged


@pytest.mark.parametrize("wanted", [True, False])
async def test_debug_timing_says_when_and_never_what(valkey_server: str, wanted: bool) -> None:
    async with (
        worker(valkey_server, DEBUG_TIMING=str(wanted)) as w,
        gateway(valkey_server, w.region) as g,
    ):
        await ready(g)
        g.say(opening(), *silence(6.05), end())
        await g.over()
        w.process.send_signal(signal.SIGTERM)
        _, logged = await asyncio.wait_for(w.process.communicate(), 15)
    events = [json.loads(line) for line in logged.decode().splitlines()]
    chunks = [event for event in events if event["event"] == "chunk"]
    assert len(chunks) == (44 if wanted else 0)
    for chunk in chunks:
        times = [chunk[name] for name in ("t_buffered", "t_batch_start", "t_gpu_done", "t_routed")]
        assert times == sorted(times)
    assert b"quick" not in logged


async def test_it_waits_for_redis() -> None:
    async with worker("redis://127.0.0.1:1/0") as w:
        async with asyncio.timeout(20):
            while True:
                try:
                    answer = await w.get("/healthz")
                    break
                except OSError:
                    await asyncio.sleep(0.05)
        assert b"redis: not connected" in answer
        w.process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(w.process.communicate(), 15)
        assert w.process.returncode == 0


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({}, "REDIS_URL is not set"),
        (
            {"REDIS_URL": "redis://127.0.0.1", "MAX_STREAMS": "many"},
            "MAX_STREAMS: 'many' is not a whole number",
        ),
        (
            {"REDIS_URL": "redis://127.0.0.1", "MAX_BATCH_LATENCY_MS": "-1"},
            "MAX_BATCH_LATENCY_MS: '-1' is not between 0 and 1000",
        ),
        (
            {"REDIS_URL": "redis://127.0.0.1", "RECYCLE_ON_DRIFT": "1"},
            "RECYCLE_ON_DRIFT: '1' is not between 1.1 and 100, and not 0",
        ),
        ({"REDIS_URL": "redis://127.0.0.1", "BATCH_WAIT_MS": "5"}, "BATCH_WAIT_MS: '5' is not three numbers"),
        (
            {"REDIS_URL": "redis://127.0.0.1", "SCRIPTED_FILE": "/nowhere"},
            "the script /nowhere cannot be read",
        ),
        ({"REDIS_URL": "redis://:secret@127.0.0.1", "ENGINE": "magic"}, "ENGINE: 'magic' is not one of"),
    ],
)
async def test_a_wrong_setting_stops_it_with_one_sentence(variables: dict[str, str], sentence: str) -> None:
    process = await start(**variables)
    _, said = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 2
    assert sentence in said.decode()
    assert b"Traceback" not in said
    assert b"secret" not in said


async def test_a_taken_port_stops_it_with_one_sentence(valkey_server: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = await start(REDIS_URL=valkey_server, WORKER_PORT=str(taken.getsockname()[1]))
        _, said = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 2
    assert b"WORKER_PORT" in said
    assert b"Traceback" not in said


# ---- its own record


OURS = {"project": PROJECT, "key": KEY}


def told_ms(g: FakeGateway, stream: str) -> int:
    return max(item.processed for item in g.of(stream) if isinstance(item, Progress | Ended | Failed)) // 16


def its(stream: str, tenant: str) -> Open:
    return Open(stream=stream, epoch=1, tenant=tenant, options=StreamOptions(), **OURS)


async def shipped(folder: Path) -> None:
    """Until a worker that lives has only its own file there."""
    async with asyncio.timeout(60):
        while len(log_files.others(folder)) > 1:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_what_a_killed_worker_wrote_is_all_that_gateways_heard_of_and_the_next_ships_it(
    valkey_server: str, transactional_db: None, tmp_path: Path, acme: Any, rival: Any
) -> None:
    given = connection.settings_dict
    variables = {
        "INFERENCE_LOG_DIR": str(tmp_path),
        "INFERENCE_LOG_DATABASE_URL": "postgresql://{USER}:{PASSWORD}@{HOST}:{PORT}/{NAME}".format_map(given),
    }
    ours, hers = str(acme.tenant.id), str(rival.tenant.id)
    async with worker(valkey_server, **variables) as w, gateway(valkey_server, w.region) as g:
        await ready(g)
        g.say(its("s", ours), *silence(5), its("t", hers), *silence(5, "t"))
        await g.until(lambda: all(any(isinstance(i, Progress) for i in g.of(name)) for name in ("s", "t")))
        w.process.kill()
        await w.process.wait()
        told = {name: told_ms(g, name) for name in ("s", "t")}
    [left] = log_files.others(tmp_path)
    records = written(tmp_path)
    wrote = {name: counted(records, name) for name in told}
    assert all(told[name] <= wrote[name] for name in told)
    assert {record.of.stream: record.of.tenant for record in records} == {"s": ours, "t": hers}

    async with (
        worker(valkey_server, WORKER_NAME="next", **variables) as w,
        gateway(valkey_server, w.region) as g,
    ):
        await ready(g)
        await shipped(tmp_path)
        assert not left.exists()
        g.say(its("u", ours), *silence(1.05, "u"), End(stream="u", epoch=1, input_ms=1050))
        await g.over("u")
        w.process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(w.process.communicate(), 30)
        assert w.process.returncode == 0
    assert os.listdir(tmp_path) == []

    def in_the_database() -> list[tuple[Any, ...]]:
        with staff_scope(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT stream, tenant_id::text, r.worker, sum(to_ms - from_ms), bool_or(settled), "
                "bool_and(closed) FROM metering_inferencerecord r JOIN metering_inferencelog USING (log) "
                "GROUP BY 1, 2, 3 ORDER BY 1"
            )
            found = list(cursor.fetchall())
        connection.close()  # that of this thread
        return found

    assert await sync_to_async(in_the_database)() == [
        ("s", ours, "worker-1", wrote["s"], False, True),
        ("t", hers, "worker-1", wrote["t"], False, True),
        ("u", ours, "next", 1050, True, True),
    ]


async def test_a_worker_whose_disk_is_full_says_so_serves_nobody_and_comes_back(
    valkey_server: str, tmp_path: Path
) -> None:
    tenant = "00000001-0000-0000-0000-000000000000"
    folder = tmp_path / "log"
    variables = {
        "INFERENCE_LOG_DIR": str(folder),
        "INFERENCE_LOG_DATABASE_URL": "postgresql://u@127.0.0.1:1/d",
    }
    async with worker(valkey_server, **variables) as w, gateway(valkey_server, w.region) as g:
        await ready(g)
        assert folder.stat().st_mode & 0o077 == 0
        g.say(its("s", tenant), *silence(1))
        await g.until(lambda: any(isinstance(item, Progress) for item in g.items))
        _, hard = resource.prlimit(w.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(w.process.pid, resource.RLIMIT_FSIZE, (1, hard))
        g.say(*silence(1, start=16_000))
        failed = await g.over()
        assert isinstance(failed, Failed)
        assert failed.code == "not_recorded"
        await g.until(lambda: g.beats[-1].state is WorkerState.UNHEALTHY)
        page = await w.get("/healthz")
        assert b"503" in page[:20]
        assert b"inference log: not recorded (" in page
        g.say(its("t", tenant))
        refused = await g.over("t")
        assert isinstance(refused, Refused)
        assert refused.code in ("unhealthy", "not_recorded")
        resource.prlimit(w.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        await ready(g)
        g.say(its("u", tenant), *silence(1, "u"), End(stream="u", epoch=1, input_ms=1000))
        assert isinstance(await g.over("u"), Ended)
        assert b"worker_inference_log_unshipped_bytes" in await w.get("/metrics")
    records = written(folder)
    assert counted(records, "s") == failed.processed // 16
    assert counted(records, "u") == 1000


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"INFERENCE_LOG_DIR": "/proc/no/folder"}, "INFERENCE_LOG_DIR /proc/no/folder cannot be written ("),
        ({"INFERENCE_LOG_DIR": "/dev/null"}, "INFERENCE_LOG_DIR /dev/null cannot be written ("),
        ({"INFERENCE_LOG_DIR": "/tmp", "DATABASE_URL": ""}, "DATABASE_URL is not set."),
        ({"INFERENCE_LOG_MAX_BYTES": "12"}, "INFERENCE_LOG_MAX_BYTES: '12' is not between"),
    ],
)
async def test_a_record_that_cannot_be_kept_stops_it_with_one_sentence(
    valkey_server: str, variables: dict[str, str], sentence: str
) -> None:
    given = {
        "DATABASE_URL": "postgresql://u:hunter2@127.0.0.1:1/d",
        "WORKER_PORT": str(free_port()),
        **variables,
    }
    process = await start(REDIS_URL=valkey_server, **given)
    _, said = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 2
    assert sentence in said.decode()
    assert b"Traceback" not in said
    assert b"hunter2" not in said
