"""Silence of the recording and of the server. And a stream that outlives its connections: nothing is left
out and nothing handed on twice, however it is cut."""

from __future__ import annotations

import ast
import asyncio
import random
import sys
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stenogate import client, feed, patience
from stenogate.errors import BrokenOffError, RefusedError, UnreachableError
from stenogate.feed import Layout
from stenogate.tests.flaky import FINAL_MS, LAYOUT, Flaky, Step, flaky, packets
from stenogate.way import Message

FINALS = 6
AUDIO = random.Random(1).randbytes(LAYOUT.size(FINALS * FINAL_MS))
WORDS = [f"w{number}" for number in range(FINALS)]
WITHIN_S = 30


def test_the_client_needs_three_packages_and_nothing_else() -> None:
    imported = set()
    for path in Path(client.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {name.name.split(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add((node.module or "").split(".")[0])
    assert imported - set(sys.stdlib_module_names) == {"cryptography", "numpy", "stenogate", "websockets"}


# ---- silence


async def packets_with_a_pause(until: threading.Event) -> AsyncIterator[bytes]:
    yield b"\x01\x02" * 800
    await asyncio.to_thread(until.wait, 20)
    yield b"\x03\x04" * 800


def to_fake(fake: Any, packets: AsyncIterator[bytes]) -> Any:
    return client.transcribe(f"{fake.url}/v1/listen", "key", packets, lambda *_: None, Layout(16_000))


async def test_a_quiet_recording_keeps_the_stream_alive(
    fake_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "KEEP_ALIVE_SECONDS", 0.05)
    enough = threading.Event()

    class Texts(list[str]):
        def append(self, text: str) -> None:
            super().append(text)
            if self.count("KeepAlive") == 2:
                enough.set()

    fake_server.texts = Texts()
    outcome = await to_fake(fake_server, packets_with_a_pause(enough))
    assert fake_server.texts[:2] == ["KeepAlive", "KeepAlive"]
    assert fake_server.texts[-1] == "CloseStream"
    assert outcome.sent_bytes == len(fake_server.audio) == 3200


async def test_a_server_that_never_answers_is_given_up(
    fake_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "SILENT_SECONDS", 0.1)
    over = threading.Event()

    def script(fake: Any, socket: Any) -> None:
        fake.receive_to_the_end(socket)
        over.wait(30)

    fake_server.script = script
    ended = threading.Event()
    ended.set()
    try:
        with pytest.raises(BrokenOffError, match="said nothing"):
            await asyncio.wait_for(to_fake(fake_server, packets_with_a_pause(ended)), 20)
    finally:
        over.set()


# ---- coming back


@dataclass
class Heard:
    finals: list[str] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    partials: int = 0

    def __call__(self, message: Message, _raw: str) -> None:
        if message["type"] != "Results":
            return
        if message["is_final"]:
            self.finals.append(message["channel"]["alternatives"][0]["transcript"])
            self.numbers.append(message["seq"])
        else:
            self.partials += 1


async def stream(fake: Flaky, heard: Heard, *, audio: bytes = AUDIO, **options: bool) -> client.Outcome:
    return await asyncio.wait_for(
        client.transcribe(
            f"{fake.url}/v1/listen?tag=a", "key", packets(audio), heard, LAYOUT,
            chance=random.Random(1), **options,
        ),
        WITHIN_S,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FIRST_S", 0.001)
    monkeypatch.setattr(patience, "LONGEST_S", 0.002)


BREAKS = st.builds(
    Step,
    cut_after=st.integers(0, 8),
    close=st.sampled_from([None, (1012, "gateway_draining"), (4503, "worker_lost")]),
    elsewhere=st.booleans(),
)
REFUSALS = st.builds(Step, refuse=st.sampled_from([429, 503]))


@settings(max_examples=40, deadline=None)
@given(st.lists(BREAKS | REFUSALS, max_size=8))
def test_however_it_is_cut_every_final_is_handed_on_once(steps: list[Step]) -> None:
    # Nobody comes back to what was never opened.
    first = next((number for number, step in enumerate(steps) if not step.refuse), len(steps))
    heard = Heard()

    async def run() -> None:
        async with flaky(*steps[first:]) as fake:
            outcome = await stream(fake, heard)
            assert outcome.finished
            assert outcome.sent_bytes == len(AUDIO)
            assert fake.heard == AUDIO

    asyncio.run(run())
    assert heard.finals == WORDS
    assert heard.numbers == list(range(FINALS))


@pytest.mark.parametrize(
    "close", [None, (1001, ""), (1012, "region_draining"), (1013, "worker_lost"), (4500, "engine_failed"),
              (4503, "worker_lost"), (1008, "client_too_slow"), (1011, "NET-0001")],
)  # fmt: skip
async def test_what_ends_a_connection_and_not_the_stream(close: tuple[int, str] | None) -> None:
    heard = Heard()
    async with flaky(Step(cut_after=4, close=close)) as fake:
        outcome = await stream(fake, heard)
    assert heard.finals == WORDS
    assert (outcome.came_back, outcome.started_over, outcome.request_id) == (1, 0, "req-1")
    first, again = fake.asked
    assert first == {"tag": "a", "resume": "true"}
    assert again == first | {"resume_token": "token-1-1", "last_seq": "0", "have_from_ms": "0"}


@pytest.mark.parametrize(
    "close", [(1000, ""), (1008, "key_revoked"), (4409, "resumed_elsewhere"), (1002, "")]
)
async def test_what_ends_the_stream(close: tuple[int, str]) -> None:
    async with flaky(Step(cut_after=4, close=close)) as fake:
        with pytest.raises(BrokenOffError, match=f"closed the stream early with code {close[0]}"):
            await stream(fake, Heard())
    assert len(fake.asked) == 1


@pytest.mark.parametrize(
    ("status", "code"), [(429, "too_many_streams"), (503, "no_capacity"), (502, ""), (409, "resume_conflict")]
)
async def test_a_refusal_that_passes_is_outlasted(status: int, code: str) -> None:
    heard, refused = Heard(), Step(refuse=status, code=code, headers=(("Retry-After", "0"),))
    async with flaky(Step(cut_after=4), refused, refused) as fake:
        await stream(fake, heard)
    assert heard.finals == WORDS
    # The tries are all the same: a token is good until another has come.
    assert fake.asked[1] == fake.asked[2] == fake.asked[3]


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "key_revoked"), (402, "on_hold"), (403, "resume_foreign"), (409, "something"),
     (410, "resume_late"), (400, "resume_unsuitable")],
)  # fmt: skip
async def test_a_refusal_that_stays_has_a_name(status: int, code: str) -> None:
    async with flaky(Step(cut_after=4), Step(refuse=status, code=code)) as fake:
        with pytest.raises(RefusedError, match=rf"No\. \(HTTP {status}, {code}; request req-1\)") as refused:
            await stream(fake, Heard())
    assert (refused.value.status, refused.value.code) == (status, code)
    assert len(fake.asked) == 2


async def test_a_server_that_keeps_nothing_is_not_asked_again() -> None:
    async with flaky(Step(cut_after=0, resumes=False)) as fake:
        with pytest.raises(BrokenOffError, match="the connection was lost"):
            await stream(fake, Heard())
    assert len(fake.asked) == 1


async def test_the_first_handshake_is_tried_once_and_says_when_it_may_be_again() -> None:
    async with flaky(Step(refuse=503, headers=(("Retry-After", "7"),))) as fake:
        with pytest.raises(RefusedError, match=r"HTTP 503, no_capacity, Retry-After 7 s; request req-1"):
            await stream(fake, Heard())
    assert len(fake.asked) == 1


async def test_a_stream_that_is_lost_is_followed_by_another_if_that_is_wanted() -> None:
    heard = Heard()
    async with flaky(Step(cut_after=5), Step(refuse=410, code="resume_late")) as fake:
        outcome = await stream(fake, heard, start_over=True)
        assert fake.heard == AUDIO[LAYOUT.size(2 * FINAL_MS) :]
    assert (outcome.came_back, outcome.started_over) == (0, 1)
    # The numbers begin again, and the audio of the two finals that had come is not sent again.
    assert heard.numbers == [0, 1, *range(FINALS - 2)]
    assert "resume_token" not in fake.asked[2]


async def test_the_stream_after_one_that_is_lost_is_waited_for() -> None:
    heard = Heard()
    async with flaky(Step(cut_after=5), Step(refuse=410, code="resume_late"), Step(refuse=503)) as fake:
        outcome = await stream(fake, heard, start_over=True)
    assert (outcome.finished, outcome.started_over) == (True, 1)
    assert heard.numbers == [0, 1, *range(FINALS - 2)]


async def test_a_stream_whose_farewell_is_lost_has_ended() -> None:
    heard = Heard()
    async with flaky(Step(cut_after=2 * FINALS + 2)) as fake:
        outcome = await stream(fake, heard)
    assert (heard.finals, outcome.finished, outcome.came_back, len(fake.asked)) == (WORDS, True, 0, 1)


async def test_a_server_that_lets_in_and_breaks_off_is_given_up_too() -> None:
    async with flaky(*[Step(cut_after=1)] * 50) as fake:
        with pytest.raises(BrokenOffError, match="the connection was lost"):
            await stream(fake, Heard())
    assert len(fake.asked) == patience.MAX_IN_VAIN


async def test_the_time_that_the_server_grants_is_all_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_window_s = 0.05
    monkeypatch.setattr(patience, "FIRST_S", 0.02)
    async with flaky(Step(cut_after=2), *[Step(refuse=503)] * 50) as fake:
        fake.window_s = fake_window_s
        with pytest.raises(BrokenOffError, match=r"no way back to it: .* \(HTTP 503, no_capacity"):
            await stream(fake, Heard())
        # Nor does it wait for longer than that because the server asks for it.
        fake.steps[:] = [Step(cut_after=2), Step(refuse=503, headers=(("Retry-After", "3600"),))]
        with pytest.raises(BrokenOffError, match="no way back"):
            await stream(fake, Heard())


async def test_it_goes_where_the_server_says() -> None:
    """By a redirect, by a close frame, and by the last message before one."""
    heard = Heard()
    async with flaky() as there, flaky(Step(refuse=307)) as redirecting:
        redirecting.steps[:] = [
            Step(refuse=307, headers=(("Location", f"{there.url}/v1/listen?tag=b&redirect_token=t"),))
        ]
        await stream(redirecting, heard)
        # Not the key: it has been given another for this.
        assert (there.asked, there.keys) == ([{"tag": "b", "redirect_token": "t"}], [""])
        assert heard.finals == WORDS

    heard = Heard()
    async with flaky() as there, flaky() as closing:
        closing.steps[:] = [Step(cut_after=0, close=(4307, there.url), resumes=False)]
        await stream(closing, heard)
        assert (len(closing.asked), len(there.asked)) == (1, 1)
        assert heard.finals == WORDS

    heard = Heard()
    async with flaky() as there, flaky() as closing:
        closing.steps[:] = [Step(cut_after=4), Step(cut_after=0, close=(4307, there.url), resumes=False)]
        there.known, there.said = closing.known, 1
        there.heard += AUDIO[: LAYOUT.size(FINAL_MS)]
        await stream(closing, heard)
        assert (len(closing.asked), len(there.asked)) == (2, 1)
        assert heard.finals == WORDS

    heard = Heard()
    async with flaky() as there, flaky() as leaving:
        leaving.steps[:] = [Step(cut_after=4, close=(1012, "region_draining"), url=there.url)]
        there.known, there.said = leaving.known, 1
        there.heard += AUDIO[: LAYOUT.size(FINAL_MS)]
        await stream(leaving, heard)
        assert (len(leaving.asked), len(there.asked)) == (1, 1)
        assert there.keys == ["Token key"]
        assert heard.finals == WORDS


async def test_an_address_that_is_gone_is_left_for_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = Heard()
    async with flaky() as gone:
        pass
    async with flaky() as fake:
        fake.steps[:] = [Step(cut_after=4, url=gone.url)]
        await stream(fake, heard)
    assert heard.finals == WORDS


async def test_redirects_that_go_round_are_left() -> None:
    async with flaky() as fake:
        fake.steps[:] = [Step(cut_after=0, close=(4307, fake.url), resumes=False)] * 50
        with pytest.raises(BrokenOffError, match="4307"):
            await stream(fake, Heard())
        assert len(fake.asked) == 1 + client.MAX_REDIRECTS


@pytest.mark.parametrize(
    ("from_ms", "sentence"),
    [("", "does not say from where"), ("soon", "does not say from where"), ("-1", "does not say from where"),
     ("99999", "needs the audio from 99999 ms on")],
)  # fmt: skip
async def test_a_server_that_cannot_be_understood_is_named(from_ms: str, sentence: str) -> None:
    async with flaky(Step(cut_after=4), Step(from_ms=from_ms)) as fake:
        with pytest.raises(BrokenOffError, match=sentence):
            await stream(fake, Heard())


async def test_audio_that_is_not_kept_any_more_is_missed_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "KEPT_S", 0)
    monkeypatch.setattr(feed, "AHEAD_S", 1)
    async with flaky(Step(cut_after=30), Step(from_ms="0")) as fake:
        with pytest.raises(BrokenOffError, match="needs the audio from 0 ms on, and what is kept is from"):
            await stream(fake, Heard(), audio=AUDIO * 4)
        assert int(fake.asked[1]["have_from_ms"]) > 0


async def test_no_server_at_the_start_is_no_server() -> None:
    async with flaky() as gone:
        pass
    with pytest.raises(UnreachableError):
        await stream(gone, Heard())
