"""The Celery application: `celery -A config.celery worker -B`, and one more for the queue `callbacks`."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import redis
from celery import Celery
from celery.schedules import crontab
from celery.signals import worker_ready
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
# Django's checks would import every page of the gateway into a process that has none. `make check` runs them.
os.environ.setdefault("CELERY_SKIP_CHECKS", "true")

app = Celery("stenogate")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.autodiscover_tasks(
    ["metering.ledger", "metering.receipts", "metering.payments", "metering.invoices", "metering.reconcile"]
)

CALLBACKS = "callbacks"  # the queue, and the name of the worker that serves it, and the queue `payments`
# Written by a task that beat sends and a worker runs, so one key shows that both live.
ALIVE_KEY = "steno:celery:alive"
CALLBACKS_ALIVE_KEY = "steno:callbacks:alive"
ALIVE_EVERY_S = 5
ALIVE_FOR_S = 20

_schedule: dict[str, dict[str, Any]] = {
    "alive": {"task": "config.alive", "schedule": ALIVE_EVERY_S},
    "callbacks alive": {
        "task": "config.alive",
        "schedule": ALIVE_EVERY_S,
        "args": (CALLBACKS_ALIVE_KEY,),
        "options": {"queue": CALLBACKS},
    },
}

# Behind a full queue each turn of a second would be too old when it is taken, and none would ever be.
_EXPIRES = {"metering.post": 30}
# What is due of the ledger, payments and receipts. A turn that nobody took before the next one is forgotten.
for _task, _seconds in {
    "metering.post": 1,
    "metering.turn_period": 60,
    "metering.issue_receipts": 5,
    "metering.fill_outbox": 60,
    "metering.deliver": 10,
    "metering.handle_webhooks": 5,
    "metering.settle": 300,
    "metering.end_grace": 300,
}.items():
    _schedule[_task] = {
        "task": _task,
        "schedule": _seconds,
        "options": {"expires": _EXPIRES.get(_task, _seconds)},
    }

_schedule["metering.finalise_invoices"] = {
    "task": "metering.finalise_invoices",
    "schedule": crontab(minute="7"),
    "options": {"expires": 3000},
}

# Yesterday, and once more the day before, when the logs of machines that were away have come. By UTC.
_schedule["metering.reconcile"] = {
    "task": "metering.reconcile",
    "schedule": crontab(hour="3", minute="0"),
    "options": {"expires": 6 * 3600},
}

# Once, and whole: to read what is there already would read the settings, which `make run` does not have yet.
app.conf.beat_schedule = _schedule


# Who is behind with a full queue is not dead, so that a sign of life waits in it for longer than one lasts.
@app.task(name="config.alive", expires=60)
def alive(key: str = ALIVE_KEY) -> None:
    said = _left_alone() if key == CALLBACKS_ALIVE_KEY else {}
    with redis.from_url(settings.REDIS_URL) as client:
        client.set(key, json.dumps({"at": time.time(), "breakers": said}), ex=ALIVE_FOR_S)


def _left_alone() -> dict[str, int]:
    """How many breakers are open in this process, by what is behind them: for the gateway's /metrics."""
    from gateway import receivers
    from metering.payments import client

    return {"stripe": int(client.breaker.open), "callbacks": receivers.current().open}


@worker_ready.connect
def announce(sender: Any = None, **_: Any) -> None:
    hostname = str(getattr(sender, "hostname", ""))
    alive(CALLBACKS_ALIVE_KEY if hostname.startswith(f"{CALLBACKS}@") else ALIVE_KEY)
