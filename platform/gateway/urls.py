"""Where the gateway answers."""

from __future__ import annotations

from typing import Any

from django.urls import path, re_path

from gateway import health
from gateway.consumers import ListenConsumer, UnknownPathConsumer
from gateway.guest_consumers import AssemblyAIConsumer, RealtimeConsumer
from gateway.rest.api import api
from gateway.rest.refusals import live_only

urlpatterns = [
    path("healthz", health.healthz, name="healthz"),
    path("metrics", health.metrics, name="metrics"),
    path("v1/realtime", live_only),
    path("v3/ws", live_only),
    path("v1/", api.urls),
]

# Django's types know only views here; `channels.routing.URLRouter` takes applications.
_listen: Any = ListenConsumer.as_asgi()
_realtime: Any = RealtimeConsumer.as_asgi()
_assemblyai: Any = AssemblyAIConsumer.as_asgi()
_unknown: Any = UnknownPathConsumer.as_asgi()

websocket_urlpatterns: list[Any] = [
    path("v1/listen", _listen),
    path("v1/realtime", _realtime),
    path("v3/ws", _assemblyai),
    re_path(r"", _unknown),
]
