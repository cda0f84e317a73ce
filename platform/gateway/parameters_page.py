"""Writes docs/parameters.md, the page on every query parameter of `/v1/listen`: `make docs`."""

from __future__ import annotations

from gateway import region_query
from gateway.described import DESCRIBED

HEADING = """# Parameters

The query string of `/v1/listen`, for live streams and for recorded audio. Unknown parameters are accepted
and ignored, so that clients made for other services keep working. A bad value is refused with
`bad_parameter`, which names the parameter, the value and what is allowed. Booleans may be written in any
case. A parameter that is given twice counts as it was given last, unless it may be repeated.

Written by `make docs` from `gateway/described.py`; a test opens a stream with every example.

| parameter | what it means | allowed | default | example |
|---|---|---|---|---|
"""

# One that works with 16 kHz mono linear16, or says itself what it needs.
EXAMPLES = {
    "encoding": "encoding=mulaw",
    "sample_rate": "sample_rate=48000",
    "channels": "encoding=linear16&channels=2",
    "multichannel": "encoding=linear16&channels=2&multichannel=true",
    "model": "model=nova-3",
    "version": "version=latest",
    "language": "language=en-GB",
    "interim_results": "interim_results=true",
    "punctuate": "punctuate=false",
    "smart_format": "smart_format=true",
    "numerals": "numerals=true",
    "endpointing": "endpointing=300",
    "utterance_end_ms": "utterance_end_ms=1000",
    "vad_events": "vad_events=true",
    "keyterm": "keyterm=Stenogate&keyterm=Valkey",
    "keywords": "keywords=Stenogate:2",
    "redact": "redact=numbers&redact=ssn",
    "tag": "tag=support&tag=tier-1",
    "extra": "extra=call:4711",
    "callback": "callback=https://example.com/transcripts",
    "callback_method": "callback_method=put",
    "resume": "resume=true",
    "resume_token": "resume_token=TOKEN",
    "last_seq": "resume_token=TOKEN&last_seq=41",
    "have_from_ms": "resume_token=TOKEN&have_from_ms=9000",
}


EVERYWHERE = """
## In every protocol

The sockets of all protocols and the addresses for recordings understand these, too; see
[regions](regions.md).

| parameter | what it means | allowed | default |
|---|---|---|---|
"""


def page() -> str:
    listen = "".join(
        f"| `{parameter.name}`{' (may be repeated)' if parameter.repeated else ''} | {parameter.means} "
        f"| {parameter.allowed} | {parameter.default} | `{EXAMPLES[parameter.name]}` |\n"
        for parameter in DESCRIBED
    )
    everywhere = "".join(
        f"| `{parameter.name}` | {parameter.means} | {parameter.allowed} | {parameter.default} |\n"
        for parameter in region_query.DESCRIBED
    )
    return HEADING + listen + EVERYWHERE + everywhere


if __name__ == "__main__":
    print(page(), end="")
