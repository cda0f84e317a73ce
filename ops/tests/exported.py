"""Every series that a gateway and a worker can show, with its labels, asked of the registries they show."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib import import_module

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.registry import Collector

from gateway import errors_page, health, request_log
from inference_worker.engines.base import Memory
from inference_worker.telemetry import Telemetry
from metering.models.reconciliation import DifferenceKind
from wire.messages import WorkerState

# What Prometheus itself knows of whom it asks, and what the configuration in ops/alerts/README.md adds.
OF_TARGETS = frozenset({"instance", "job", "region"})
OF_PROMETHEUS = {"up": frozenset[str]()}
SUFFIXES = {
    "counter": ("_total", "_created"),
    "histogram": ("_bucket", "_sum", "_count", "_created"),
    "gauge": ("",),
}
# The values of a label, where they are a list in the code.
VALUES = {
    "state": {state.value for state in WorkerState},
    "part": set(health.CHECKS),
    "kind": {kind.value for kind in DifferenceKind},
    "reason": {code for code, *_ in errors_page.rows()} | {request_log.DONE, request_log.CLIENT_LEFT},
    "code": {code for code, *_ in errors_page.rows()},
    "job": {"gateway", "worker"},
}


@cache
def series() -> dict[str, frozenset[str]]:
    """Name of a series, and its labels."""
    import_module("gateway.telemetry")  # tells of itself as it is read
    telemetry = Telemetry()
    telemetry.watch_memory(lambda: Memory(1, 1, 1, 0, 0))
    telemetry.watch_log(lambda: 0, lambda: 0.0)
    return {**dict(_of(REGISTRY)), **dict(_of(telemetry.registry)), **OF_PROMETHEUS}


def _of(registry: CollectorRegistry) -> Iterator[tuple[str, frozenset[str]]]:
    collectors: dict[Collector, list[str]] = registry._collector_to_names
    for collector in collectors:
        own = frozenset(getattr(collector, "_labelnames", ()))
        # Without children a labelled metric shows nothing, but it says what it would.
        families = list(collector.describe()) if hasattr(collector, "describe") else list(collector.collect())
        for family in families:
            for suffix in SUFFIXES.get(family.type, ("",)):
                more = {"le"} if suffix == "_bucket" else set()
                of_samples = {label for sample in family.samples for label in sample.labels}
                yield family.name + suffix, own | more | (of_samples - {"le"})
