"""The sockets of other services' protocols."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from config import env
from gateway import query
from gateway.auth import Credentials, header
from gateway.consumers import StreamConsumer
from gateway.dialects import assemblyai, assemblyai_settings, realtime
from gateway.dialects.assemblyai import AssemblyAI
from gateway.dialects.base import Dialect
from gateway.dialects.realtime import Realtime
from gateway.dialects.realtime_settings import Refused, Settings, updated
from gateway.errors import BadParameter, GatewayError
from gateway.parameters import ListenParameters

OPENAI_SUBPROTOCOL, OPENAI_KEY, OPENAI_BETA = "realtime", "openai-insecure-api-key.", "openai-beta."


class RealtimeConsumer(StreamConsumer):
    """`/v1/realtime`: OpenAI's Realtime API, transcription."""

    path = "/v1/realtime"

    def refusal(self, error: GatewayError, request_id: str) -> dict[str, Any]:
        return realtime.refusal(error, request_id)

    def credentials(self, scope: Mapping[str, Any]) -> Credentials | None:
        """Browsers cannot set a header: `["realtime", "openai-insecure-api-key.KEY"]`."""
        offered = scope.get("subprotocols", ())
        if header(scope["headers"], b"authorization") is not None:
            return None
        for one in offered:
            if one.startswith(OPENAI_KEY):
                echoed = OPENAI_SUBPROTOCOL if OPENAI_SUBPROTOCOL in offered else None
                return Credentials(one.removeprefix(OPENAI_KEY), echoed)
        return None

    def understand(self, scope: Mapping[str, Any]) -> tuple[ListenParameters, Dialect]:
        values = query.fields(scope["query_string"])
        asked = {name: values[name][-1] for name in ("model", "language") if name in values}
        try:
            settings = updated(Settings(), {"input_audio_transcription": asked})
        except Refused as error:
            raise BadParameter(str(error).removeprefix("session.input_audio_transcription.")) from None
        beta = header(scope["headers"], b"openai-beta") is not None or any(
            one.startswith(OPENAI_BETA) for one in scope.get("subprotocols", ())
        )
        dialect = Realtime(settings, beta=beta, idle_s=env.STREAM_QUIET_SECONDS.read())
        return settings.parameters(), dialect


class AssemblyAIConsumer(StreamConsumer):
    """`/v3/ws`: AssemblyAI's streaming API."""

    path = "/v3/ws"

    def refusal(self, error: GatewayError, request_id: str) -> dict[str, Any]:
        return assemblyai.refusal(error, request_id)

    def credentials(self, scope: Mapping[str, Any]) -> Credentials | None:
        return assemblyai_credentials(scope)

    def understand(self, scope: Mapping[str, Any]) -> tuple[ListenParameters, Dialect]:
        settings = assemblyai_settings.parse(scope["query_string"])
        idle_s = settings.inactivity_s or env.STREAM_QUIET_SECONDS.read()
        return settings.parameters(), AssemblyAI(settings, idle_s=idle_s)


def assemblyai_credentials(scope: Mapping[str, Any]) -> Credentials | None:
    """`Authorization: KEY` with no scheme, or `?token=`; with a scheme it is read as everywhere."""
    given = header(scope["headers"], b"authorization")
    if given is not None:
        given = given.strip()
        return Credentials(given, None) if given and " " not in given else None
    tokens = query.fields(scope["query_string"]).get("token")
    return Credentials(tokens[-1], None) if tokens else None
