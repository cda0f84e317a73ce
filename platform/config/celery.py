"""The Celery application: `celery -A config.celery worker -B`."""

from __future__ import annotations

import os
import time
from typing import Any

import redis
from celery import Celery
from celery.signals import worker_ready
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("stenogate")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

# Written by a task that beat sends and a worker runs, so one key shows that both live.
ALIVE_KEY = "steno:celery:alive"
ALIVE_EVERY_S = 5
ALIVE_FOR_S = 20

app.conf.beat_schedule = {"alive": {"task": "config.alive", "schedule": ALIVE_EVERY_S}}


@app.task(name="config.alive", expires=ALIVE_EVERY_S)
def alive() -> None:
    with redis.from_url(settings.REDIS_URL) as client:
        client.set(ALIVE_KEY, str(time.time()), ex=ALIVE_FOR_S)


@worker_ready.connect
def announce(**_: Any) -> None:
    alive()
