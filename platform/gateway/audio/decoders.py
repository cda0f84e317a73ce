"""Which decoder is for what."""

from __future__ import annotations

from gateway.audio import raw
from gateway.audio.base import AudioFormat, Decoder


def decoder(form: AudioFormat) -> Decoder:
    """The decoder for a format that `gateway.parameters` has allowed."""
    return raw.Raw(form.encoding or "", form.sample_rate, form.channels, form.lanes)
