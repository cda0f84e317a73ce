"""A live stream that libav reads.

libav pulls, and we are pushed to. So libav runs in a thread of the stream's own, and blocks where it reads
until more is fed. Whoever feeds waits until it is there again: then everything that can be had from the
bytes so far has been given.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

import av

from gateway.audio import libav
from gateway.audio.base import Pcm
from gateway.audio.shaper import Samples, Shaper
from gateway.errors import BadAudio

# A header, a cover picture, an index: what may come before there is a sample, or between two.
MAX_UNHEARD_BYTES = 8 * 2**20
# Decoded and not yet taken. A little data can be a lot of audio; the thread waits until there is room.
_MAX_WAITING_SAMPLES = 64_000
# Nothing is waited for but what tells rate and channels. (Not `nobuffer`: it loses what was probed.)
_OPTIONS = {"probesize": "32", "analyzeduration": "1"}


class Container:
    def __init__(self, demuxer: str, lanes: int) -> None:
        self._demuxer = demuxer
        self._shaper = Shaper(lanes)
        self._pipe: _Pipe | None = None
        self._closed = False

    @property
    def input_ms(self) -> int:
        return self._shaper.input_ms

    def quick(self, size: int) -> bool:
        return False

    def feed(self, data: bytes) -> Iterator[Pcm]:
        if self._pipe is None:
            # The thread knows the pipe and not us, so that a decoder nobody closed can end it.
            self._pipe = _Pipe()
            if self._closed:  # asked after the pipe is there: either we see it or `close` sees the pipe
                self._pipe.close()
                return iter(())
            threading.Thread(
                target=_run, args=(self._pipe, self._demuxer), name="container", daemon=True
            ).start()
        self._pipe.put(data)
        return self._drain(self._pipe)

    def finish(self) -> Iterator[Pcm]:
        if self._pipe is not None:
            self._pipe.end()
            yield from self._drain(self._pipe)
        yield from self._shaper.finish()

    def close(self) -> None:
        self._closed = True
        if self._pipe is not None:
            self._pipe.close()
        self._shaper.close()

    def __del__(self) -> None:
        self.close()

    def _drain(self, pipe: _Pipe) -> Iterator[Pcm]:
        more = True
        while more:
            blocks, more = pipe.take()
            for samples, rate in blocks:
                yield from self._shaper.take(samples, rate)
        if isinstance(pipe.error, av.FFmpegError | ValueError | MemoryError):
            raise BadAudio(self._hint()) from pipe.error
        if pipe.error is not None:
            raise pipe.error

    def _hint(self) -> str:
        if self._demuxer == "mov" and not self.input_ms:
            return "MP4 that is sent live must be fragmented, or have its index (moov) before the samples."
        return libav.hint(self._demuxer, self.input_ms)


class _Closed(Exception):
    """Nobody wants the rest."""


class _Pipe:
    """Bytes one way, samples the other. `read` and `give` are the thread's; the rest is for who feeds."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self._changed = threading.Condition()
        self._data, self._at = b"", 0
        self._blocks: list[tuple[Samples, int]] = []
        self._waiting = 0  # samples in blocks
        self._unheard = 0
        self._hungry = self._ended = self._closed = self._done = False

    # ---- who feeds

    def put(self, data: bytes) -> None:
        with self._changed:
            if not (self._done or self._closed):  # what follows the end of a container is not audio
                self._data, self._at = self._data[self._at :] + data, 0
            self._hungry = False
            self._changed.notify_all()

    def end(self) -> None:
        with self._changed:
            self._ended = True
            self._hungry = False
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._data = b""
            self._blocks.clear()
            self._changed.notify_all()

    def take(self) -> tuple[list[tuple[Samples, int]], bool]:
        """What was decoded, once the thread cannot go on; and whether there may be more of it."""
        with self._changed:
            self._changed.wait_for(lambda: self._hungry or self._done or self._closed or self._full)
            blocks, self._blocks, self._waiting = self._blocks, [], 0
            self._changed.notify_all()
            return blocks, not (self._hungry or self._done or self._closed)

    # ---- the thread

    @property
    def _full(self) -> bool:
        return self._waiting >= _MAX_WAITING_SAMPLES

    def read(self, size: int) -> bytes:
        with self._changed:
            while self._at >= len(self._data) and not (self._ended or self._closed or self.error):
                self._data, self._at = b"", 0
                self._hungry = True
                self._changed.notify_all()
                self._changed.wait()
            # An end, and no exception: one that libav does not pass on is raised where it does not belong.
            if self._closed or self.error is not None:
                return b""
            data = self._data[self._at : self._at + size]
            self._at += len(data)
            self._unheard += len(data)
            if self._unheard > MAX_UNHEARD_BYTES:
                self.error = BadAudio(f"{MAX_UNHEARD_BYTES} bytes came without any audio in them.")
                return b""
            return data

    def give(self, samples: Samples, rate: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._full or self._closed)
            if self._closed:
                raise _Closed
            self._blocks.append((samples, rate))
            self._waiting += samples.size
            self._unheard = 0
            self._changed.notify_all()

    def done(self, error: Exception | None) -> None:
        with self._changed:
            self.error, self._done = None if self._closed else self.error or error, True
            self._data = b""
            self._changed.notify_all()


def _run(pipe: _Pipe, demuxer: str) -> None:
    error: Exception | None = None
    try:
        with libav.open_input(pipe, demuxer, _OPTIONS) as container:
            for samples, rate in libav.decode(container, libav.first_audio(container)):
                pipe.give(samples, rate)
    except _Closed:
        pass
    except Exception as raised:
        # For whoever feeds: here it would end a thread and nothing else. Without what it holds on to.
        error = raised.with_traceback(None)
    finally:
        pipe.done(error)
