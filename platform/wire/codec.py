"""Messages to bytes and back. Anything that does not fit the contract is a `WireError`, never a surprise."""

from __future__ import annotations

import msgspec

from wire.messages import WIRE_VERSION, Envelope, Heartbeat

ENVELOPE = "wire.envelope"
HEARTBEAT = "wire.heartbeat"

_encoder = msgspec.msgpack.Encoder()
_envelopes = msgspec.msgpack.Decoder(Envelope)
_heartbeats = msgspec.msgpack.Decoder(Heartbeat)


class WireError(Exception):
    """A message between gateway and worker is malformed or of a version this process does not speak."""


def encode_envelope(envelope: Envelope) -> dict[str, object]:
    return {"type": ENVELOPE, "data": _encoder.encode(envelope)}


def encode_heartbeat(heartbeat: Heartbeat) -> dict[str, object]:
    return {"type": HEARTBEAT, "data": _encoder.encode(heartbeat)}


def decode(message: object) -> Envelope | Heartbeat:
    """The channel-layer message `message` as what it is."""
    if not isinstance(message, dict) or not isinstance(message.get("data"), bytes):
        raise WireError("a channel-layer message has no data")
    kind, data = message.get("type"), message["data"]
    try:
        if kind == ENVELOPE:
            decoded: Envelope | Heartbeat = _envelopes.decode(data)
        elif kind == HEARTBEAT:
            decoded = _heartbeats.decode(data)
        else:
            raise WireError(f"unknown channel-layer message type {kind!r:.40}")
    except msgspec.DecodeError as error:
        # The decoder's own sentence may quote the value, and values may be transcripts: name the error only.
        raise WireError(f"malformed {kind}: {type(error).__name__}") from None
    if decoded.version != WIRE_VERSION:
        raise WireError(f"{kind} of version {decoded.version}; this process speaks {WIRE_VERSION}")
    return decoded
