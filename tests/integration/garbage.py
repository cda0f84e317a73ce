"""What no well-meaning client sends: frames and handshakes, made from a seed."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

from tests.benchmarks.load_client import BINARY, CLOSE, NO_MASK, PING, PONG, TEXT, frame

BAD_NEIGHBOUR = "203.0.113.66"  # whose bad keys are held against nobody else
KINDS = ("KeepAlive", "Finalize", "CloseStream", "Results", "keepalive", "", "\0", "__class__", "Ünïcode")


def harmless_frame(random: random.Random) -> bytes:
    """Odd, but nothing that a stream must end for: audio of any length, controls, messages in pieces."""
    return random.choice((_audio, _audio, _audio, _audio, _ping, _pong, _audio_in_pieces))(random)


def bad_text(random: random.Random) -> bytes:
    """A text message that is none of the protocol's. A few are borne."""
    payload = random.choice((_not_json, _deep, _wrong_type, _wrong_shape, _huge))(random)
    return frame(TEXT, payload.encode())


def ending(random: random.Random) -> bytes:
    """Something that ends a stream, by the rules of WebSocket or by ours."""
    return random.choice(ENDINGS)(random)


def handshake(random: random.Random, key: str) -> bytes:
    """The beginning of a connection that is not to succeed."""
    return random.choice(HANDSHAKES)(random, key)


# ---- frames


def _audio(random: random.Random) -> bytes:
    return frame(BINARY, random.randbytes(random.choice((1, 2, 3, 17, 320, 640, 641, 1999))))


def _audio_in_pieces(random: random.Random) -> bytes:
    pieces = [random.randbytes(random.randint(1, 99)) for _ in range(random.randint(2, 6))]
    heads = [BINARY] + [0] * (len(pieces) - 1)
    frames = [bytearray(frame(head, piece)) for head, piece in zip(heads, pieces, strict=True)]
    for one in frames[:-1]:
        one[0] &= 0x7F
    return b"".join(frames)


def _ping(random: random.Random) -> bytes:
    return frame(PING, random.randbytes(random.randint(0, 125)))


def _pong(random: random.Random) -> bytes:
    return frame(PONG, random.randbytes(random.randint(0, 125)))


def _not_json(random: random.Random) -> str:
    return "".join(
        chr(random.choice((0, 7, 34, 92, 123, 0x1F600, 0xFFFD, 65))) for _ in range(random.randint(0, 60))
    )


def _deep(random: random.Random) -> str:
    return random.choice(("[", '{"type":', '{"a":[')) * random.choice((10, 1000, 20_000))


def _wrong_type(random: random.Random) -> str:
    kind = random.choice(
        (None, 1, 1e308, True, [], {}, ["KeepAlive"], {"type": "KeepAlive"}, "keepAlive", "")
    )
    return json.dumps({"type": kind, "keyterms": random.choice((None, 7, ["x"] * 50))})


def _wrong_shape(random: random.Random) -> str:
    return random.choice(
        (
            "null",
            "true",
            "[]",
            '"CloseStream"',
            "1e999",
            "-0",
            "{}",
            '{"Type":"KeepAlive"}',
            "\ufeff{}",
            "NaN",
        )
    )


def _huge(random: random.Random) -> str:
    return json.dumps({"type": random.choice(KINDS[3:]), "pad": "x" * random.choice((1_000, 70_000))})


def _unmasked(random: random.Random) -> bytes:
    return bytes((0x82, 4)) + random.randbytes(4)


def _reserved_bits(random: random.Random) -> bytes:
    return bytes((0x82 | random.choice((0x10, 0x20, 0x40)), 0x84)) + NO_MASK + bytes(4)


def _reserved_opcode(random: random.Random) -> bytes:
    return frame(random.choice((3, 4, 5, 6, 7, 11, 12, 13, 14, 15)), bytes(4))


def _long_control(random: random.Random) -> bytes:
    return frame(random.choice((PING, PONG, CLOSE)), bytes(random.randint(126, 500)))


def _control_in_pieces(random: random.Random) -> bytes:
    return bytes((random.choice((PING, PONG, CLOSE)), 0x84)) + NO_MASK + bytes(4)


def _middle_without_beginning(random: random.Random) -> bytes:
    return frame(0, bytes(random.randint(0, 9)))


def _beginning_in_the_middle(random: random.Random) -> bytes:
    return bytes((TEXT, 0x81)) + NO_MASK + b"a" + frame(TEXT, b"b")


def _invalid_utf8(random: random.Random) -> bytes:
    return frame(
        TEXT, random.choice((b"\xff\xfe", b"\xc0\xaf", b"\xed\xa0\x80", b"abc\x80", b"\xf4\x90\x80\x80"))
    )


def _endless(random: random.Random) -> bytes:
    return (
        bytes((0x82, 0xFF))
        + random.choice((2**63 - 1, 2**32, 2**21)).to_bytes(8, "big")
        + NO_MASK
        + bytes(99)
    )


def _impossible_length(random: random.Random) -> bytes:
    return bytes((0x82, 0xFF)) + (2**63 + random.randint(0, 9)).to_bytes(8, "big") + NO_MASK


def _wasteful_length(random: random.Random) -> bytes:
    return bytes((0x82, 0xFE)) + (4).to_bytes(2, "big") + NO_MASK + bytes(4)


def _odd_close(random: random.Random) -> bytes:
    return frame(
        CLOSE, random.choice((b"\x03", b"\x00\x00", b"\x03\xed", b"\x13\x88", b"\xff\xff", b"\x03\xe8\xff"))
    )


def _broken_off(random: random.Random) -> bytes:
    """Half a frame; the connection is closed after it."""
    return frame(BINARY, bytes(640))[: random.randint(1, 600)]


def _close_stream_and_more(random: random.Random) -> bytes:
    return frame(TEXT, b'{"type":"CloseStream"}') + _audio(random) * 3


ENDINGS: tuple[Callable[[random.Random], bytes], ...] = (
    _unmasked,
    _reserved_bits,
    _reserved_opcode,
    _long_control,
    _control_in_pieces,
    _middle_without_beginning,
    _beginning_in_the_middle,
    _invalid_utf8,
    _endless,
    _impossible_length,
    _wasteful_length,
    _odd_close,
    _broken_off,
    _close_stream_and_more,
)

# ---- handshakes


def request(
    path: str, key: str, *lines: str, version: str = "13", nonce: str = "MDEyMzQ1Njc4OWFiY2RlZg=="
) -> bytes:
    head = [
        f"GET {path} HTTP/1.1",
        "Host: localhost",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Version: {version}",
        f"Sec-WebSocket-Key: {nonce}",
        f"Authorization: Token {key}",
        f"X-Forwarded-For: {BAD_NEIGHBOUR}",
        *lines,
    ]
    return ("\r\n".join(head) + "\r\n\r\n").encode("utf-8", "surrogateescape")


def _noise(random: random.Random, key: str) -> bytes:
    return random.randbytes(random.randint(1, 600))


def _noise_in_lines(random: random.Random, key: str) -> bytes:
    return b"\r\n".join(random.randbytes(random.randint(0, 60)) for _ in range(9)) + b"\r\n\r\n"


def _cut_short(random: random.Random, key: str) -> bytes:
    whole = request("/v1/listen", key)
    return whole[: random.randint(1, len(whole) - 3)]


def _bad_query(random: random.Random, key: str) -> bytes:
    name = random.choice(
        (
            "sample_rate",
            "encoding",
            "channels",
            "endpointing",
            "utterance_end_ms",
            "interim_results",
            "callback",
        )
    )
    value = random.choice(
        ("", "-1", "NaN", "1e9", "%00", "%ff%fe", "%", "%zz", "a" * 5000, "٣", "0x10", "8000;9000", "null")
    )
    return request(f"/v1/listen?{name}={value or '-'}&{name}=~", key)


def _bad_path(random: random.Random, key: str) -> bytes:
    path = random.choice(
        ("/", "/v1", "/v1/listen/", "/v1//listen", "/../v1/listen", "/v1/%6cisten%00", "/x" * 900)
    )
    return request(path, key)


def _bad_key(random: random.Random, key: str) -> bytes:
    return request(
        "/v1/listen", random.choice(("", "x" * 9000, "sk_" + "a" * 53, key[:-1], key + "a", "é", "\t"))
    )


def _bad_version(random: random.Random, key: str) -> bytes:
    return request("/v1/listen", key, version=random.choice(("", "0", "8", "99", "13, 8", "x")))


def _bad_nonce(random: random.Random, key: str) -> bytes:
    return request("/v1/listen", key, nonce=random.choice(("", "short", "!" * 24, "a" * 500)))


def _doubled_headers(random: random.Random, key: str) -> bytes:
    twice = random.choice(
        ("Host: a", "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==", "Sec-WebSocket-Version: 13")
    )
    return request("/v1/listen", key, twice)


def _large_headers(random: random.Random, key: str) -> bytes:
    return request("/v1/listen", key, f"X-Pad: {'a' * random.choice((17_000, 70_000))}")


def _many_headers(random: random.Random, key: str) -> bytes:
    return request("/v1/listen", key, *(f"X-{number}: a" for number in range(random.choice((600, 3000)))))


def _folded_header(random: random.Random, key: str) -> bytes:
    return request(
        "/v1/listen", key, random.choice((" folded", "No colon here", ": no name", "Bad Name: x", "\x00: a"))
    )


def _other_method(random: random.Random, key: str) -> bytes:
    method = random.choice(("PUT", "TRACE", "CONNECT", "BREW", "get", "G" * 900))
    return request("/v1/listen", key).replace(b"GET", method.encode(), 1)


def _other_http(random: random.Random, key: str) -> bytes:
    version = random.choice((b"HTTP/0.9", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/x", b"HTTP", b"PRI * HTTP/2.0"))
    return request("/v1/listen", key).replace(b"HTTP/1.1", version, 1)


HANDSHAKES: tuple[Callable[[random.Random, str], bytes], ...] = (
    _noise,
    _noise_in_lines,
    _cut_short,
    _bad_query,
    _bad_path,
    _bad_key,
    _bad_version,
    _bad_nonce,
    _doubled_headers,
    _large_headers,
    _many_headers,
    _folded_header,
    _other_method,
    _other_http,
)
