"""Which addresses are for recorded audio. All others are Django's."""

from __future__ import annotations

from typing import Any

from gateway.recorded.application import Application
from gateway.recorded.exchange import Receive, Send
from gateway.recorded.listen import Listen
from gateway.recorded.transcriptions import Transcriptions, Translations

APPLICATIONS: dict[str, Application] = {
    application.path: application for application in (Listen(), Transcriptions(), Translations())
}


class Routes:
    """ASGI: ours where it is ours, else what is given."""

    def __init__(self, others: Any) -> None:
        self._others = others

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await APPLICATIONS.get(scope["path"], self._others)(scope, receive, send)
