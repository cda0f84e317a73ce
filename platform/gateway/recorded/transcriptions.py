"""`POST /v1/audio/transcriptions`: OpenAI's. The form is read as it comes, the recording anywhere in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from config import env
from gateway import process, query
from gateway.errors import GatewayError, TranslationNotOffered
from gateway.events import Transcript
from gateway.parameters import ListenParameters
from gateway.query import NotAllowed, Parameter
from gateway.recorded import hearing, languages, openai_answer, turns
from gateway.recorded.application import Application, authenticate
from gateway.recorded.exchange import Exchange
from gateway.recorded.forms import Form
from gateway.recorded.guest import Guest
from gateway.recorded.heard import Heard
from gateway.recorded.uploads import Upload, disk
from gateway.stream import Stream

PATH = "/v1/audio/transcriptions"
TRANSLATIONS = "/v1/audio/translations"
FORMATS = ("json", "verbose_json", "text", "srt", "vtt")
MAX_PROMPT = 16_384
MAX_KEYWORDS, MAX_KEYWORD_LENGTH = 100, 100
# The form has boundaries, headers and fields around the recording.
FORM_BYTES = 256 * 1024
_PARAMETER = re.compile(r"(?:\A|\. )([a-z_]+)=")


def _language(given: Sequence[str]) -> object:
    # Empty is how forms say that nothing was chosen.
    return query.text()(given) if given[-1] else ""


def _prompt(given: Sequence[str]) -> object:
    if len(given[-1]) > MAX_PROMPT:
        raise NotAllowed
    return given[-1]


DESCRIBED: tuple[Parameter, ...] = (
    Parameter("model", "the model; names of other services' models mean the default",
              f"1 to {query.MAX_TEXT} printable characters", "the worker's", query.text(), "model"),
    Parameter("language", "the language that is spoken", f"up to {query.MAX_TEXT} printable characters",
              "whichever the model hears", _language, "language"),
    Parameter("prompt", "accepted, and not used", f"up to {MAX_PROMPT} characters", "none",
              _prompt, "prompt"),
    Parameter("response_format", "the shape of the answer", ", ".join(FORMATS), "json",
              query.choice(*FORMATS), "format", {"type": "string", "enum": list(FORMATS)}),
    Parameter("temperature", "accepted, and not used", "a number from 0 to 1", "0", query.number(0, 1),
              "temperature", {"type": "number", "minimum": 0, "maximum": 1}),
    Parameter("timestamp_granularities", "what verbose_json has times of; repeat it for both",
              "word or segment", "segment", query.several(("word", "segment")), "granularities",
              {"type": "string", "enum": ["word", "segment"]}, repeated=True),
    Parameter("stream", "send the text as it is heard, as server-sent events", "true or false", "false",
              query.boolean, "stream", {"type": "boolean"}),
    Parameter("keywords", "words to listen for, for engines that can; repeat it for more",
              f"up to {MAX_KEYWORDS}, each of up to {MAX_KEYWORD_LENGTH} printable characters", "none",
              query.texts(MAX_KEYWORDS, MAX_KEYWORD_LENGTH), "keywords", repeated=True),
)  # fmt: skip


@dataclass(frozen=True)
class Asked:
    model: str = ""
    language: str = ""
    prompt: str = ""
    format: str = "json"
    temperature: float = 0.0
    granularities: tuple[str, ...] = ()
    stream: bool = False
    keywords: tuple[str, ...] = ()

    @property
    def parameters(self) -> ListenParameters:
        # No language said is any: `multi` has no other meaning to a worker.
        return ListenParameters(
            encoding=None,
            model=self.model,
            language=self.language or "multi",
            keyterms=self.keywords,
            recorded=True,
        )


def understand(fields: query.Values) -> Asked:
    return Asked(**query.read(DESCRIBED, fields))  # type: ignore[arg-type]  # by field


class Transcriptions(Application):
    path = PATH

    def problem(self, error: GatewayError, request_id: str) -> dict[str, Any]:
        named = _PARAMETER.search(error.detail) if error.status == 400 else None
        return openai_answer.problem(error, request_id, named.group(1) if named else None)

    async def handle(self, exchange: Exchange) -> None:
        grant = await authenticate(exchange)
        house = process.current()
        with Upload(disk(), env.UPLOAD_MAX_BYTES.read() + FORM_BYTES) as upload:
            known = [parameter.name for parameter in DESCRIBED]
            form = Form(exchange.header("content-type"), known, upload.write)
            async with Guest(house, grant, exchange.request_id) as guest:
                upload.expect(exchange.length)
                await upload.take(exchange.body(), form.feed)
                form.finish()
                asked = understand(form.fields)
                house.link.check(asked.parameters.options())
                await exchange.while_connected(_answer(exchange, guest, asked, upload))


async def _answer(exchange: Exchange, guest: Guest, asked: Asked, upload: Upload) -> None:
    parameters = await hearing.look_into(upload, asked.parameters)
    stream = await hearing.open_stream(guest, turns.current(), parameters, PATH, upload)
    if asked.stream:
        await _stream(exchange, stream, upload)
        return
    heard = await hearing.hear(stream, upload.sha256)
    if asked.format == "json":
        await exchange.answer_json(openai_answer.json_answer(heard))
    elif asked.format == "verbose_json":
        await exchange.answer_json(_verbose(guest, asked, heard))
    else:
        kind, body = _plain(asked.format, heard)
        await exchange.answer(200, f"{kind}; charset=utf-8", body.encode())


def _verbose(guest: Guest, asked: Asked, heard: Heard) -> dict[str, Any]:
    return openai_answer.verbose_answer(
        heard,
        language=languages.of(guest.house, heard.about, asked.language),
        words="word" in asked.granularities,
        segments=asked.granularities != ("word",),
        temperature=asked.temperature,
    )


def _plain(form: str, heard: Heard) -> tuple[str, str]:
    if form == "srt":
        return "application/x-subrip", openai_answer.srt(heard)
    if form == "vtt":
        return "text/vtt", openai_answer.vtt(heard)
    return "text/plain", openai_answer.text(heard) + "\n"


async def _stream(exchange: Exchange, stream: Stream, upload: Upload) -> None:
    """Server-sent events. What goes wrong now is an event too: the status has been said."""
    first = True

    async def say(final: Transcript) -> None:
        nonlocal first
        if final.words:
            await exchange.say(openai_answer.event(openai_answer.delta(final, first=first)), more=True)
            first = False

    try:
        await exchange.start(200, "text/event-stream; charset=utf-8", {"cache-control": "no-cache"})
        heard = await hearing.hear(stream, upload.sha256, say)
    except GatewayError as error:
        last = openai_answer.event(openai_answer.problem(error, exchange.request_id))
    else:
        last = openai_answer.event(openai_answer.done(heard)) + openai_answer.DONE
    finally:
        stream.leave()
    await exchange.say(last, more=False)


class Translations(Application):
    path = TRANSLATIONS

    def problem(self, error: GatewayError, request_id: str) -> dict[str, Any]:
        return openai_answer.problem(error, request_id)

    async def handle(self, exchange: Exchange) -> None:
        await authenticate(exchange)
        raise TranslationNotOffered()
