"""Every command of ops/runbooks, pasted as it stands there, works, and shows what the text says it shows."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ops.tests import greps
from tests import recordings
from tests.acceptance import sdk
from tests.acceptance.stack import ROOT, Stack, free_ports, wait_for
from tests.acceptance.tenant import Tenant
from tests.acceptance.terminal import Terminal, opened
from tests.documentation import names

FOLDER = ROOT / "ops" / "runbooks"
RUNBOOKS = sorted(path.stem for path in FOLDER.glob("*.md") if path.name != "README.md")
NEEDED = ("curl", "openssl", "ps", "dmesg")

pytestmark = [
    pytest.mark.stack,
    pytest.mark.timeout(180),
    pytest.mark.skipif(
        not all(map(shutil.which, NEEDED)),
        reason=f"the runbooks' commands need {', '.join(NEEDED)}",
    ),
]

NOTHING_DIFFERS = "Nothing differs: ledger, inference log, payment provider and invoices agree."
# Where a part is really started again.
RESTARTS = {
    "BillingOutboxStuck": "callbacks",
    "CeleryDown": "celery",
    "ModelRollback": "worker",
    "ValkeyDown": "valkey",
}
# What the text next to the command speaks of, as the demo shows it. `*`: whatever is of this run alone.
SHOWN = {
    "BillingDeadLetters": ["0 meter events and 0 webhooks are dead", "* tenants; *", NOTHING_DIFFERS],
    "BillingDifference": [
        NOTHING_DIFFERS,
        "* ledgers are right.",
        "Conservative mode of demo is on.",
        "Conservative mode of demo is off.",
        "Difference #* (ahead, 2026-11-19) is closed.",
    ],
    "BillingOutboxStuck": ["* tenants; *"],
    "CeleryDown": ["ok    celery: beat and worker are alive", "* -m celery -A config.celery worker *"],
    "CertificateExpiry": [
        'stenogate_gateway_certificate_expires_timestamp_seconds{address="127.0.0.1:*"} 1* days left',
        'stenogate_gateway_certificate_unreadable{address="127.0.0.1:*"} 0.0',
        "notAfter=*",
        "shown-here *silent *https://127.0.0.1:*",
    ],
    "ColdStartStorm": [
        'stenogate_gateway_workers{state="starting"} 0.0',
        "worker_start_time_seconds: * seconds ago",
    ],
    "ControlDatabaseDown": [
        "ok    database: answers",
        'stenogate_gateway_part_ready{part="database"} 1.0',
        "connections | most",
        "20* UTC *",  # whatever PostgreSQL has said last: it writes of checkpoints, too
        "Reconciliation of * a dry run: nothing was changed",
    ],
    "DisconnectionCascade": [
        'stenogate_gateway_streams_closed_total{reason="*"} *',
        "local takes no new streams (configuration *).",
        "local (here) *draining *",
        "local takes streams (configuration *).",
    ],
    "InferenceLogBehind": ["log | worker | complete_until", "* | worker-1 | *", "UPDATE 0"],
    "LatencyDegradation": [
        "worker_first_partial_seconds_count *",
        "worker_start_time_seconds: * seconds ago",
    ],
    "ModelRollback": [
        'worker_model_info{engine="moonshine",model="*",version="*"} 1.0',
        "No matter.",
        'stenogate_gateway_workers{state="ready"} 2.0',
    ],
    "ReconciliationMissing": ["ok    celery: *", "pid | query_start | left", NOTHING_DIFFERS],
    "RegionDown": [
        "local (here) *active *",
        "local is out of service *",
        "local (here) *down *",
        "local takes streams *",
    ],
    "UsageLost": ["Reconciliation of 2026-11-20 (UTC), * a dry run: nothing was changed"],
    "UsageNotPosted": [
        "ok    celery: *",
        "locktype | mode | pid",
        "* metering.post*succeeded*",
        NOTHING_DIFFERS,
    ],
    "UsageNotStored": ["ok    redis: answers"],
    "UsageSpoolBroken": ["drwx*var/usage"],
    "ValkeyDown": [
        "ok    redis: answers",
        "True",
        "used_memory_human:*",
        "maxmemory:*",
        "client-output-buffer-limit:*pubsub 268435456 *",
        "local takes streams *",
    ],
    "WorkerLogNotShipped": ["has_function_privilege", "True"],
    "WorkerLogNotWritten": ["inference log: ok"],
    "WorkerUnhealthy": [
        "engine: ok",
        'worker_state{state="unhealthy"} 0.0',
        "the driver has not given the GPU up",
    ],
}


@pytest.fixture(scope="module")
def terminal(stack: Stack, acme: Tenant, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    pcm, rate = recordings.pcm("beckett.wav")
    sdk.transcribe(stack, acme.key, pcm, rate, realtime=False)  # so that there is something to be counted
    with opened(stack, tmp_path_factory.mktemp("checkout")) as terminal:
        yield terminal


@pytest.mark.parametrize("name", RUNBOOKS)
def test_its_commands_work_and_show_what_it_says(stack: Stack, terminal: Terminal, name: str) -> None:
    wait_for(lambda: stack.health()[0] == 200, 60, "everything to be up")
    text = (FOLDER / f"{name}.md").read_text()
    with prepared(name, stack, terminal.folder) as replaced:
        terminal.restarts = RESTARTS.get(name)
        blocks = [_with(block, replaced) for block in names.blocks(text, "sh")]
        shown = terminal.paste(blocks)
    lines = [line.strip() for part in shown for line in part.splitlines()]
    for pattern in (one for block in blocks for one in _looked_for(block)):
        assert any(re.match(pattern, line) for line in lines), f"{pattern} in:\n" + "\n".join(lines)
    for line in SHOWN.get(name, ()):
        like = re.compile(re.escape(line).replace(r"\*", ".*"))
        assert any(like.fullmatch(one) for one in lines), f"{line} in:\n" + "\n".join(lines)


def test_every_expectation_is_of_a_runbook_and_every_restart_is_done_somewhere() -> None:
    assert set(SHOWN) <= set(RUNBOOKS)
    texts = {name: (FOLDER / f"{name}.md").read_text() for name in RUNBOOKS}
    said = {part for text in texts.values() for part in re.findall(r"ops\.local restart (\w+)", text)}
    assert said == set(RESTARTS.values())
    assert all(f"ops.local restart {part}" in texts[name] for name, part in RESTARTS.items())


def _looked_for(block: str) -> Iterator[str]:
    """What a page of metrics has to show, where the command does not say what to show instead."""
    for line in block.splitlines():
        if "|| echo" not in line:
            yield from (one for pattern in greps.of_metrics(line) for one in greps.alternatives(pattern))


def _with(block: str, replaced: dict[str, str]) -> str:
    for old, new in replaced.items():
        block = block.replace(old, new)
    return block


@contextmanager
def prepared(name: str, stack: Stack, folder: Path) -> Iterator[dict[str, str]]:
    """What is another address or number here, and what the alert would have been about."""
    (beside,) = free_ports(1)
    replaced = {
        "http://127.0.0.1:8000": stack.http_url,
        "http://127.0.0.1:8081": f"http://127.0.0.1:{stack.environ['WORKER_PORT']}",
        "8082": str(beside),
    }
    if name == "BillingDifference":
        yield {**replaced, "--close 42": f"--close {_difference(stack)}"}
    elif name == "CertificateExpiry":
        with _address_with_a_certificate(stack, folder) as address:
            yield {**replaced, "stt.example.com:443": address}
    else:
        yield replaced


def _difference(stack: Stack) -> int:
    return int(
        stack.shell("""
from datetime import date
from django.utils import timezone
from metering.models import Difference, Reconciliation
from tenants.models import Tenant
from tenants.scope import staff_scope
with staff_scope():
    now, day = timezone.now(), date(2026, 11, 19)
    run = Reconciliation.objects.create(day=day, started_at=now, finished_at=now)
    answer(Difference.objects.create(
        tenant=Tenant.objects.get(slug="demo"), run=run, day=day, found_at=now,
        kind="ahead", action="raised", open=True,
    ).id)
""")
    )


@contextmanager
def _address_with_a_certificate(stack: Stack, folder: Path) -> Iterator[str]:
    """That of a region, which has no gateway and therefore gets no stream."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    files = ["-keyout", key, "-out", certificate, "-days", "12", "-subj", "/CN=127.0.0.1"]
    subprocess.run([*made, *files], check=True, capture_output=True)
    (port,) = free_ports(1)
    server = subprocess.Popen(
        ["openssl", "s_server", "-accept", str(port), "-key", key, "-cert", certificate, "-quiet"],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    address = f"127.0.0.1:{port}"
    try:
        stack.shell(f"""
from regions import services
answer(services.add_region("shown-here", address={f"https://{address}"!r}, actor="the tests"))
""")
        wait_for(lambda: f'{address}"}} 0.0' in _metrics(stack), 15, "the gateway to have looked at it")
        yield address
    finally:
        stack.shell("""
from regions.models import Region
from tenants.scope import staff_scope
with staff_scope():
    answer(Region.objects.filter(name="shown-here").delete()[0])
""")
        with server:  # closes what leads to it, and waits
            server.terminate()


def _metrics(stack: Stack) -> str:
    return subprocess.run(
        ["curl", "-s", f"{stack.http_url}/metrics"], capture_output=True, text=True, check=True
    ).stdout
