"""Pages for whoever opens the gateway's address in a browser."""

from __future__ import annotations

import sys

from django.http import HttpRequest, HttpResponse
from django.views.defaults import server_error

from faults import kinds

HOME = """Stenogate: streaming speech-to-text

  /v1/listen   live streaming over a WebSocket, as Deepgram's clients speak it; needs an API key
  /healthz     whether every part is ready
  /admin/      for staff
"""


AWAY = """The control database cannot be reached, and this page needs it. Try again in a few seconds.

Streams with keys that are known go on; see docs/control-database.md.
"""


def failed(request: HttpRequest) -> HttpResponse:
    """Django's page for whatever went wrong, but for what nobody has done wrong."""
    error = sys.exc_info()[1]
    if error is None or not kinds.postgres_is_away(error):
        return server_error(request)
    headers = {"Retry-After": "5"}
    return HttpResponse(AWAY, status=503, content_type="text/plain; charset=utf-8", headers=headers)


def home(request: HttpRequest) -> HttpResponse:
    return HttpResponse(HOME, content_type="text/plain; charset=utf-8")
