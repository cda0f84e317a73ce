"""Callbacks of live streams, through the running service, to a real server of a customer."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from threading import Lock

import pytest

from tests.acceptance.stack import Stack
from tests.acceptance.tenant import Tenant
from tests.integration.sockets import SECOND, listening, refusal, rest
from tests.receiver import Answer, Asked, Receiver, receiver

pytestmark = pytest.mark.stack


@pytest.fixture
def server() -> Iterator[Receiver]:
    """Fails the first try of every message."""
    seen: set[str] = set()
    lock = Lock()

    def answer(asked: Asked) -> Answer:
        with lock:
            first = asked.headers["webhook-id"] not in seen
            seen.add(asked.headers["webhook-id"])
        return Answer(503 if first else 204)

    with receiver(answer) as mine:
        yield mine


def signed_by(secret: str, asked: Asked) -> bool:
    said = f"{asked.headers['webhook-id']}.{asked.headers['webhook-timestamp']}.".encode() + asked.body
    wanted = hmac.new(base64.b64decode(secret.removeprefix("whsec_")), said, hashlib.sha256).digest()
    return asked.headers["webhook-signature"] == "v1," + base64.b64encode(wanted).decode()


async def test_finals_and_the_end_of_a_stream_are_called_back_until_they_are_taken(
    scripted_stack: Stack, acme: Tenant, server: Receiver
) -> None:
    query = f"encoding=linear16&interim_results=true&callback={server.url('/hook')}&callback_method=put"
    async with listening(scripted_stack, acme.key, query) as socket:
        await socket.send(SECOND * 4)
        await socket.send(json.dumps({"type": "Finalize"}))
        await socket.send(json.dumps({"type": "CloseStream"}))
        messages, code, _ = await rest(socket)
    assert code == 1000
    wanted = [m for m in messages if m.get("is_final") or m["type"] == "Metadata"]
    assert len(wanted) >= 2
    # Every message fails once and comes again.
    asked = server.wait_for(2 * len(wanted), within_s=60)
    bodies = {one.headers["webhook-id"]: json.loads(one.body) for one in asked}
    assert [bodies[name] for name in sorted(bodies, key=lambda name: int(name.rpartition("_")[2]))] == wanted
    secret = scripted_stack.shell(f"""
from gateway.callbacks import secret_of
answer(secret_of({acme.project_id!r}))
""")
    assert all(signed_by(secret, one) for one in asked)
    assert {one.method for one in asked} == {"PUT"}
    # What was said is in no log.
    words = wanted[0]["channel"]["alternatives"][0]["transcript"]
    assert words
    for log in (scripted_stack.var / "log").glob("*.log"):
        assert words not in log.read_text(errors="replace"), log.name
        assert "/hook" not in log.read_text(errors="replace"), log.name


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://169.254.169.254/latest", "url_refused"),
        ("http://10.0.0.1/", "url_refused"),
        ("ftp://example.com/", "url_refused"),
        ("http://no-such-name.invalid/", "fetch_failed"),
    ],
)
async def test_a_callback_that_leads_nowhere_good_is_refused_at_the_door(
    url: str, code: str, scripted_stack: Stack, acme: Tenant
) -> None:
    headers = {"Authorization": f"Token {acme.key}"}
    status, body, _ = await refusal(
        scripted_stack, f"/v1/listen?encoding=linear16&callback={url}", additional_headers=headers
    )
    assert (status, body["err_code"]) == (400, code)
