"""A region without the control database: PostgreSQL is stopped under a running service, and comes back."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx
import pytest

from gateway.control import LONGEST_PAUSE_S
from tests.acceptance import sdk
from tests.acceptance.stack import Stack, wait_for
from tests.acceptance.tenant import Tenant, new_key, revoke, usage
from tests.integration.sockets import SECOND

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

RATE = 16_000
BACK_WITHIN_S = 60.0
CODE = "control_database_unreachable"


@contextmanager
def stopped_postgres(stack: Stack) -> Iterator[None]:
    """Shut down in order, and not started again meanwhile: whoever would do that stands still."""
    supervisor, postgres = stack.facts["pids"]["supervisor"], stack.pids["postgres"]
    os.kill(supervisor, signal.SIGSTOP)
    try:
        os.kill(postgres, signal.SIGINT)
        yield
    finally:
        os.kill(supervisor, signal.SIGCONT)


def health(stack: Stack) -> tuple[int, dict[str, str]]:
    status, text = stack.health()
    return status, {line.split()[1].rstrip(":"): line.split()[0] for line in text.splitlines()}


def test_known_keys_are_served_without_it_and_all_is_as_it_should_be_when_it_is_back(
    scripted_stack: Stack, acme: Tenant, rival: Tenant
) -> None:
    stack, ending, unknown = scripted_stack, new_key(scripted_stack, acme), new_key(scripted_stack, acme)
    audio = SECOND * 3
    for key in (acme.key, rival.key, ending):
        sdk.transcribe(stack, key, SECOND, RATE, realtime=False)
    with stopped_postgres(stack):
        wait_for(lambda: health(stack)[1]["database"] != "ok", 30, "the gateway to miss it")
        status, parts = health(stack)
        assert (status, parts["database"], parts["redis"], parts["workers"]) == (200, "weak", "ok", "ok")
        # Whoever is known is served: live, recorded, and each as whom they are.
        heard = sdk.transcribe(stack, acme.key, audio, RATE, realtime=False)
        theirs = sdk.transcribe(stack, rival.key, SECOND, RATE, realtime=False)
        assert heard.finals
        assert (heard.close_code, heard.errors) == (1000, [])
        with httpx.Client(base_url=stack.http_url, timeout=30) as http:
            known, other = ({"Authorization": f"Token {key}"} for key in (acme.key, unknown))
            where = "/v1/listen?encoding=linear16&sample_rate=16000"
            recorded = http.post(where, content=SECOND, headers=known)
            assert recorded.status_code == 200
            token = http.post("/v1/auth/grant", headers=known).json()["access_token"]
            assert http.get("/v1/models", headers={"Authorization": f"Bearer {token}"}).status_code == 200
            # Whoever is not is told when to come back, and so is who asks for what only the database has.
            for answer in (
                http.post(where, content=SECOND, headers=other),
                http.get(f"/v1/projects/{acme.project_id}/requests", headers=other),
            ):
                assert (answer.status_code, answer.json()["err_code"]) == (503, CODE)
                assert int(answer.headers["retry-after"]) >= 1
            with sdk.refused(503, CODE), sdk.listening(stack, unknown, RATE):
                pass
            page = http.get("/metrics", headers={"Authorization": "Bearer of-these-tests"}).text
        assert 'stenogate_gateway_breaker_open{remote="database"} 1.0' in page

    wait_for(lambda: revoked(stack, acme, ending), BACK_WITHIN_S, "PostgreSQL to be back")
    # As long as a pull pauses while it is away, and what a slow machine needs.
    wait_for(lambda: not served(stack, ending), LONGEST_PAUSE_S + 5, "the revocation to be heard of")
    with sdk.refused(401, "key_revoked"), sdk.listening(stack, ending, RATE):
        pass
    with sdk.listening(stack, unknown, RATE):
        pass
    for whose, stream, ms in ((acme, heard.request_id, 3000), (rival, theirs.request_id, 1000)):
        ranges = usage(stack, whose, stream, ms)
        assert (ranges[0][0], ranges[-1][1], sum(end - start for start, end in ranges)) == (0, ms, ms)
    wait_for(lambda: health(stack)[0] == 200 and "weak" not in stack.health()[1], 30, "all to be well")


def revoked(stack: Stack, tenant: Tenant, key: str) -> float:
    with suppress(AssertionError):
        return revoke(stack, tenant, key)
    return 0.0


def served(stack: Stack, key: str) -> bool:
    where = f"{stack.http_url}/v1/models"
    return httpx.get(where, headers={"Authorization": f"Token {key}"}).status_code == 200
