"""One connection to `/v1/listen`: how it opens, and in which words it is refused or ends."""

from __future__ import annotations

import json
import os
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from stenogate.errors import BrokenOffError, RefusedError, UnreachableError
from stenogate.way import Message

CONNECT_SECONDS = 10.0
PING_SECONDS = 5.0
MAX_ERROR_TEXT = 400
MAX_RETRY_AFTER_S = 3600.0
# The stream itself has not ended, only this connection of it.
CUT_OFF = frozenset({1001, 1012, 1013, 4500, 4503})
CUT_OFF_REASONS = frozenset({"client_too_slow", "NET-0001"})
ELSEWHERE = 4307  # the reason is the address


async def open_(url: str, key: str, *, answers_within_s: float) -> tuple[ClientConnection, str]:
    """The connection, and the address of the server that took it, after redirects."""
    opening = connect(
        url,
        additional_headers={"Authorization": f"Token {key}"},
        open_timeout=CONNECT_SECONDS,
        ping_interval=PING_SECONDS,
        ping_timeout=answers_within_s,
        max_size=2**22,
        compression=None,
    )
    try:
        return await opening, opening.uri
    except InvalidStatus as error:
        raise _refusal(error) from None
    except (InvalidURI, InvalidHandshake) as error:
        raise UnreachableError(f"{_where(url)} does not speak WebSocket: {error}") from None
    except TimeoutError:
        raise UnreachableError(f"{_where(url)} did not answer within {CONNECT_SECONDS:.0f} s") from None
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error) or type(error).__name__
        raise UnreachableError(f"{_where(url)} is not reachable: {reason}. Is the server running?") from None
    except EOFError:
        raise UnreachableError(f"{_where(url)} hung up before it answered") from None


def parse(raw: str | bytes) -> Message:
    try:
        message = json.loads(raw) if isinstance(raw, str) else None
    except ValueError:
        message = None
    if not isinstance(message, dict):
        raise BrokenOffError(
            "the server sent something that is not a message of /v1/listen; is the address right?"
        )
    return message


def request_id(message: Message) -> str:
    metadata = message.get("metadata")
    found = message.get("request_id") or (metadata.get("request_id") if isinstance(metadata, dict) else "")
    return found if isinstance(found, str) else ""


def error_text(message: Message) -> str:
    code = message.get("code") or message.get("variant") or "no code"
    text = message.get("description") or message.get("message") or "no description"
    return f"{str(text)[:MAX_ERROR_TEXT]} ({code})"


def is_cut_off(closed: ConnectionClosed) -> bool:
    """Whether one may come back to the stream."""
    end = closed.rcvd
    return end is None or end.code in CUT_OFF or end.reason in CUT_OFF_REASONS


def why_closed(closed: ConnectionClosed, said: str, request: str) -> str:
    """`said` is the text of the last error message."""
    end = closed.rcvd
    request = f"; request {request}" if request else ""
    if end is None:
        said = f" after saying: {said}" if said else ""
        return f"the connection was lost before the transcript was complete{said}{request}"
    reason = said or end.reason[:MAX_ERROR_TEXT] or "no reason given"
    return f"the server closed the stream early with code {end.code}: {reason}{request}"


def _refusal(error: InvalidStatus) -> RefusedError:
    """In the server's own words where it sent any: `{"err_code", "err_msg", "request_id"}`."""
    status, headers = error.response.status_code, error.response.headers
    retry_after_s = _seconds(headers.get("Retry-After"))
    try:
        body: Any = json.loads(error.response.body or b"")
    except ValueError:
        body = None
    if not isinstance(body, dict) or "err_msg" not in body:
        said, code = f"the server refused the stream with HTTP {status}", ""
    else:
        code = str(body.get("err_code", ""))
        request = f"; request {body['request_id']}" if body.get("request_id") else ""
        wait = "" if retry_after_s is None else f", Retry-After {retry_after_s:.0f} s"
        said = (
            f"the server refused the stream: {str(body['err_msg'])[:MAX_ERROR_TEXT]} "
            f"(HTTP {status}, {code or 'no code'}{wait}{request})"
        )
    return RefusedError(said, status=status, code=code, retry_after_s=retry_after_s)


def _seconds(text: str | None) -> float | None:
    return min(float(text), MAX_RETRY_AFTER_S) if text and text.isascii() and text.isdigit() else None


def _where(url: str) -> str:
    return url.partition("?")[0]
