"""`POST /v1/listen`: Deepgram's recorded audio."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import msgspec

from config import env
from gateway import outbound, parameters, problem, process, query
from gateway.body_errors import BadBody, UnsupportedBody, UploadTooLarge
from gateway.errors import GatewayError, MethodNotAllowed, UpgradeRequired
from gateway.parameters import ListenParameters
from gateway.query import Parameter
from gateway.recorded import hearing, languages, later, turns
from gateway.recorded.application import Application, authenticate
from gateway.recorded.deepgram_answer import Wishes, answer
from gateway.recorded.exchange import Exchange
from gateway.recorded.guest import Guest
from gateway.recorded.uploads import Upload, disk

PATH = "/v1/listen"
MAX_JSON_BYTES = 64 * 1024
UTT_SPLIT_S = (0.1, 60.0)
# Bodies that are no recording, whatever is in them.
NOT_AUDIO = ("multipart/", "image/", "text/html")


def _split_ms(given: Sequence[str]) -> int:
    return round(query.number(*UTT_SPLIT_S)(given) * 1000)  # type: ignore[operator]


# Beside those of live streaming.
DESCRIBED: tuple[Parameter, ...] = (
    Parameter("utterances", "the transcript also by utterance", "true or false", "false", query.boolean,
              "utterances", {"type": "boolean"}),
    Parameter("utt_split", "seconds of silence that part two utterances",
              "a number from {:g} to {:g}".format(*UTT_SPLIT_S), "0.8", _split_ms,
              "utt_split_ms", {"type": "number", "minimum": UTT_SPLIT_S[0], "maximum": UTT_SPLIT_S[1]}),
    Parameter("paragraphs", "the transcript also by paragraph and sentence", "true or false", "false",
              query.boolean, "paragraphs", {"type": "boolean"}),
    Parameter("detect_language", "name the language that the model hears", "true or false", "false",
              query.boolean, "detect_language", {"type": "boolean"}),
)  # fmt: skip


class Listen(Application):
    path = PATH

    def not_post(self, method: str) -> GatewayError:
        return UpgradeRequired() if method == "GET" else MethodNotAllowed(allow="GET, POST")

    def problem(self, error: GatewayError, request_id: str) -> dict[str, Any]:
        return {**problem.body(error, request_id)}

    async def handle(self, exchange: Exchange) -> None:
        grant = await authenticate(exchange)
        asked, wishes = understand(exchange.scope["query_string"])
        house = process.current()
        house.link.check(asked.options())
        if exchange.content_type.startswith(NOT_AUDIO):
            raise UnsupportedBody("Send the recording itself as the body, or JSON with its url.")
        if asked.callback:
            await later.check(house, asked.callback)
        with ExitStack() as leaving:
            upload = leaving.enter_context(Upload(disk(), env.UPLOAD_MAX_BYTES.read()))
            async with Guest(house, grant, exchange.request_id) as guest:
                url = await receive(exchange, upload)
                if asked.callback:
                    await later.begin(
                        guest,
                        asked,
                        lambda guest: _transcribed(guest, asked, wishes, upload, url),
                        self.problem,
                        leaving.pop_all(),
                    )
                    body: dict[str, Any] = {"request_id": exchange.request_id}
                else:
                    body = await exchange.while_connected(_transcribed(guest, asked, wishes, upload, url))
        await exchange.answer_json(body)


def understand(query_string: bytes) -> tuple[ListenParameters, Wishes]:
    values = query.fields(query_string)
    asked = parameters.from_values(values)
    wishes = Wishes(**query.read(DESCRIBED, values))  # type: ignore[arg-type]  # by field
    return replace(asked, recorded=True, interim_results=False), wishes


async def receive(exchange: Exchange, upload: Upload) -> str:
    """The body: on the disk, or the URL that it gives."""
    if exchange.content_type == "application/json":
        return await _url(exchange)
    upload.expect(exchange.length)
    await upload.take(exchange.body())
    return ""


async def _url(exchange: Exchange) -> str:
    body = b""
    async for chunk in exchange.body():
        body += chunk
        if len(body) > MAX_JSON_BYTES:
            raise BadBody(f"JSON with a url is at most {MAX_JSON_BYTES} bytes.")
    try:
        return msgspec.json.decode(body, type=_Source).url
    except (msgspec.DecodeError, RecursionError):
        raise BadBody('JSON is an object with a string "url". Audio has another Content-Type.') from None


class _Source(msgspec.Struct):
    url: str


async def _fetch(guest: Guest, url: str, upload: Upload) -> None:
    try:
        async with guest.house.outbound.stream_get(url, env.UPLOAD_MAX_BYTES.read()) as fetched:
            upload.expect(fetched.length)
            await upload.take(fetched.chunks)
    except outbound.TooLarge:
        raise UploadTooLarge() from None


async def _transcribed(
    guest: Guest, asked: ListenParameters, wishes: Wishes, upload: Upload, url: str
) -> dict[str, Any]:
    if url:
        await _fetch(guest, url, upload)
    asked = await hearing.look_into(upload, asked)
    stream = await hearing.open_stream(guest, turns.current(), asked, PATH, upload)
    heard = await hearing.hear(stream, upload.sha256)
    return answer(heard, wishes, language=languages.of(guest.house, heard.about, asked.language))
