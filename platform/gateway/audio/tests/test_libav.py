from __future__ import annotations

import io
import os
from contextlib import suppress

import av
import pytest

from gateway.audio import libav
from gateway.audio.recognise import DEMUXERS
from gateway.audio.tests.sounds import encode, sweep
from gateway.errors import BadAudio


@pytest.mark.parametrize("demuxer", ["concat", "hls", "dash", "image2", "sdp", "lavfi", "tty", "nonsense"])
def test_a_format_that_reads_other_things_is_not_opened(demuxer):
    with pytest.raises(BadAudio, match=f"{demuxer} is not read here"):
        libav.open_input(io.BytesIO(b"ffconcat version 1.0\nfile '/etc/passwd'\n"), demuxer, {})


def test_every_format_and_decoder_we_name_is_in_the_wheel():
    assert all(av.ContainerFormat(name).is_input for name in DEMUXERS | libav.BARE_DEMUXERS)
    assert set(libav.DECODERS.split(",")) <= av.codec.codecs_available


def test_another_file_is_never_opened(monkeypatch):
    opened = []
    monkeypatch.setattr(libav, "_refuse", lambda *asked: opened.append(asked))
    playlist = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n"
    for demuxer in DEMUXERS:
        with suppress(BadAudio, av.FFmpegError), libav.open_input(io.BytesIO(playlist), demuxer, {}) as it:
            list(libav.decode(it, libav.first_audio(it)))
    assert opened == []


def test_a_picture_is_no_audio_and_is_not_decoded():
    with io.BytesIO() as file:
        with av.open(file, "w", format="matroska") as out:
            stream = out.add_stream("mjpeg", rate=5, width=32, height=32, pix_fmt="yuvj420p")
            frame = av.VideoFrame(32, 32, "yuvj420p")
            out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
        file.seek(0)
        with libav.open_input(file, "matroska", {}) as container, pytest.raises(BadAudio, match="no audio"):
            libav.first_audio(container)


def test_a_codec_that_is_not_on_the_list_is_refused():
    data = encode("matroska", "tta", 16_000, sweep(16_000))
    with libav.open_input(io.BytesIO(data), "matroska", {}) as it, pytest.raises(BadAudio, match="codec"):
        libav.first_audio(it)


def test_libav_says_nothing_of_its_own(capfd):
    data = bytearray(encode("adts", "aac", 16_000, sweep(16_000)))
    data[100:130] = os.urandom(30)
    with libav.open_input(io.BytesIO(bytes(data)), "aac", {}) as container:
        list(libav.decode(container, libav.first_audio(container)))
    assert av.logging.get_last_error() == (0, None)
    assert capfd.readouterr() == ("", "")
