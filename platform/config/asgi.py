"""The ASGI application: HTTP is Django's, WebSockets go to the gateway's consumers."""

from __future__ import annotations

import os
import warnings

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
# Without `collectstatic` the files come from the packages themselves, and that is well.
warnings.filterwarnings("ignore", "No directory at", module="django.core.handlers")
django_application = get_asgi_application()

# Consumers import models, which exist only after the line above.
from gateway.urls import websocket_urlpatterns  # noqa: E402

application = ProtocolTypeRouter({"http": django_application, "websocket": URLRouter(websocket_urlpatterns)})
