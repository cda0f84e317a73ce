"""The refusals of those who come back, as a client gets them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway import errors_page  # noqa: F401 - knows of all of them
from gateway.errors import GatewayError, StreamError
from gateway.request_log import CLIENT_LEFT
from gateway.resume import errors
from gateway.resume.records import LEASE_S
from metering import services

REFUSALS = {
    "resume_bad_token": 400,
    "resume_foreign": 403,
    "resume_late": 410,
    "resume_conflict": 409,
    "resume_unsuitable": 400,
    "resume_off": 403,
    "resumed_elsewhere": 409,
}


def test_each_has_its_own_name_and_status() -> None:
    found = [
        one for one in vars(errors).values() if isinstance(one, type) and one.__module__ == errors.__name__
    ]
    assert {one.code: one.status for one in found if issubclass(one, GatewayError)} == REFUSALS


@pytest.mark.parametrize("name", [name for name in vars(errors) if name.startswith("Resume")])
def test_each_says_what_to_do_about_it(name: str) -> None:
    refusal: GatewayError = getattr(errors, name)()
    assert "." in refusal.sentence
    assert not refusal.resumable  # nobody may come back to what has left


def test_who_finds_it_taken_is_told_when_to_look_again() -> None:
    assert errors.ResumeConflict().retry_after_s is not None
    assert errors.ResumeConflict.retry_after_s >= LEASE_S
    assert issubclass(errors.ResumedElsewhere, StreamError)


def below(error: type[GatewayError]) -> Iterator[type[GatewayError]]:
    for one in error.__subclasses__():
        yield one
        yield from below(one)


def test_the_request_log_waits_for_the_last_word_of_all_that_may_go_on_in_another_region() -> None:
    resumable = {one.code for one in below(GatewayError) if one.resumable}
    assert set(services.CUT_OFF) == resumable | {CLIENT_LEFT, StreamError.code}
