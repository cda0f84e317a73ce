from __future__ import annotations

import random

import pytest

from gateway.audio.recognise import HEAD_BYTES, Found, Skip, recognise


@pytest.mark.parametrize(
    ("head", "demuxer"),
    [
        (b"OggS\x00\x02", "ogg"),
        (b"\x1aE\xdf\xa3\x9f", "matroska"),
        (b"fLaC\x00\x00", "flac"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "wav"),
        (b"RF64\xff\xff\xff\xffWAVEds64", "wav"),
        (b"RIFF\x00\x00\x00\x00AVI LIST", "avi"),
        (b"FORM\x00\x00\x00\x00AIFFCOMM", "aiff"),
        (b"#!AMR\n\x3c", "amr"),
        (b"#!AMR-WB\n", "amr"),
        (b"\x00\x00\x00\x20ftypisom", "mov"),
        (b"\x00\x00\x00\x20moofmfhd", "mov"),
        (b"\xff\xfb\x90\x64", "mp3"),
        (b"\xff\xf3\x40\xc4", "mp3"),
        (b"\xff\xf1\x50\x80\x02\x1f\xfc\x00", "aac"),
        (b"\x47" + bytes(187) + b"\x47", "mpegts"),
        (b".snd\x00\x00\x00\x18", "au"),
        (b"caff\x00\x01", "caf"),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6", "asf"),
    ],
)
def test_a_container_is_known_by_its_first_bytes(head, demuxer):
    assert recognise(head) == Found(demuxer)


def test_a_tag_is_skipped_by_its_size():
    assert recognise(b"ID3\x04\x00\x00\x00\x00\x02\x01") == Skip(10 + 257)
    assert recognise(b"ID3\x04\x00\x10\x00\x00\x00\x01") == Skip(10 + 1 + 10)
    assert recognise(b"ID3\x04\x00") is None


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\x00" * HEAD_BYTES,
        b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd",
        b"ffconcat version 1.0\nfile '/etc/passwd'",
        b"<?xml version='1.0'?><MPD>",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xff\xff\xff",
        b"RIFF\x00\x00\x00\x00WEBP",
        b'{"type":"KeepAlive"}',
    ],
)
def test_what_is_no_audio_is_nothing(head):
    assert recognise(head.ljust(HEAD_BYTES, b" ")) is None


def test_random_bytes_are_hardly_ever_something():
    chance = random.Random(5)
    found = sum(recognise(chance.randbytes(HEAD_BYTES)) is not None for _ in range(20_000))
    assert found < 40
