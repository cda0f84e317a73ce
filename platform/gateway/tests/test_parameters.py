from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadParameter
from gateway.parameters import MAX_QUERY_BYTES, ListenParameters, parse


def test_nothing_given_is_the_default() -> None:
    assert parse(b"") == ListenParameters()


def test_what_real_clients_send_is_understood() -> None:
    query = (
        b"encoding=linear16&sample_rate=8000&channels=1&interim_results=true&endpointing=300&language=en-US"
        b"&model=nova-3&punctuate=false&tag=a&tag=b&no_delay=true&filler_words=false&smart_format=True"
    )
    assert parse(query) == ListenParameters(
        sample_rate=8000,
        model="nova-3",
        language="en-US",
        interim_results=True,
        punctuate=False,
        endpointing_ms=300,
        tags=("a", "b"),
    )


@pytest.mark.parametrize(("value", "expected"), [("false", 0), ("true", None), ("10", 10), ("10000", 10_000)])
def test_endpointing(value: str, expected: int | None) -> None:
    assert parse(f"endpointing={value}".encode()).endpointing_ms == expected


@pytest.mark.parametrize(
    ("query", "named", "allowed"),
    [
        ("encoding=mp5", "encoding='mp5'", "linear16"),
        ("sample_rate=7999", "sample_rate='7999'", "from 8000 to 48000"),
        ("sample_rate=16000.0", "sample_rate='16000.0'", "whole number"),
        ("sample_rate=%D9%A1%D9%A6%D9%A0%D9%A0%D9%A0", "sample_rate=", "whole number"),
        ("sample_rate=" + "9" * 5000, "sample_rate=", "whole number"),
        ("channels=2", "channels='2'", "allowed is 1"),
        ("interim_results=yes", "interim_results='yes'", "true or false"),
        ("punctuate=", "punctuate=''", "true or false"),
        ("endpointing=9", "endpointing='9'", "false, or milliseconds"),
        ("endpointing=-1", "endpointing='-1'", "false, or milliseconds"),
        ("model=" + "x" * 65, "model=", "1 to 64 printable"),
        ("language=%00", "language=", "1 to 64 printable"),
        ("tag=" + "x" * 129, "tag:", "128"),
        ("&".join(["tag=x"] * 17), "tag:", "at most 16"),
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


def test_the_last_of_a_repeated_parameter_counts() -> None:
    assert parse(b"sample_rate=8000&sample_rate=16000").sample_rate == 16_000


@given(st.binary(max_size=300))
def test_any_bytes_are_parameters_or_refused_by_name(query: bytes) -> None:
    with suppress(BadParameter):
        parse(query)


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
