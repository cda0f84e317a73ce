"""Where a stream goes on after it was cut off: at which address, with which token, after which final.

Sans-I/O: takes what the server says and makes the address to come back to.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from stenogate.errors import UsageError
from stenogate.feed import Feed
from stenogate.server import listen_url

MAX_WINDOW_S = 600.0
MAX_ADDRESSES = 4

Message = dict[str, Any]


class Way:
    def __init__(self, url: str, feed: Feed) -> None:
        address, _, self._query = url.partition("?")
        self._addresses = [address]  # the one to try next is the first
        self._feed = feed
        self._base = 0  # the byte at which the stream begins
        self._said_until_ms: dict[int, int] = {}  # by channel
        self.token = ""  # empty: the stream cannot be resumed
        self.window_s = 60.0
        self.last_seq = -1

    # ---- where to

    @property
    def url(self) -> str:
        """With the key in a header, and beside what was asked for at first how far the client is."""
        asked = {}
        if self.token:
            have_ms = self._feed.layout.ms(max(0, self._feed.start - self._base))
            # The last of it, so that rounding asks for nothing that is gone.
            have_ms += self._feed.start > self._base
            asked = {
                "resume_token": self.token, "last_seq": str(self.last_seq), "have_from_ms": str(have_ms),
            }  # fmt: skip
        # Of what is said twice the last counts: the caller may say that it does not come back.
        query = "&".join(part for part in ("resume=true", self._query, urlencode(asked)) if part)
        return f"{self._addresses[0]}?{query}"

    def try_another(self) -> None:
        """This address does not answer."""
        self._addresses.append(self._addresses.pop(0))

    def turn_to(self, address: object) -> bool:
        """The server says that the stream goes on there. False if that is no address to send a key to."""
        try:
            found = listen_url(address.partition("?")[0]) if isinstance(address, str) else ""
        except (UsageError, ValueError):
            return False
        if not found or (self._addresses[0].startswith("wss:") and not found.startswith("wss:")):
            return False
        rest = [known for known in self._addresses if known != found]
        self._addresses = [found, *rest[: MAX_ADDRESSES - 1]]
        return True

    # ---- how far

    def place(self, from_ms: int) -> int:
        """The byte from which the server wants the audio."""
        return self._base + self._feed.layout.size(from_ms)

    def take(self, message: Message) -> bool:
        """Whether it is news to whoever listens."""
        if message.get("type") == "Resume":
            self._take_token(message)
            window_s = message.get("window_s")
            if isinstance(window_s, int | float):
                self.window_s = min(float(window_s), MAX_WINDOW_S)
            if "url" in message:
                self.turn_to(message["url"])
            return False
        seq = message.get("seq")
        if message.get("type") != "Results" or not isinstance(seq, int):
            return True
        if seq <= self.last_seq:
            return False
        if message.get("is_final"):
            self.last_seq = seq
            self._take_token(message)
            self._note_end(message)
        return True

    def _take_token(self, message: Message) -> None:
        token = message.get("resume_token")
        if isinstance(token, str) and token:
            self.token = token

    def _note_end(self, message: Message) -> None:
        try:
            channel = int(message["channel_index"][0])
            end_ms = round(1000 * (message["start"] + message["duration"]))
        except (KeyError, IndexError, TypeError, ValueError):
            return
        self._said_until_ms[channel] = max(end_ms, self._said_until_ms.get(channel, 0))

    def start_over(self) -> None:
        """As another stream, which begins where the last final ended; of several channels, where that of the
        one that is furthest behind did."""
        said_until_ms = min(self._said_until_ms.values(), default=0)
        self._base = max(self.place(said_until_ms), self._feed.start)
        self._base += -self._base % self._feed.layout.frame_bytes
        self._said_until_ms.clear()
        self.token, self.last_seq = "", -1
