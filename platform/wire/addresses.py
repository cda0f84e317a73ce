"""Who listens where on the channel layer."""

from __future__ import annotations

import re

_REGION = re.compile(r"[a-z][a-z0-9-]{0,31}\Z")

# Of all our channels and groups on a layer; gateways and workers must have the same.
LAYER_PREFIX = "steno"
WORKER_PREFIX = "worker."
GATEWAY_PREFIX = "gateway."


def heartbeat_group(region: str) -> str:
    """The group in which the workers of a region tell its gateways that they live."""
    if not _REGION.match(region):
        raise ValueError(f"region {region!r}: lower-case letters, digits and dashes, at most 32")
    return f"workers.{region}"
