"""The `stenogate` command."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, BinaryIO, cast

from stenogate import client, server, source, verify
from stenogate.display import Display
from stenogate.errors import ClientError, InputError
from stenogate.feed import Layout
from stenogate.way import Message

INTERRUPTED = 130

ABOUT = """\
Streaming speech to text, from the command line.

  stenogate transcribe meeting.wav        watch the transcript grow as the recording plays
  stenogate transcribe --help             everything else
  stenogate verify invoice.json receipts.jsonl
                                          recompute a bill
"""

TRANSCRIBE_ABOUT = """\
Stream a WAV file to a Stenogate server and print the transcript.

On a terminal the utterance that is being spoken grows in one live line; when it is finished it becomes a
line of its own. Into a pipe or a file only finished lines are written. A last line on stderr tells how much
audio was sent, how long it took and the request id, which is what to quote when something is wrong.

A stream that is cut off is gone on with as soon as a server answers again: no word is lost or shown twice.
"""

TRANSCRIBE_MORE = """\
examples:
  stenogate transcribe meeting.wav
        at the pace of speech, against the demo that 'make run' started in this directory
  stenogate transcribe --fast meeting.wav > meeting.txt
        as fast as the server takes it, finished lines only
  stenogate transcribe --json --fast meeting.wav | jq 'select(.is_final).channel.alternatives[0].words'
        the server's messages as they come, one a line; here the words and times of each final
  arecord -q -f S16_LE -r 16000 -t wav | stenogate transcribe -
        a microphone, live
  STENOGATE_URL=https://stt.example.com STENOGATE_KEY=... stenogate transcribe meeting.wav
        another server; a key in the environment is not seen by other users of this machine

WAV files:
  PCM of 8, 16, 24 or 32 bits, or float; channels are mixed down; any rate from 8 kHz.
  For anything else: ffmpeg -i IN -ac 1 -ar 16000 -c:a pcm_s16le OUT.wav

exit codes:
  0  transcribed                        4  no server answers there
  2  too little is known to start       5  the server refused the stream
  3  the recording cannot be read       6  the stream ended before it was finished, with no way back to it
  130  stopped with Ctrl-C; what was sent until then has been transcribed (press it twice not to wait)
"""


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        code: int = options.run(options)
    except ClientError as error:
        print(f"stenogate: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has had enough; Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    top = argparse.ArgumentParser("stenogate", description=ABOUT, formatter_class=raw)
    top.add_argument("--version", action="version", version=f"stenogate {_version()}")
    commands = top.add_subparsers(required=True, metavar="COMMAND", title="commands")
    transcribe = commands.add_parser(
        "transcribe",
        help="stream a WAV file and print the transcript",
        description=TRANSCRIBE_ABOUT,
        epilog=TRANSCRIBE_MORE,
        formatter_class=raw,
    )
    transcribe.set_defaults(run=_transcribe)
    transcribe.add_argument("file", metavar="FILE", help="a WAV file, or - for standard input")
    where = transcribe.add_argument_group("server (default: the demo in var/run/demo.json)")
    where.add_argument("--url", help="ws://, wss://, http:// or https:// address; STENOGATE_URL")
    where.add_argument("--key", help="API key; better given as STENOGATE_KEY")
    pace = transcribe.add_argument_group("pace").add_mutually_exclusive_group()
    pace.add_argument(
        "--realtime",
        dest="fast",
        action="store_false",
        help="as it was spoken (default: partials grow as live)",
    )
    pace.add_argument("--fast", dest="fast", action="store_true", help="as fast as the server reads")
    transcribe.set_defaults(fast=False)
    what = transcribe.add_argument_group("transcript")
    what.add_argument(
        "--language", metavar="CODE", help="language spoken, such as en (default: the server's)"
    )
    what.add_argument(
        "--interim",
        action=argparse.BooleanOptionalAction,
        help="ask for partial results (default: on a terminal and with --json)",
    )
    what.add_argument("--json", action="store_true", help="print the server's messages, one a line")
    what.add_argument(
        "--param",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        type=server.param,
        help="any other parameter of /v1/listen, such as endpointing=300; may be repeated",
    )
    check = commands.add_parser(
        "verify",
        help="recompute an invoice from signed receipts",
        description=verify.ABOUT,
        epilog=verify.MORE,
        formatter_class=raw,
    )
    check.set_defaults(run=_verify)
    check.add_argument("invoice", metavar="INVOICE", type=Path, help="an invoice, as JSON")
    check.add_argument("receipts", metavar="RECEIPTS", type=Path, help="its receipts, one a line")
    check.add_argument(
        "--keys",
        metavar="FILE",
        type=Path,
        help="the published keys (default: keys.json beside the receipts)",
    )
    return top


def _verify(options: argparse.Namespace) -> int:
    return verify.run(options.invoice, options.receipts, options.keys, sys.stdout)


def _transcribe(options: argparse.Namespace) -> int:
    with _open(options.file) as file:
        where = server.find(options.url, options.key, os.environ)
        recording = source.read(file)
        interim = options.json or sys.stdout.isatty() if options.interim is None else options.interim
        params = {
            "encoding": "linear16",
            "sample_rate": str(recording.sample_rate),
            "channels": "1",
            "interim_results": "true" if interim else "false",
        }
        if options.language:
            params["language"] = options.language
        params.update(options.param)
        display = Display(sys.stdout, live=interim and not options.json and sys.stdout.isatty())
        started = time.monotonic()
        try:
            outcome = asyncio.run(
                _stream(
                    server.with_query(where, params),
                    where.key,
                    recording,
                    live=not options.fast,
                    on_message=_print_raw if options.json else shower(display),
                )
            )
        finally:
            display.clear()
    seconds, taken = outcome.sent_bytes / 2 / recording.sample_rate, time.monotonic() - started
    print(
        f"{seconds:.1f} s of audio in {taken:.1f} s ({seconds / taken:.1f} times real time), "
        f"request {outcome.request_id or 'unknown'}{_came_back(outcome.came_back)}",
        file=sys.stderr,
    )
    if outcome.input_error:
        raise outcome.input_error
    return INTERRUPTED if outcome.interrupted else 0


async def _stream(
    url: str,
    key: str,
    recording: source.Recording,
    *,
    live: bool,
    on_message: Callable[[Message, str], None],
) -> client.Outcome:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def interrupt(*_: Any) -> None:
        # The second Ctrl-C finds Python's own handler again and does not wait for the server.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        loop.call_soon_threadsafe(stop.set)

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        packets = source.in_thread(recording.packets)
        if live:
            packets = source.paced(packets, recording.sample_rate)
        layout = Layout(recording.sample_rate)
        return await client.transcribe(url, key, packets, on_message, layout, stop=stop, live=live)
    finally:
        signal.signal(signal.SIGINT, before)


def _came_back(times: int) -> str:
    return f", resumed {times} {'time' if times == 1 else 'times'}" if times else ""


def shower(display: Display) -> Callable[[Message, str], None]:
    """Puts the transcript of every `Results` on `display`."""

    def show(message: Message, _raw: str) -> None:
        if message.get("type") != "Results":
            return
        try:
            text = str(message["channel"]["alternatives"][0]["transcript"])
        except (KeyError, IndexError, TypeError):
            text = ""
        if message.get("is_final"):
            display.final(text)
        else:
            display.partial(text)

    return show


def _print_raw(_message: Message, raw: str) -> None:
    print(raw, flush=True)


def _open(name: str) -> BinaryIO:
    if name == "-":
        # Unbuffered: closing a buffered file waits for the thread that reads it, and so for a silent pipe.
        # A copy of the descriptor, so that closing it leaves standard input alone.
        return cast(BinaryIO, os.fdopen(os.dup(0), "rb", buffering=0))
    try:
        return Path(name).open("rb")
    except FileNotFoundError:
        raise InputError(f"there is no file {name}") from None
    except IsADirectoryError:
        raise InputError(f"{name} is a directory, not a WAV file") from None
    except OSError as error:
        raise InputError(f"{name} cannot be read: {error.strerror or error}") from None
    except ValueError:  # a NUL in the name
        raise InputError("that is not the name of a file") from None


def _version() -> str:
    try:
        return version("stenogate")
    except PackageNotFoundError:
        return "(not installed)"
