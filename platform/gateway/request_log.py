"""What the request log keeps of a stream that has ended. No word that was said is in it."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

from gateway import errors_page
from gateway.events import Close
from gateway.parameters import ListenParameters
from metering.events import LIVE, RECORDED
from metering.requests import Request

if TYPE_CHECKING:
    from gateway.stream import Stream

DONE, CLIENT_LEFT = "done", "client_left"


def outcome(close: Close) -> str:
    """`done`, `client_left`, or the code of the error that ended the stream."""
    return close.reason or (DONE if close.code == 1000 else CLIENT_LEFT)


def kind(parameters: ListenParameters) -> str:
    return RECORDED if parameters.recorded else LIVE


def status(ended: str) -> int:
    """What it would have been as an answer. A live client that hangs up has its results: no failure."""
    return 200 if ended in (DONE, CLIENT_LEFT) else _statuses().get(ended, 500)


def entry(stream: Stream, close: Close) -> Request:
    """Of a stream that was opened."""
    about, grant, ended = stream.about, stream.grant, outcome(close)
    return Request(
        tenant=str(grant.tenant_id),
        project=str(grant.project_id),
        key=str(grant.key_id),
        request_id=stream.id,
        kind=kind(stream.parameters),
        path=stream.path,
        started_at=about.created,
        ended_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        outcome=ended,
        status=status(ended),
        audio_ms=max(lane.input_ms for lane in stream.session.lanes),
        billed_ms=stream.session.billed_ms,
        channels=about.channels,
        model=about.model,
        version=about.version,
        language=stream.parameters.language,
        region=about.region,
        worker=about.worker,
        tags=about.tags,
    )


@cache
def _statuses() -> dict[str, int]:
    return {code: answer for code, answer, *_ in errors_page.rows()}
