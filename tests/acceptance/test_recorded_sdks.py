"""Recorded audio through the real clients of Deepgram and OpenAI, with real speech and the whole service."""

from __future__ import annotations

import io
import re
import threading
import warnings
import wave
from collections.abc import Iterator
from typing import Any

import av
import pytest
from openai import AuthenticationError, BadRequestError, OpenAI

from tests import recordings
from tests.acceptance import sdk
from tests.acceptance.stack import Stack
from tests.acceptance.tenant import Tenant, usage
from tests.receiver import Answer, receiver

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

MAX_WORD_ERROR_RATE = 0.15
TWO_CITIES, BECKETT = "two_cities.wav", "beckett.wav"
TIME = r"\d\d:\d\d:\d\d"


def audio(name: str) -> bytes:
    return recordings.path(name).read_bytes()


def beginning(name: str, ms: int) -> bytes:
    pcm, rate = recordings.pcm(name)
    file = io.BytesIO()
    with wave.open(file, "wb") as target:
        target.setparams((1, 2, rate, 0, "NONE", ""))
        target.writeframes(pcm[: 2 * (rate * ms // 1000)])
    return file.getvalue()


def milliseconds(name: str) -> int:
    pcm, rate = recordings.pcm(name)
    return len(pcm) // 2 * 1000 // rate


def is_right(name: str, heard: str) -> bool:
    return recordings.word_error_rate(recordings.TEXTS[name], heard) <= MAX_WORD_ERROR_RATE


def as_mp3(name: str) -> bytes:
    """What a podcast is: another container, another codec, another rate."""
    file = io.BytesIO()
    with av.open(str(recordings.path(name))) as source, av.open(file, "w", format="mp3") as target:
        stream = target.add_stream("libmp3lame", rate=44_100)
        resampler = av.AudioResampler(format="s16p", layout="stereo", rate=44_100)
        for frame in source.decode(audio=0):
            for part in resampler.resample(frame):
                target.mux(stream.encode(part))
        for part in resampler.resample(None):
            target.mux(stream.encode(part))
        target.mux(stream.encode(None))
    return file.getvalue()


# ---- Deepgram


@pytest.fixture
def media(stack: Stack, acme: Tenant) -> Iterator[Any]:
    with sdk.recorded(stack, acme.key) as interface:
        yield interface


@pytest.mark.parametrize("name", [TWO_CITIES, BECKETT])
def test_deepgram_transcribes_a_file(media: Any, stack: Stack, acme: Tenant, name: str) -> None:
    heard = media.transcribe_file(
        request=audio(name), model="nova-3", utterances=True, paragraphs=True, smart_format=False
    )
    alternative = heard.results.channels[0].alternatives[0]
    assert is_right(name, alternative.transcript)
    times = [at for word in alternative.words for at in (word.start, word.end)]
    assert times == sorted(times)
    assert 0 <= times[0] <= times[-1] <= heard.metadata.duration
    assert all(word.punctuated_word for word in alternative.words)
    assert " ".join(one.transcript for one in heard.results.utterances) == alternative.transcript
    sentences = [one for part in alternative.paragraphs.paragraphs for one in part.sentences]
    assert " ".join(one.text for one in sentences) == alternative.transcript
    assert heard.metadata.duration == milliseconds(name) / 1000
    assert heard.metadata.channels == 1
    assert heard.metadata.models == list(heard.metadata.model_info)
    ranges = usage(stack, acme, heard.metadata.request_id, milliseconds(name))
    assert sum(end - start for start, end in ranges) == milliseconds(name)


def test_deepgram_transcribes_what_comes_piece_by_piece(media: Any) -> None:
    data = as_mp3(BECKETT)
    pieces = (data[n : n + 4096] for n in range(0, len(data), 4096))
    heard = media.transcribe_file(request=pieces)
    assert is_right(BECKETT, heard.results.channels[0].alternatives[0].transcript)


def test_deepgram_transcribes_a_url(media: Any) -> None:
    with receiver(lambda _: Answer(body=audio(BECKETT))) as server:
        heard = media.transcribe_url(url=server.url("/a.wav"))
    assert is_right(BECKETT, heard.results.channels[0].alternatives[0].transcript)


def test_deepgram_gets_a_request_id_where_there_is_a_callback(media: Any) -> None:
    with receiver() as server:
        accepted = media.transcribe_file(request=audio(BECKETT), callback=server.url("/done"))
        (told,) = server.wait_for(1, 30)
    assert accepted.request_id
    assert accepted.request_id.encode() in told.body


def test_deepgram_hears_why_it_is_refused(media: Any) -> None:
    with pytest.raises(sdk.BadRequest) as raised:
        media.transcribe_file(request=audio(BECKETT), language="tlh")
    assert raised.value.body["err_code"] == "unknown_model"


# ---- OpenAI


@pytest.fixture(scope="session")
def openai(stack: Stack, acme: Tenant) -> Iterator[OpenAI]:
    with OpenAI(api_key=acme.key, base_url=f"{stack.http_url}/v1", max_retries=0) as client:
        yield client


@pytest.mark.parametrize("model", ["whisper-1", "gpt-4o-transcribe", "gpt-4o-mini-transcribe"])
def test_openai_json(openai: OpenAI, model: str) -> None:
    heard = openai.audio.transcriptions.create(file=recordings.path(BECKETT), model=model, language="en")
    assert is_right(BECKETT, heard.text)
    assert heard.usage is not None
    assert heard.usage.type == "duration"
    assert heard.usage.seconds == milliseconds(BECKETT) / 1000


def test_openai_verbose_json(openai: OpenAI) -> None:
    heard = openai.audio.transcriptions.create(
        file=recordings.path(TWO_CITIES),
        model="whisper-1",
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
        prompt="Dickens",
        temperature=0.2,
    )
    assert is_right(TWO_CITIES, heard.text)
    assert (heard.language, heard.duration) == ("english", milliseconds(TWO_CITIES) / 1000)
    assert heard.words is not None
    assert heard.segments is not None
    assert " ".join(word.word for word in heard.words) == heard.text
    assert "".join(segment.text for segment in heard.segments) == heard.text
    for timed in (heard.words, heard.segments):
        times = [at for one in timed for at in (one.start, one.end)]
        assert times == sorted(times)
        assert 0 <= times[0] <= times[-1] <= heard.duration
    assert [segment.id for segment in heard.segments] == list(range(len(heard.segments)))
    assert all(segment.avg_logprob <= 0 for segment in heard.segments)


def test_openai_verbose_json_with_segments_alone(openai: OpenAI) -> None:
    heard = openai.audio.transcriptions.create(
        file=recordings.path(BECKETT), model="whisper-1", response_format="verbose_json"
    )
    assert heard.words is None
    assert heard.segments


def test_openai_verbose_json_with_words_alone(openai: OpenAI) -> None:
    heard = openai.audio.transcriptions.create(
        file=recordings.path(BECKETT),
        model="whisper-1",
        response_format="verbose_json",
        timestamp_granularities=["word"],
    )
    assert heard.segments is None
    assert heard.words is not None
    assert " ".join(word.word for word in heard.words) == heard.text


def test_openai_models_can_be_asked_for(openai: OpenAI) -> None:
    names = [model.id for model in openai.models.list()]
    assert names
    assert openai.models.retrieve(names[0]).id == names[0]
    heard = openai.audio.transcriptions.create(file=recordings.path(BECKETT), model=names[0])
    assert is_right(BECKETT, heard.text)


def test_openai_text(openai: OpenAI) -> None:
    heard = openai.audio.transcriptions.create(
        file=("speech.mp3", as_mp3(BECKETT)), model="whisper-1", response_format="text"
    )
    assert is_right(BECKETT, str(heard))
    assert str(heard).count("\n") == 1


@pytest.mark.parametrize(("form", "point"), [("srt", ","), ("vtt", ".")])
def test_openai_captions(openai: OpenAI, form: str, point: str) -> None:
    heard = str(
        openai.audio.transcriptions.create(
            file=recordings.path(TWO_CITIES), model="whisper-1", response_format=form
        )
    )
    at = rf"{TIME}{re.escape(point)}\d\d\d"
    timed = re.findall(rf"^({at}) --> ({at})$", heard, re.MULTILINE)
    assert len(timed) > 5
    assert timed == sorted(timed)
    said = [
        row
        for row in heard.splitlines()
        if row and "-->" not in row and not row.isdecimal() and row != "WEBVTT"
    ]
    assert all(len(row) <= 42 for row in said)
    assert is_right(TWO_CITIES, " ".join(said))
    assert heard.startswith("WEBVTT\n" if form == "vtt" else "1\n")


def test_openai_stream(openai: OpenAI) -> None:
    events = list(
        openai.audio.transcriptions.create(
            file=recordings.path(TWO_CITIES), model="gpt-4o-transcribe", stream=True
        )
    )
    deltas = [event.delta for event in events if event.type == "transcript.text.delta"]
    assert len(deltas) > 1
    assert events[-1].type == "transcript.text.done"
    assert "".join(deltas) == events[-1].text
    assert is_right(TWO_CITIES, events[-1].text)


def test_openai_hears_why_it_is_refused(openai: OpenAI) -> None:
    with pytest.raises(BadRequestError) as raised:
        openai.audio.transcriptions.create(
            file=recordings.path(BECKETT), model="whisper-1", response_format="diarized_json"
        )
    assert (raised.value.code, raised.value.param) == ("bad_parameter", "response_format")
    with (
        warnings.catch_warnings(action="ignore", category=DeprecationWarning),
        pytest.raises(BadRequestError) as raised,
    ):
        openai.audio.translations.create(file=recordings.path(BECKETT), model="whisper-1")
    assert raised.value.code == "translation_not_offered"
    stranger = openai.with_options(api_key="sk_nobody")
    with pytest.raises(AuthenticationError):
        stranger.audio.transcriptions.create(file=recordings.path(TWO_CITIES), model="whisper-1")


def test_twenty_recordings_at_once_do_not_silence_a_live_stream(
    media: Any, stack: Stack, acme: Tenant
) -> None:
    heard: list[str] = []
    begins = beginning(BECKETT, ms=4_500)

    def transcribe() -> None:
        answer = media.transcribe_file(request=begins)
        heard.append(answer.results.channels[0].alternatives[0].transcript)

    threads = [threading.Thread(target=transcribe) for _ in range(20)]
    for thread in threads:
        thread.start()
    pcm, rate = recordings.pcm(BECKETT)
    live = sdk.transcribe(stack, acme.key, pcm, rate, realtime=True)
    for thread in threads:
        thread.join(120)
    assert is_right(BECKETT, live.transcript)
    assert live.close_code == 1000
    assert len(heard) == 20
    expected = "Ever tried. Ever failed. No matter."
    assert all(recordings.word_error_rate(expected, text) <= MAX_WORD_ERROR_RATE for text in heard), heard
