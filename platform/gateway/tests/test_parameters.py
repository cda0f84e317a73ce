from __future__ import annotations

from contextlib import suppress
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadParameter
from gateway.parameters import ListenParameters, parse
from gateway.query import MAX_QUERY_BYTES


def test_nothing_given_is_the_default() -> None:
    assert parse(b"") == ListenParameters()
    assert ListenParameters().encoding is None


def test_what_real_clients_send_is_understood() -> None:
    query = (
        b"encoding=linear16&sample_rate=8000&channels=1&interim_results=true&endpointing=300&language=en-US"
        b"&model=nova-3&punctuate=false&tag=a&tag=b&no_delay=true&filler_words=false&smart_format=True"
        b"&keyterm=Stenogate&keyterm=two+words&keywords=snuffle:2.5&keywords=plain&mip_opt_out=maybe&diarize=x"
        b"&utterance_end_ms=1000&vad_events=TRUE&extra=call:7&extra=a:b:c&multichannel=false&version=latest"
    )
    assert parse(query) == ListenParameters(
        encoding="linear16",
        sample_rate=8000,
        model="nova-3",
        version="latest",
        language="en-US",
        interim_results=True,
        punctuate=False,
        smart_format=True,
        endpointing_ms=300,
        utterance_end_ms=1000,
        vad_events=True,
        keyterms=("Stenogate", "two words", "snuffle", "plain"),
        tags=("a", "b"),
        extra=(("call", "7"), ("a", "b:c")),
    )


@pytest.mark.parametrize(
    ("query", "encoding", "rate"),
    [
        ("", None, 16_000),
        ("sample_rate=44100", "linear16", 44_100),
        ("encoding=linear16", "linear16", 16_000),
        ("encoding=MULAW", "mulaw", 8_000),
        ("encoding=alaw", "alaw", 8_000),
        ("encoding=mulaw&sample_rate=16000", "mulaw", 16_000),
        ("encoding=flac", "flac", 16_000),
    ],
)
def test_the_encoding_and_its_rate(query: str, encoding: str | None, rate: int) -> None:
    found = parse(query.encode())
    assert (found.encoding, found.sample_rate) == (encoding, rate)


@pytest.mark.parametrize(("query", "lanes"), [("channels=2", 1), ("channels=2&multichannel=true", 2),
                                              ("channels=1&multichannel=true", 1)])  # fmt: skip
def test_channels_are_mixed_unless_each_is_wanted(query: str, lanes: int) -> None:
    assert parse(query.encode()).lanes == lanes


@pytest.mark.parametrize(("value", "expected"), [("false", 0), ("true", None), ("10", 10), ("10000", 10_000)])
def test_endpointing(value: str, expected: int | None) -> None:
    assert parse(f"endpointing={value}".encode()).endpointing_ms == expected


@pytest.mark.parametrize(("value", "expected"), [("false", None), ("100", 100), ("5000", 5000)])
def test_utterance_end(value: str, expected: int | None) -> None:
    assert parse(f"utterance_end_ms={value}".encode()).utterance_end_ms == expected


@pytest.mark.parametrize(
    ("query", "kinds"),
    [("redact=true", ("numbers",)), ("redact=pci&redact=SSN", ("pci", "ssn")), ("redact=false", ()),
     ("redact=pci,numbers,pci", ("pci", "numbers"))],
)  # fmt: skip
def test_redact(query: str, kinds: tuple[str, ...]) -> None:
    assert parse(query.encode()).redact == kinds


@pytest.mark.parametrize("language", ["de", "multi", "fr-CA"])
def test_what_cannot_be_redacted_is_not_promised(language: str) -> None:
    with pytest.raises(BadParameter, match="English only"):
        parse(f"redact=numbers&language={language}".encode())


@pytest.mark.parametrize(
    ("query", "named", "allowed"),
    [
        ("encoding=mp5", "encoding='mp5'", "linear16"),
        ("sample_rate=7999", "sample_rate='7999'", "from 8000 to 48000"),
        ("sample_rate=16000.0", "sample_rate='16000.0'", "whole number"),
        ("sample_rate=%D9%A1%D9%A6%D9%A0%D9%A0%D9%A0", "sample_rate=", "whole number"),
        ("sample_rate=" + "9" * 5000, "sample_rate=", "whole number"),
        ("channels=0", "channels='0'", "from 1 to 8"),
        ("channels=9", "channels='9'", "from 1 to 8"),
        ("multichannel=2", "multichannel='2'", "true or false"),
        ("interim_results=yes", "interim_results='yes'", "true or false"),
        ("punctuate=", "punctuate=''", "true or false"),
        ("numerals=1", "numerals='1'", "true or false"),
        ("endpointing=9", "endpointing='9'", "false, or milliseconds"),
        ("endpointing=-1", "endpointing='-1'", "false, or milliseconds"),
        ("utterance_end_ms=99", "utterance_end_ms='99'", "milliseconds from 100 to 10000"),
        ("model=" + "x" * 65, "model=", "1 to 64 printable"),
        ("language=%00", "language=", "1 to 64 printable"),
        ("version=", "version=''", "1 to 64 printable"),
        ("redact=names", "redact='names'", "numbers, pci, ssn"),
        ("tag=" + "x" * 129, "tag=", "128"),
        ("&".join(["tag=x"] * 17), "tag=17 values", "up to 16"),
        ("&".join(f"keyterm=x{i}" for i in range(101)), "keyterm=101 values", "up to 100"),
        ("keyterm=" + "x" * 101, "keyterm=", "up to 100 printable"),
        ("extra=novalue", "extra='novalue'", "key:value"),
        ("extra=:v", "extra=':v'", "key:value"),
        ("callback_method=get", "callback_method='get'", "post or put"),
        ("callback=" + "x" * 2049, "callback=", "2048"),
        ("a=b&" * 201, "query string", "200 fields"),
        ("model=%FF", "query string", ""),
        ("x" * (MAX_QUERY_BYTES + 1), "query string", str(MAX_QUERY_BYTES)),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(query: str, named: str, allowed: str) -> None:
    with pytest.raises(BadParameter) as refused:
        parse(query.encode())
    assert named in refused.value.sentence
    assert allowed in refused.value.sentence
    assert len(refused.value.sentence) < 300


def test_all_mistakes_are_named_at_once_and_their_number_is_bounded() -> None:
    with pytest.raises(BadParameter) as refused:
        parse(b"channels=9&punctuate=x&sample_rate=1")
    assert all(name in refused.value.sentence for name in ("channels", "punctuate", "sample_rate"))
    with pytest.raises(BadParameter, match="And 2 more"):
        parse(b"channels=9&punctuate=x&sample_rate=1&numerals=x&tag=%00&vad_events=x&interim_results=x")


def test_keyterms_under_both_names_count_together() -> None:
    many = "&".join([*(f"keyterm=a{i}" for i in range(60)), *(f"keywords=b{i}:1" for i in range(60))])
    with pytest.raises(BadParameter, match="together"):
        parse(many.encode())


def test_the_last_of_a_repeated_parameter_counts() -> None:
    assert parse(b"sample_rate=8000&sample_rate=16000").sample_rate == 16_000


def test_who_comes_back_may_have_no_final_yet() -> None:
    assert parse(b"resume_token=t&last_seq=-1").last_seq == -1
    assert parse(b"resume_token=t&last_seq=41").last_seq == 41
    for value in (b"-2", b"--1", b"-", b"- 1", b"1.5", b"9999999999"):
        with pytest.raises(BadParameter, match="last_seq"):
            parse(b"resume_token=t&last_seq=" + value)


def test_what_is_not_known_is_let_pass() -> None:
    assert parse(b"utterances=x&no_such_thing=%20&diarize=perhaps") == ListenParameters()


NAMES = st.sampled_from(
    ["encoding", "sample_rate", "channels", "redact", "keyterm", "keywords", "extra", "callback", "language"]
)


@given(st.binary(max_size=300) | st.lists(st.tuples(NAMES, st.text(max_size=12)), max_size=8).map(
    lambda given: "&".join(f"{name}={quote(value)}" for name, value in given).encode()
))  # fmt: skip
def test_any_query_gives_parameters_or_is_refused_by_name(query: bytes) -> None:
    with suppress(BadParameter):
        found = parse(query)
        found.options()
        assert found.formatting.redact == found.redact
        assert 1 <= found.lanes <= 8


@pytest.mark.parametrize(
    "name", ["", "default", "nova-3", "nova-2-phonecall", "whisper-large", "flux-general-en", "base"]
)
def test_models_of_other_services_mean_our_default(name: str) -> None:
    assert ListenParameters(model=name).options().model == ""


def test_any_language_is_no_language_in_particular() -> None:
    assert ListenParameters(language="multi").options().language == ""


@pytest.mark.parametrize("name", ["moonshine-tiny-en", "stenogate-large", "novax"])
def test_other_names_are_meant_as_they_are(name: str) -> None:
    assert ListenParameters(model=name).options().model == name


@pytest.mark.parametrize(("version", "asked"), [("", ""), ("latest", ""), ("2", "2")])
def test_the_latest_version_is_no_version_in_particular(version: str, asked: str) -> None:
    assert ListenParameters(version=version).options().version == asked
