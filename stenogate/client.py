"""One stream over `/v1/listen`: sends packets, hands every message to a callback, ends in order."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from stenogate.errors import BrokenOffError, ClientError, InputError, RefusedError, UnreachableError

CONNECT_SECONDS = 10.0
KEEP_ALIVE_SECONDS = 4.0
SILENT_SECONDS = 60.0
MAX_ERROR_TEXT = 400

Message = dict[str, Any]


@dataclass
class Outcome:
    sent_bytes: int = 0
    request_id: str = ""
    interrupted: bool = False
    finished: bool = False  # the server's Metadata came: it has processed everything
    input_error: InputError | None = None  # the recording broke off; what was there has been transcribed
    error_text: str = ""  # of the server's last Error message; what it means shows in how the stream closes


async def transcribe(
    url: str,
    key: str,
    packets: AsyncIterator[bytes],
    on_message: Callable[[Message, str], None],
    stop: asyncio.Event,
) -> Outcome:
    """Stream `packets` until they end or `stop` is set, then wait for what the server still has to say."""
    socket = await _open(url, key)
    outcome = Outcome()
    sender = asyncio.create_task(_send(socket, packets, stop, outcome))
    try:
        await _receive(socket, on_message, sender, outcome)
    except ConnectionClosed as closed:
        # A sender that found the socket closed has nothing to add to the receiver's reason.
        raise BrokenOffError(_why_closed(closed, outcome)) from None
    finally:
        sender.cancel()
        results = await asyncio.gather(sender, return_exceptions=True)
        await socket.close()
    for result in results:
        if isinstance(result, ClientError):
            raise result
    return outcome


async def _open(url: str, key: str) -> ClientConnection:
    try:
        # A server under back-pressure answers pings only after the audio before them, hence the long wait.
        return await connect(
            url,
            additional_headers={"Authorization": f"Token {key}"},
            open_timeout=CONNECT_SECONDS,
            ping_timeout=120,
            max_size=2**22,
            compression=None,
        )
    except InvalidStatus as error:
        raise RefusedError(_refusal(error)) from None
    except (InvalidURI, InvalidHandshake) as error:
        raise UnreachableError(f"{_where(url)} does not speak WebSocket: {error}") from None
    except TimeoutError:
        raise UnreachableError(f"{_where(url)} did not answer within {CONNECT_SECONDS:.0f} s") from None
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error) or type(error).__name__
        raise UnreachableError(f"{_where(url)} is not reachable: {reason}. Is the server running?") from None


async def _send(
    socket: ClientConnection, packets: AsyncIterator[bytes], stop: asyncio.Event, outcome: Outcome
) -> None:
    stopped = asyncio.create_task(stop.wait())
    try:
        async with aclosing(_until(packets, stopped)) as wanted:
            async for packet in wanted:
                if packet is None:
                    await socket.send('{"type":"KeepAlive"}')
                else:
                    await socket.send(packet)
                    outcome.sent_bytes += len(packet)
    except InputError as error:
        outcome.input_error = error
    except ConnectionClosed:
        return
    finally:
        outcome.interrupted = stop.is_set()
        stopped.cancel()
    try:
        await socket.send('{"type":"CloseStream"}')
    except ConnectionClosed:
        return


async def _until(packets: AsyncIterator[bytes], stopped: asyncio.Task[bool]) -> AsyncGenerator[bytes | None]:
    """`packets` until `stopped` is done; None whenever the source has been quiet for a while."""
    following: asyncio.Task[bytes] | None = None
    try:
        while not stopped.done():
            following = following or asyncio.ensure_future(anext(packets))
            await asyncio.wait(
                {following, stopped}, timeout=KEEP_ALIVE_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            if following.done():
                packet = following.result()
                following = None
                yield packet
            elif not stopped.done():
                yield None
    except StopAsyncIteration:
        return
    finally:
        if following is not None:
            following.cancel()


async def _receive(
    socket: ClientConnection,
    on_message: Callable[[Message, str], None],
    sender: asyncio.Task[None],
    outcome: Outcome,
) -> None:
    """Every message until the server closes. Once all is sent, a server silent for too long is given up."""
    while True:
        try:
            raw = await asyncio.wait_for(socket.recv(), SILENT_SECONDS)
        except TimeoutError:
            if sender.done():
                raise BrokenOffError(
                    f"the server said nothing for {SILENT_SECONDS:.0f} s after the end of the audio"
                ) from None
            continue
        except ConnectionClosed as closed:
            if outcome.finished and closed.rcvd is not None and closed.rcvd.code == 1000:
                return
            raise
        message = _parse(raw)
        if message.get("type") == "Metadata":
            outcome.finished = True
        if not outcome.request_id:
            outcome.request_id = _request_id(message)
        on_message(message, raw if isinstance(raw, str) else "")
        if message.get("type") == "Error":
            outcome.error_text = _error_text(message)


def _parse(raw: str | bytes) -> Message:
    try:
        message = json.loads(raw) if isinstance(raw, str) else None
    except ValueError:
        message = None
    if not isinstance(message, dict):
        raise BrokenOffError(
            "the server sent something that is not a message of /v1/listen; is the address right?"
        )
    return message


def _request_id(message: Message) -> str:
    metadata = message.get("metadata")
    found = message.get("request_id") or (metadata.get("request_id") if isinstance(metadata, dict) else "")
    return found if isinstance(found, str) else ""


def _error_text(message: Message) -> str:
    code = message.get("code") or message.get("variant") or "no code"
    text = message.get("description") or message.get("message") or "no description"
    return f"{str(text)[:MAX_ERROR_TEXT]} ({code})"


def _why_closed(closed: ConnectionClosed, outcome: Outcome) -> str:
    end = closed.rcvd
    request = f"; request {outcome.request_id}" if outcome.request_id else ""
    if end is None:
        said = f" after saying: {outcome.error_text}" if outcome.error_text else ""
        return f"the connection was lost before the transcript was complete{said}{request}"
    reason = outcome.error_text or end.reason[:MAX_ERROR_TEXT] or "no reason given"
    return f"the server closed the stream early with code {end.code}: {reason}{request}"


def _refusal(error: InvalidStatus) -> str:
    """The server's own words where it sent any: `{"err_code", "err_msg", "request_id"}`."""
    status = error.response.status_code
    try:
        body = json.loads(error.response.body or b"")
    except ValueError:
        body = None
    if not isinstance(body, dict) or "err_msg" not in body:
        return f"the server refused the stream with HTTP {status}"
    request = f"; request {body['request_id']}" if body.get("request_id") else ""
    said = str(body["err_msg"])[:MAX_ERROR_TEXT]
    return (
        f"the server refused the stream: {said} (HTTP {status}, {body.get('err_code', 'no code')}{request})"
    )


def _where(url: str) -> str:
    return url.partition("?")[0]
