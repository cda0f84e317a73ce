"""Handshakes of other services' clients: where their keys are, and what their addresses ask for."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import env
from gateway.about import About
from gateway.auth import Credentials
from gateway.errors import BadParameter, NoCapacity, TooManyStreams
from gateway.guest_consumers import AssemblyAIConsumer, RealtimeConsumer, assemblyai_credentials

ABOUT = About("id-1", "eu-1", "w", "m", "1", "a", "now", expires_at=1_900_000_000)
KEY = "sk_secret"
AUTHORIZATION = (b"Authorization", KEY.encode())
BROWSER = ["realtime", f"openai-insecure-api-key.{KEY}", "openai-beta.realtime-v1"]


def scope(query: str | bytes = b"", *headers: tuple[bytes, bytes], offered: list[str] | None = None) -> Any:
    asked = query.encode() if isinstance(query, str) else query
    return {"query_string": asked, "headers": list(headers), "subprotocols": offered or []}


def greeting(consumer: RealtimeConsumer | AssemblyAIConsumer, handshake: Any) -> str:
    _, dialect = consumer.understand(handshake)
    (text,) = dialect.greet(ABOUT)
    return text


# ---- OpenAI's


def test_a_browser_has_its_key_in_a_subprotocol_and_gets_the_plain_one_back() -> None:
    credentials = RealtimeConsumer().credentials
    assert credentials(scope(offered=BROWSER)) == Credentials(KEY, "realtime")
    assert credentials(scope(offered=BROWSER[1:])) == Credentials(KEY, None)


def test_who_sets_the_header_is_looked_up_as_everywhere() -> None:
    header = (b"authorization", b"Bearer other")
    assert RealtimeConsumer().credentials(scope(b"", header, offered=BROWSER)) is None
    assert RealtimeConsumer().credentials(scope(offered=["realtime"])) is None


def test_the_address_may_name_the_model_and_the_language() -> None:
    consumer = RealtimeConsumer()
    asked = scope("intent=transcription&model=gpt-4o-transcribe&model=whisper-1&language=de&x=1")
    parameters, dialect = consumer.understand(asked)
    assert (parameters.model, parameters.language) == ("whisper-1", "de")
    assert parameters.options().model == ""
    assert dialect.idle_s == env.STREAM_QUIET_SECONDS.read()


@pytest.mark.parametrize("name", ["model", "language"])
def test_a_bad_value_in_the_address_is_named_without_its_place_in_a_session(name: str) -> None:
    with pytest.raises(BadParameter, match=rf"allowed\. {name}: allowed is 1 to 64 printable"):
        RealtimeConsumer().understand(scope(urlencode({name: "x" * 65})))


def test_the_beta_is_asked_for_by_a_header_or_a_subprotocol() -> None:
    plain = greeting(RealtimeConsumer(), scope(offered=["realtime"]))
    assert '"session.created"' in plain
    for handshake in (scope(b"", (b"OpenAI-Beta", b"realtime=v1")), scope(offered=BROWSER)):
        assert '"transcription_session.created"' in greeting(RealtimeConsumer(), handshake)


def test_a_refusal_is_openais_error() -> None:
    said = RealtimeConsumer().refusal(TooManyStreams("That is 5."), "id-1")
    assert said["error"]["type"] == "rate_limit_error"
    assert said["error"]["message"].endswith("That is 5.")
    assert said["request_id"] == "id-1"
    assert RealtimeConsumer().refusal(NoCapacity(), "id-1")["error"]["type"] == "server_error"


# ---- AssemblyAI's


@pytest.mark.parametrize(
    ("handshake", "found"),
    [
        (scope(b"", AUTHORIZATION), Credentials(KEY, None)),
        (scope(b"", (b"authorization", b"  " + KEY.encode() + b" ")), Credentials(KEY, None)),
        (scope(f"token={KEY}"), Credentials(KEY, None)),
        (scope(f"token=old&token={KEY}"), Credentials(KEY, None)),
        # The header counts where there are both.
        (scope("token=other", AUTHORIZATION), Credentials(KEY, None)),
        # With a scheme it is what every path reads.
        (scope("token=other", (b"authorization", b"Token " + KEY.encode())), None),
        (scope("token=other", (b"authorization", b"")), None),
        (scope(), None),
    ],
)
def test_its_key_has_no_scheme_or_is_a_token_in_the_address(
    handshake: Any, found: Credentials | None
) -> None:
    assert AssemblyAIConsumer().credentials(handshake) == found
    assert assemblyai_credentials(handshake) == found


def test_the_address_says_how_the_audio_is_and_how_long_silence_may_last() -> None:
    consumer = AssemblyAIConsumer()
    parameters, dialect = consumer.understand(scope("encoding=pcm_mulaw&sample_rate=8000&token=x"))
    assert (parameters.encoding, parameters.sample_rate) == ("mulaw", 8000)
    assert dialect.idle_s == env.STREAM_QUIET_SECONDS.read()
    _, dialect = consumer.understand(scope("inactivity_timeout=70"))
    assert dialect.idle_s == 70


def test_a_refusal_is_assemblyais_error() -> None:
    said = AssemblyAIConsumer().refusal(NoCapacity("Soon."), "id-1")
    assert (said["error_code"], said["code"], said["request_id"]) == (1013, NoCapacity.code, "id-1")
    assert said["error"].endswith("Soon.")


# ---- both


NAMES = st.sampled_from(
    ["model", "language", "token", "intent", "sample_rate", "encoding", "speech_model", "keyterms_prompt"]
)
QUERIES = st.binary(max_size=200) | st.lists(st.tuples(NAMES, st.text(max_size=80)), max_size=6).map(
    lambda pairs: urlencode(pairs, errors="replace").encode()
)
HEADERS = st.lists(
    st.tuples(st.sampled_from([b"authorization", b"openai-beta", b"x"]), st.binary(max_size=40)), max_size=3
)


@given(QUERIES, HEADERS, st.lists(st.text(max_size=40) | st.sampled_from(BROWSER), max_size=4))
def test_any_handshake_is_understood_or_refused(
    query: bytes, headers: list[tuple[bytes, bytes]], offered: list[str]
) -> None:
    handshake = scope(query, *headers, offered=offered)
    for consumer in (RealtimeConsumer(), AssemblyAIConsumer()):
        with suppress(BadParameter):
            consumer.credentials(handshake)
        with suppress(BadParameter):
            parameters, dialect = consumer.understand(handshake)
            assert parameters.options()
            assert list(dialect.greet(ABOUT))
