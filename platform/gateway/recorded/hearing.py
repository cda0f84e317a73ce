"""A recording through a stream, in one pass: as fast as the worker takes it, with no wait per chunk."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import replace

from config import env
from gateway.audio.base import Pcm
from gateway.audio.files import FileAudio, FileInfo, probe
from gateway.errors import AudioTooLong, InternalError, NoAudio, NoCapacity
from gateway.events import CloseStream, Problem, Summary, Transcript
from gateway.parameters import ListenParameters
from gateway.recorded.guest import Guest
from gateway.recorded.heard import Heard
from gateway.recorded.turns import Turns
from gateway.recorded.uploads import Upload, in_thread
from gateway.session import Limits
from gateway.stream import Stream
from wire.tasks import end

log = logging.getLogger(__name__)

Say = Callable[[Transcript], Awaitable[None]]

# Of audio that may wait for the worker, all channels together: it must never run dry, and this is on its way
# all at once.
WINDOW_S = 30.0


async def silently(final: Transcript) -> None:
    """For whoever wants everything at the end."""


async def look_into(upload: Upload, parameters: ListenParameters) -> ListenParameters:
    """The parameters as the file has them. Refuses what is no audio, and what is too much of it."""
    upload.must_be_something()
    info: FileInfo = await in_thread(probe, upload.path, parameters.format, looking=True)
    longest_s = env.RECORDED_MAX_SECONDS.read()
    if info.duration_ms is not None and info.duration_ms > longest_s * 1000:
        raise _too_long(longest_s, f" and this one says that it is {info.duration_ms / 1000:.0f}")
    # The callback gets the whole, from whoever asked for it; the stream has none to tell.
    return replace(parameters, channels=info.channels, interim_results=False, recorded=True, callback="")


async def open_stream(
    guest: Guest, turns: Turns, parameters: ListenParameters, path: str, upload: Upload
) -> Stream:
    """The stream, once a worker has room for it."""

    options = parameters.options()

    async def attempt() -> Stream:
        if guest.house.link.pool.ready() and not guest.house.link.pool.has_room(options):
            raise NoCapacity()  # nobody needs to be asked
        stream = Stream(
            guest.house,
            guest.grant,
            parameters,
            guest.id,
            path=path,
            limits=_limits(guest.house.limits, parameters.lanes),
            audio=Recording(FileAudio(upload.path, parameters.format)),
            has_place=True,
        )
        await stream.open()
        return stream

    stream = await turns.take((options.model, options.version, options.language), attempt)
    guest.become()
    return stream


async def hear(stream: Stream, sha256: str, say: Say = silently) -> Heard:
    """All of it. `say` is told of each final as it comes. Raises what went wrong; the stream is over then."""
    finals: list[Transcript] = []
    summary: Summary | None = None
    feeder = asyncio.create_task(_feed(stream), name="feed recording")
    alarm: asyncio.TimerHandle | None = None
    loop = asyncio.get_running_loop()
    try:
        while True:
            stream.tick()
            while (message := await stream.message()) is not None:
                if isinstance(message, Transcript):
                    finals.append(message)
                    await say(message)
                elif isinstance(message, Summary):
                    summary = message
                elif isinstance(message, Problem):
                    raise message.error
            stream.room.set()
            if stream.session.close_to_send is not None:
                break
            if alarm is None or alarm.when() <= loop.time():
                alarm = loop.call_at(stream.session.next_deadline(), stream.wake.set)
            await stream.wake.wait()
            stream.wake.clear()
    finally:
        if alarm is not None:
            alarm.cancel()
        if (close := stream.session.close_to_send) is not None:
            stream.finish(close)
        stream.leave()  # when it has not ended otherwise
        await end([feeder])
    if summary is None:
        raise InternalError()
    return Heard(stream.about, tuple(finals), summary, sha256)


class Recording:
    """A file as the decoder of a stream. It is asked for all of its audio in one `finish`."""

    def __init__(self, audio: FileAudio) -> None:
        self._audio = audio
        self._longest_s = env.RECORDED_MAX_SECONDS.read()
        self._pieces = self._heard()
        self._closed = False

    @property
    def input_ms(self) -> int:
        return self._audio.input_ms

    def quick(self, size: int) -> bool:
        return False

    def feed(self, data: bytes) -> Iterator[Pcm]:
        raise RuntimeError("A recording is in its file already: nobody has more of it to feed.")

    def finish(self) -> Iterator[Pcm]:
        self._pieces = self._heard()
        return self._pieces

    def _heard(self) -> Generator[Pcm, None, None]:
        for piece in self._audio.pieces():
            if self._closed:
                return
            if self._audio.input_ms > self._longest_s * 1000:
                raise _too_long(self._longest_s)
            yield piece
        if self._audio.input_ms == 0:
            raise NoAudio("It is empty.")

    def close(self) -> None:
        """The file too: what was raised may hold on to its iterator for long."""
        self._closed = True
        # While a thread is in it, it cannot be closed, and ends with what the thread is at.
        with suppress(ValueError):
            self._pieces.close()


async def _feed(stream: Stream) -> None:
    try:
        await stream.obey(CloseStream())
    except asyncio.CancelledError:
        raise
    except Exception:
        log.exception("stream %s: its recording could not be read", stream.id)
        stream.fail(InternalError())


def _limits(house: Limits, lanes: int) -> Limits:
    """No silence of a client ends it, and it may take as long to hear as it may be long."""
    return replace(
        house,
        idle_s=math.inf,
        max_s=max(house.max_s, env.RECORDED_MAX_SECONDS.read()),
        window_s=WINDOW_S / lanes,
    )


def _too_long(longest_s: float, detail: str = "") -> AudioTooLong:
    return AudioTooLong(f"At most {longest_s:g} seconds are taken{detail}.")
