from __future__ import annotations

import json
from contextlib import suppress

import pytest
from deepgram.listen.v1.types.listen_v1configure_failure import ListenV1ConfigureFailure
from deepgram.listen.v1.types.listen_v1configure_success import ListenV1ConfigureSuccess
from hypothesis import given
from hypothesis import strategies as st

from gateway.about import About
from gateway.dialects.base import Change
from gateway.dialects.configure import FEATURES, applied, read
from gateway.dialects.deepgram import Deepgram
from gateway.errors import BadMessage, FeatureNotConfigurable, TooManyKeyterms
from gateway.events import Answer
from gateway.parameters import ListenParameters

BEFORE = ListenParameters(keyterms=("old",), redact=("pci",))
ABOUT = About("id-1", "eu-1", "worker-1", "m", "1", "a", "2026-01-01T00:00:00.000Z")


def configured(**asked: object) -> ListenParameters:
    return applied(read(json.dumps({"type": "Configure", **asked})), BEFORE)


def test_features_and_keyterms_change_and_the_rest_stays() -> None:
    after = configured(
        keyterms=["new", "two words", "new"],
        features={"numerals": True, "punctuate": False, "utterance_end_ms": 700, "endpointing": False},
    )
    assert after.keyterms == ("new", "two words")
    assert (after.numerals, after.punctuate, after.utterance_end_ms) == (True, False, 700)
    assert (after.endpointing_ms, after.redact) == (0, ("pci",))


def test_what_is_not_named_stays_and_an_empty_list_clears() -> None:
    assert configured() == BEFORE
    assert configured(keyterms=None, features=None, more=[1]) == BEFORE
    assert configured(keyterms=[]).keyterms == ()


@pytest.mark.parametrize(
    ("features", "named"),
    [
        ({"redact": True}, "'redact'"),
        ({"numerals": True, "made_up": False}, "'made_up'"),
        ({"utterance_end_ms": 1}, "utterance_end_ms='1'"),
        ({"numerals": 2}, "numerals='2'"),
    ],
)
def test_a_feature_that_cannot_change_is_named_with_what_can(features: dict[str, object], named: str) -> None:
    with pytest.raises(FeatureNotConfigurable) as refused:
        configured(features=features, keyterms=["kept out"])
    assert named in refused.value.sentence


@pytest.mark.parametrize("keyterms", [[f"x{i}" for i in range(101)], ["x" * 101], ["\x00"]])
def test_keyterms_are_bounded(keyterms: list[str]) -> None:
    with pytest.raises(TooManyKeyterms, match="up to 100"):
        configured(keyterms=keyterms)


@pytest.mark.parametrize(
    "text",
    ['{"keyterms":"one"}', '{"keyterms":[1]}', '{"features":[]}', '{"features":{"numerals":"yes"}}',
     '{"features":{"numerals":1.5}}', '{"features":{"a":{}}}'],
)  # fmt: skip
def test_what_is_no_configure_is_a_bad_message(text: str) -> None:
    with pytest.raises(BadMessage, match="list of strings"):
        read(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.floats(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(list(FEATURES)) | st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(keyterms=JSON, features=JSON)
def test_whatever_is_asked_is_done_or_refused_by_name(keyterms: object, features: object) -> None:
    with suppress(BadMessage, FeatureNotConfigurable, TooManyKeyterms):
        after = configured(keyterms=keyterms, features=features)
        after.options()
        assert after.redact == BEFORE.redact


def test_the_answer_is_what_the_sdk_reads_and_comes_after_the_change() -> None:
    dialect = Deepgram(BEFORE)
    list(dialect.greet(ABOUT))
    change, answer = dialect.decode('{"type":"Configure","keyterms":["a"],"features":{"numerals":true}}')
    assert isinstance(change, Change)
    assert change.parameters.keyterms == ("a",)
    assert isinstance(answer, Answer)
    (said,) = dialect.encode(answer)
    success = ListenV1ConfigureSuccess.model_validate(json.loads(said))
    assert (success.type, success.request_id, success.keyterms) == ("ConfigureSuccess", "id-1", ["a"])
    # The next one goes on from there.
    change, answer = dialect.decode('{"type":"Configure","features":{"vad_events":true}}')
    assert isinstance(change, Change)
    assert (change.parameters.keyterms, change.parameters.numerals) == (("a",), True)
    assert "keyterms" not in json.loads(next(iter(dialect.encode(answer))))  # type: ignore[arg-type]


def test_a_change_that_was_not_possible_is_not_gone_on_from() -> None:
    dialect = Deepgram(BEFORE)
    list(dialect.greet(ABOUT))
    heard = iter(dialect.decode('{"type":"Configure","keyterms":["nobody","serves","this"]}'))
    assert isinstance(next(heard), Change)  # and then the stream raises, and nothing more is asked for
    change, _ = dialect.decode('{"type":"Configure","features":{"numerals":true}}')
    assert isinstance(change, Change)
    assert change.parameters.keyterms == ("old",)


def test_a_refusal_is_what_the_sdk_reads_and_changes_nothing() -> None:
    dialect = Deepgram(BEFORE)
    list(dialect.greet(ABOUT))
    (answer,) = dialect.decode('{"type":"Configure","features":{"redact":false}}')
    (said,) = dialect.encode(answer)  # type: ignore[arg-type]
    failure = ListenV1ConfigureFailure.model_validate(json.loads(said))
    assert (failure.type, failure.request_id) == ("ConfigureFailure", "id-1")
    assert failure.code == "CONFIGURE_FEATURE_NOT_SUPPORTED"
    assert "There are: " in failure.description
