"""Valkey and PostgreSQL that go away, forget, or are hard to reach."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

import redis

from config import env
from ops.chaos import beside, proxy
from ops.chaos.client import Heard
from ops.chaos.errors import NotPossible
from ops.chaos.lab import Lab
from ops.chaos.report import Row

LOSS = 0.3


@contextmanager
def _bad_road(lab: Lab) -> Iterator[tuple[beside.Beside, proxy.Road]]:
    """A gateway whose way to Valkey can be made bad."""
    url = urlsplit(env.REDIS_URL.read(lab.demo.environ))
    if url.scheme != "redis" or url.hostname is None:
        raise NotPossible("Its Valkey is not reached by plain TCP.")
    with proxy.road(url.hostname, url.port or 6379) as road:
        at, _, _ = url.netloc.rpartition("@")
        through = f"{at}@" if at else ""
        there = urlunsplit(url._replace(netloc=f"{through}127.0.0.1:{road.port}"))
        with beside.gateway(lab.demo, REDIS_URL=there) as second:
            yield second, road


def valkey_restart(lab: Lab) -> Row:
    disturbed = lab.disturb(lambda heard: lab.demo.kill("valkey"))
    lab.demo.wait_well()
    return lab.row(
        "valkey_restart", "kill -9 of Valkey; it comes back with what it had on its disk",
        "the stream goes on or is resumed, and loses nothing", disturbed,
    )  # fmt: skip


def valkey_flush(lab: Lab) -> Row:
    lab.demo.pid("valkey")  # and not one that holds more than what is tried here

    def flush(heard: Heard) -> None:
        with redis.Redis.from_url(env.REDIS_URL.read(lab.demo.environ)) as client:
            client.flushall()

    disturbed = lab.disturb(flush)
    lab.demo.wait_well()
    return lab.row(
        "valkey_flush", "FLUSHALL: Valkey forgets leases, counters, and the tasks that wait",
        "nobody notices, and usage is handed over again", disturbed, disturbed.uncut(),
    )  # fmt: skip


def postgres_restart(lab: Lab) -> Row:
    disturbed = lab.disturb(lambda heard: lab.demo.kill("postgres", signal.SIGINT))
    lab.demo.wait_well()
    return lab.row(
        "postgres_restart", "PostgreSQL is stopped and starts again",
        "the stream goes on; its usage waits and is recorded once", disturbed, disturbed.uncut(),
    )  # fmt: skip


def packet_loss(lab: Lab) -> Row:
    lossy_s = lab.plan.lossy_s
    with _bad_road(lab) as (second, road):

        def lose(heard: Heard) -> None:
            road.loss = LOSS
            time.sleep(lossy_s)
            road.loss = 0.0

        disturbed = lab.disturb(lose, [second.url, lab.demo.http_url])
        faults = [] if road.held_up_s else ["nothing was lost"]
    return lab.row(
        "packet_loss",
        f"{LOSS:.0%} of packets between a gateway and Valkey are lost for {lossy_s:g} s (a proxy acts it)",
        "late results; a stream that must move or resume does, and loses nothing", disturbed, faults,
    )  # fmt: skip


def partition(lab: Lab) -> Row:
    stall_s = lab.plan.stall_s
    with _bad_road(lab) as (second, road):

        def part(heard: Heard) -> None:
            road.cut()
            time.sleep(stall_s)
            road.mend()

        disturbed = lab.disturb(part, [second.url, lab.demo.http_url])
        faults = [] if road.stopped else ["nothing was on its way"]
    return lab.row(
        "partition",
        f"nothing moves between a gateway and Valkey for {stall_s:g} s (a proxy acts it)",
        "the stream goes on afterwards or is resumed elsewhere, and loses nothing", disturbed, faults,
    )  # fmt: skip
