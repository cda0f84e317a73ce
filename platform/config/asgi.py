"""The ASGI application: WebSockets go to the gateway's consumers, recorded audio to applications that begin
before its body has come; all other HTTP is Django's."""

from __future__ import annotations

import os
import warnings

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
# Without `collectstatic` the files come from the packages themselves, and that is well.
warnings.filterwarnings("ignore", "No directory at", module="django.core.handlers")
django_application = get_asgi_application()

# These import models, which exist only after the line above.
from gateway.recorded.routes import Routes  # noqa: E402
from gateway.urls import websocket_urlpatterns  # noqa: E402

application = ProtocolTypeRouter(
    {"http": Routes(django_application), "websocket": URLRouter(websocket_urlpatterns)}
)
