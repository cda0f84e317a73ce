from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from stenogate import feed
from stenogate.feed import Feed, Layout
from stenogate.way import MAX_ADDRESSES, MAX_WINDOW_S, Message, Way

LAYOUT = Layout(rate=16_000)


def way(url: str = "wss://one.example/v1/listen?a=1") -> Way:
    return Way(url, Feed(LAYOUT, live=True))


def result(seq: int, *, final: bool = True, **more: object) -> Message:
    return {"type": "Results", "seq": seq, "is_final": final, **more}


def query(way: Way) -> dict[str, list[str]]:
    return parse_qs(urlsplit(way.url).query)


def test_how_far_it_is_stands_in_the_address() -> None:
    mine = way()
    assert mine.url == "wss://one.example/v1/listen?resume=true&a=1"
    assert not mine.take({"type": "Resume", "resume_token": "t&1", "window_s": 30})
    assert mine.url.endswith("&resume_token=t%261&last_seq=-1&have_from_ms=0")
    assert mine.window_s == 30
    mine.take(result(0, resume_token="t2"))
    assert mine.url.endswith("&resume_token=t2&last_seq=0&have_from_ms=0")
    # The caller's own word is the last.
    assert query(way("ws://one.example/v1/listen?resume=false"))["resume"] == ["true", "false"]


def test_what_is_known_is_no_news() -> None:
    mine = way()
    assert mine.take(result(0))
    assert not mine.take(result(0))
    assert not mine.take(result(0, final=False))
    assert mine.take(result(1, final=False))
    assert mine.take(result(1))
    # Of a final without a token, the token before it is still good.
    mine.take(result(2, resume_token="t"))
    assert mine.take(result(3))
    assert mine.token == "t"
    # Servers without numbers, and other messages.
    assert mine.take({"type": "Results", "is_final": True})
    assert mine.take({"type": "Metadata"})


@pytest.mark.parametrize("window_s", [None, "60", [60]])
def test_a_window_that_is_none_changes_nothing(window_s: object) -> None:
    mine = way()
    mine.take({"type": "Resume", "resume_token": 1, "window_s": window_s})
    assert (mine.window_s, mine.token) == (60.0, "")


def test_no_window_is_longer_than_anybody_waits() -> None:
    mine = way()
    mine.take({"type": "Resume", "window_s": 1e9})
    assert mine.window_s == MAX_WINDOW_S


def test_another_address_is_tried_first_and_then_the_others_in_turn() -> None:
    mine = way()
    mine.take({"type": "Resume", "resume_token": "t", "url": "wss://two.example:8443"})
    assert mine.url.startswith("wss://two.example:8443/v1/listen?resume=true&a=1&")
    mine.try_another()
    assert mine.url.startswith("wss://one.example/v1/listen?")
    for number in range(10):
        assert mine.turn_to(f"wss://{number}.example")
    seen = set()
    for _ in range(10):
        seen.add(urlsplit(mine.url).netloc)
        mine.try_another()
    assert seen == {f"{number}.example" for number in range(10 - MAX_ADDRESSES, 10)}


@pytest.mark.parametrize(
    "address",
    ["", "one", "ftp://two.example", "wss://", "wss://two:99999", "http://two.example", None, 5],
)
def test_a_key_is_sent_nowhere_else(address: object) -> None:
    """Nor to a server without TLS by whoever came with it."""
    mine = way()
    assert not mine.turn_to(address)
    assert urlsplit(mine.url).netloc == "one.example"


def test_what_is_kept_is_said_and_never_more() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feed, "KEPT_S", 1)
        patch.setattr(feed, "AHEAD_S", 1)
        filled = Feed(LAYOUT, live=True)
    mine = Way("ws://one.example/v1/listen", filled)
    mine.token = "t"
    filled.note_sent(LAYOUT.size(4000))
    filled._append(bytes(LAYOUT.size(5000) + 2))
    assert query(mine)["have_from_ms"] == ["3001"]
    assert mine.place(3001) >= filled.start > mine.place(3000)


def test_another_stream_begins_where_all_channels_were_said() -> None:
    mine = way()
    mine._feed._append(bytes(LAYOUT.size(5000)))
    mine.take(result(0, channel_index=[0, 2], start=0.5, duration=1.5, resume_token="t"))
    mine.take(result(1, channel_index=[1, 2], start=0.0, duration=1.0))
    mine.take(result(2, channel_index="x"))
    mine.start_over()
    assert mine.place(0) == LAYOUT.size(1000)
    assert (mine.token, mine.last_seq) == ("", -1)
    # And the one after it, counted from there.
    mine.take(result(0, channel_index=[0, 1], start=0.0, duration=2.0))
    mine.start_over()
    assert mine.place(0) == LAYOUT.size(3000)
