"""Pages for whoever opens the gateway's address in a browser."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

HOME = """Stenogate: streaming speech-to-text

  /v1/listen   live streaming over a WebSocket, as Deepgram's clients speak it; needs an API key
  /healthz     whether every part is ready
  /admin/      for staff
"""


def home(request: HttpRequest) -> HttpResponse:
    return HttpResponse(HOME, content_type="text/plain; charset=utf-8")
