from __future__ import annotations

import asyncio
import io
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import time
import wave
from pathlib import Path
from typing import Any

import pytest

from stenogate.tests.flaky import LAYOUT, Step, flaky

COMMAND = [sys.executable, "-m", "stenogate"]
ROOT = Path(__file__).parents[2]


def wav_bytes(seconds: float = 0.4, rate: int = 16000, channels: int = 1) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(b"\x01\x02" * int(seconds * rate) * channels)
    return out.getvalue()


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "speech.wav"
    path.write_bytes(wav_bytes())
    return path


def environ(fake: Any | None = None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STENOGATE_")}
    kept |= {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    return kept | ({"STENOGATE_URL": fake.url, "STENOGATE_KEY": "the-key"} if fake else {})


def run(
    *arguments: str, fake: Any | None = None, given: bytes | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*COMMAND, *arguments],
        env=environ(fake),
        input=given,
        capture_output=True,
        timeout=60,
        cwd=cwd,
        check=False,
    )


def sentence(done: subprocess.CompletedProcess[bytes]) -> str:
    text = done.stderr.decode()
    assert "Traceback" not in text
    return text


def test_finals_go_to_a_pipe_and_the_figures_to_stderr(fake_server: Any, recording: Path) -> None:
    done = run("transcribe", "--fast", str(recording), fake=fake_server)
    assert done.stdout == b"It was.\n"
    assert re.fullmatch(
        r"0\.4 s of audio in \d+\.\d s \(\d+\.\d times real time\), request req-1\n", sentence(done)
    )
    assert done.returncode == 0
    assert bytes(fake_server.audio) == b"\x01\x02" * 6400
    assert fake_server.texts == ["CloseStream"]
    assert fake_server.authorization == "Token the-key"
    assert fake_server.path == (
        "/v1/listen?resume=true&encoding=linear16&sample_rate=16000&channels=1&interim_results=false"
    )


async def test_a_stream_that_was_cut_off_is_gone_on_with(tmp_path: Path) -> None:
    (tmp_path / "speech.wav").write_bytes(wav_bytes(rate=LAYOUT.rate))
    async with flaky(Step(cut_after=4)) as fake:
        process = await asyncio.create_subprocess_exec(
            *COMMAND, "transcribe", "--fast", str(tmp_path / "speech.wav"),
            env=environ(fake), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        out, err = await asyncio.wait_for(process.communicate(), 60)
    assert out == b"w0\nw1\nw2\nw3\n"
    assert err.endswith(b"request req-1, resumed 1 time\n")
    assert process.returncode == 0


def test_json_prints_every_message_as_it_came(fake_server: Any, recording: Path) -> None:
    done = run("transcribe", "--fast", "--json", str(recording), fake=fake_server)
    kinds = [json.loads(line)["type"] for line in done.stdout.splitlines()]
    assert kinds == ["Results", "Results", "Metadata"]
    assert "interim_results=true" in fake_server.path


def test_language_and_other_parameters_are_passed_on(fake_server: Any, recording: Path) -> None:
    run(
        "transcribe", "--fast", "--language", "de", "--param", "endpointing=300", "--interim", str(recording),
        fake=fake_server,
    )  # fmt: skip
    assert fake_server.path.endswith("interim_results=true&language=de&endpointing=300")


def test_standard_input_and_studio_rates(fake_server: Any) -> None:
    done = run("transcribe", "--fast", "-", fake=fake_server, given=wav_bytes(0.5, rate=96000, channels=2))
    assert done.returncode == 0
    assert "sample_rate=48000" in fake_server.path
    assert len(fake_server.audio) == 48000


def test_realtime_takes_as_long_as_the_recording(fake_server: Any, recording: Path) -> None:
    done = run("transcribe", str(recording), fake=fake_server)
    taken = re.search(r"in (\d+\.\d) s", sentence(done))
    assert taken is not None
    assert float(taken[1]) >= 0.4


def test_the_demo_of_this_directory_is_the_default(fake_server: Any, recording: Path, tmp_path: Path) -> None:
    (tmp_path / "var/run").mkdir(parents=True)
    facts = {"ws_url": fake_server.url, "http_url": "http://x", "api_key": "demo"}
    (tmp_path / "var/run/demo.json").write_text(json.dumps(facts))
    assert run("transcribe", "--fast", str(recording), cwd=tmp_path).returncode == 0
    assert fake_server.authorization == "Token demo"


def test_on_a_terminal_partials_grow_in_one_line(fake_server: Any, recording: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "transcribe", "--fast", str(recording)],
        env=environ(fake_server) | {"COLUMNS": "40", "LINES": "5"},
        stdout=theirs,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs)
    shown = b""
    try:
        while block := os.read(ours, 1000):
            shown += block
    except OSError:  # how a pty says that the other side is closed
        pass
    finally:
        os.close(ours)
    assert process.wait(30) == 0
    assert shown == b"\r\x1b[Kit was\r\x1b[KIt was.\r\n"
    assert "interim_results=true" in fake_server.path


def test_ctrl_c_ends_the_stream_in_order(fake_server: Any, tmp_path: Path) -> None:
    (tmp_path / "long.wav").write_bytes(wav_bytes(60))
    fake_server.enough_audio = 3200
    process = subprocess.Popen(
        [*COMMAND, "transcribe", str(tmp_path / "long.wav")],
        env=environ(fake_server),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert fake_server.heard.wait(30)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert out == b"It was.\n"
    assert b"s of audio in" in err
    assert b"Traceback" not in err
    assert process.returncode == 130
    assert fake_server.texts == ["CloseStream"]


def test_ctrl_c_does_not_wait_for_a_silent_pipe(fake_server: Any) -> None:
    fake_server.enough_audio = 3200
    process = subprocess.Popen(
        [*COMMAND, "transcribe", "-"],
        env=environ(fake_server),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(wav_bytes(60)[:6000])
    process.stdin.flush()
    assert fake_server.heard.wait(30)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    process.communicate()


def test_a_truncated_file_is_transcribed_and_then_named(fake_server: Any, tmp_path: Path) -> None:
    (tmp_path / "cut.wav").write_bytes(wav_bytes(1.0)[:-16000])
    done = run("transcribe", "--fast", str(tmp_path / "cut.wav"), fake=fake_server)
    assert done.stdout == b"It was.\n"
    assert "truncated: its header promises 1.0 s of audio, 0.5 s are there" in sentence(done)
    assert done.returncode == 3
    assert len(fake_server.audio) == 16000


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("missing.wav", None, "there is no file"),
        ("notes.wav", b"hello, this is text", "this is not a WAV file"),
        (".", None, "is a directory"),
        (
            "mulaw.wav",
            wav_bytes().replace(b"\x10\x00\x00\x00\x01", b"\x10\x00\x00\x00\x07"),
            "compressed (mu-law)",
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    fake_server: Any, tmp_path: Path, name: str, content: bytes | None, expected: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = run("transcribe", "--fast", str(tmp_path / name), fake=fake_server)
    assert expected in sentence(done)
    assert done.returncode == 3


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (401, "key_rejected", "The API key is unknown."),
        (403, "scope_missing", "The API key does not have the scope this needs."),
        (429, "too_many_failures", "Too many requests."),
        (503, "no_capacity", "Every worker is full."),
    ],
)
def test_a_refusal_is_shown_in_the_servers_words(
    fake_server: Any, recording: Path, status: int, code: str, said: str
) -> None:
    body = {"err_code": code, "err_msg": said, "request_id": "req-9"}
    fake_server.refuse = (status, json.dumps(body).encode())
    done = run("transcribe", "--fast", str(recording), fake=fake_server)
    assert sentence(done) == (
        f"stenogate: the server refused the stream: {said} (HTTP {status}, {code}; request req-9)\n"
    )
    assert done.returncode == 5


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b"\xff"])
def test_a_refusal_of_something_else_shows_its_status(fake_server: Any, recording: Path, body: bytes) -> None:
    fake_server.refuse = (404, body)
    done = run("transcribe", "--fast", str(recording), fake=fake_server)
    assert sentence(done) == "stenogate: the server refused the stream with HTTP 404\n"
    assert done.returncode == 5


def test_no_server_is_one_sentence(recording: Path) -> None:
    with socket.socket() as taken:  # bound and not listening: nobody else can answer there
        taken.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{taken.getsockname()[1]}"
        done = run("transcribe", "--url", url, "--key", "k", str(recording))
    assert sentence(done) == (
        f"stenogate: {url}/v1/listen is not reachable: Connection refused. Is the server running?\n"
    )
    assert done.returncode == 4


def test_without_a_server_named_it_says_what_to_do(recording: Path, tmp_path: Path) -> None:
    done = run("transcribe", str(recording), cwd=tmp_path)
    assert "Start a demo server with 'make run'" in sentence(done)
    assert done.returncode == 2


def test_an_early_close_is_told_with_its_code_and_reason(fake_server: Any, recording: Path) -> None:
    fake_server.script = lambda fake, socket: socket.close(4503, "worker_lost")
    done = run("transcribe", str(recording), fake=fake_server)
    assert "closed the stream early with code 4503: worker_lost" in sentence(done)
    assert done.returncode == 6


def test_an_error_message_explains_the_close_that_follows(fake_server: Any, recording: Path) -> None:
    def script(fake: Any, socket: Any) -> None:
        socket.send(
            json.dumps({"type": "Error", "description": "The worker is gone.", "code": "worker_lost"})
        )
        socket.close(4503, "worker_lost")

    fake_server.script = script
    done = run("transcribe", str(recording), fake=fake_server)
    assert "closed the stream early with code 4503: The worker is gone. (worker_lost)" in sentence(done)
    assert done.returncode == 6


def test_a_close_before_the_metadata_is_not_taken_for_success(fake_server: Any, recording: Path) -> None:
    def script(fake: Any, socket: Any) -> None:
        fake.receive_to_the_end(socket)
        socket.close(1000)

    fake_server.script = script
    done = run("transcribe", "--fast", str(recording), fake=fake_server)
    assert "closed the stream early with code 1000: no reason given" in sentence(done)
    assert done.returncode == 6


def test_a_server_of_something_else_is_named(fake_server: Any, recording: Path) -> None:
    fake_server.script = lambda fake, socket: socket.send("hello")
    done = run("transcribe", str(recording), fake=fake_server)
    assert "not a message of /v1/listen" in sentence(done)
    assert done.returncode == 6


def test_a_reader_that_has_had_enough_is_no_error(fake_server: Any, recording: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(
        [*COMMAND, "transcribe", "--fast", str(recording)],
        env=environ(fake_server), stdout=write_end, stderr=subprocess.PIPE, timeout=60, check=False,
    )  # fmt: skip
    os.close(write_end)
    assert done.stderr == b""
    assert done.returncode == 0


def test_back_pressure_reaches_the_file(fake_server: Any, tmp_path: Path) -> None:
    """A server that stops reading stops the client: it must not read an hour into memory."""
    (tmp_path / "hour.wav").write_bytes(wav_bytes(1200))

    def script(fake: Any, socket: Any) -> None:
        fake.heard.set()
        time.sleep(1.0)
        socket.close(4000, "enough")

    fake_server.script = script
    started = time.monotonic()
    done = run("transcribe", "--fast", str(tmp_path / "hour.wav"), fake=fake_server)
    assert "enough" in sentence(done)
    assert time.monotonic() - started < 30
    assert len(fake_server.audio) == 0


@pytest.mark.parametrize("arguments", [["--help"], ["transcribe", "--help"]])
def test_help_is_help(arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.returncode == 0
    assert b"stenogate transcribe meeting.wav" in done.stdout


def test_verify_needs_no_server_and_no_key_and_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "receipts.jsonl").write_text("")
    done = run("verify", "invoice.json", "receipts.jsonl", cwd=tmp_path)
    assert done.returncode == 2
    assert sentence(done) == (
        "stenogate: there is no keys.json beside receipts.jsonl: save GET /v1/receipts/keys there, or name "
        "the file with --keys\n"
    )
    (tmp_path / "keys.json").write_text('{"keys": []}')
    done = run("verify", "invoice.json", "receipts.jsonl", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, b"")
    assert sentence(done) == "stenogate: invoice.json cannot be read: No such file or directory\n"
