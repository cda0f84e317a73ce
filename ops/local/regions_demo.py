"""`make regions-demo`: show on a running `make regions` what residency, a redirect, a drain and the death of
a region are to clients, and print what happened. Ends with 1 where something else happened than it says.

    python -m ops.local.regions_demo [--var VAR] [--only residency,drain]
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from ops.local import regions, running, stack
from ops.local.errors import LocalError
from ops.local.running import read_json

SECOND = b"\x00\x01" * 16_000
SEEN_WITHIN_S = 15.0  # by all regions, that one is gone
BACK_WITHIN_S = 120.0
DRAINED_WITHIN_S = 60
QUERY = "encoding=linear16&sample_rate=16000"
LIVE = f"{QUERY}&interim_results=true"
COMES_BACK = f"{QUERY}&resume=true"
BYTES_PER_MS = 32
LONG = 6  # seconds of a stream that is drained


class Different(Exception):
    """Something happened that was not to happen."""


@dataclass(frozen=True)
class Answer:
    status: int
    code: str  # of the error
    region: str  # that it is sent to
    location: str


class Demo:
    def __init__(self, var: Path) -> None:
        self.paths = regions.paths_of(var)
        if not running.supervisor_pid(self.paths) or not self.paths.demo.exists():
            raise LocalError("Three regions are not running here. Start them with `make regions`, and wait.")
        facts: dict[str, Any] = read_json(self.paths.demo)
        self.places: dict[str, dict[str, str]] = facts["regions"]
        self.keys: dict[str, str] = facts["keys"]

    # ---- clients

    def asks(self, tenant: str, at: str, query: str = QUERY, path: str = "/v1/listen") -> Answer:
        """A handshake, and nothing after it; no redirect is followed."""
        return self._answer(tenant, at, "GET", f"{path}?{query}", {
            "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        })  # fmt: skip

    def sends(self, tenant: str, at: str, body: bytes) -> Answer:
        """A recording; only its headers, where it is not taken."""
        headers = {"Content-Type": "audio/flac", "Content-Length": str(len(body)), "Expect": "100-continue"}
        return self._answer(tenant, at, "POST", "/v1/listen", headers)

    def _answer(self, tenant: str, at: str, method: str, path: str, headers: dict[str, str]) -> Answer:
        where = urlsplit(self.places[at]["http_url"])
        line = http.client.HTTPConnection(where.hostname or "", where.port, timeout=20)
        try:
            line.request(method, path, headers={"Authorization": f"Token {self.keys[tenant]}", **headers})
            said = line.getresponse()
            body = json.loads(said.read() or b"{}") if said.status != 101 else {}
        finally:
            line.close()
        location = (said.getheader("location") or "").partition("?")[0]
        return Answer(
            said.status, body.get("err_code", ""), said.getheader("stenogate-region") or "", location
        )

    def opens(self, tenant: str, at: str, query: str = QUERY) -> ClientConnection:
        """A stream, wherever it is sent to."""
        return connect(
            f"{self.places[at]['ws_url']}/v1/listen?{query}",
            additional_headers={"Authorization": f"Token {self.keys[tenant]}"},
            proxy=None,
        )

    def where(self, socket: ClientConnection) -> str:
        port = socket.remote_address[1]
        return next(name for name, place in self.places.items() if place["http_url"].endswith(f":{port}"))

    # ---- what is shown

    def residency(self) -> None:
        title("Residency: audio of the tenant europe may be in eu alone, of atlantic in eu or us")
        self.expect("europe asks us", self.asks("europe", "us"), 307, region="eu")
        self.expect("europe asks eu", self.asks("europe", "eu"), 101)
        self.expect("atlantic asks us", self.asks("atlantic", "us"), 101)
        self.expect("atlantic asks ap", self.asks("atlantic", "ap"), 307, region="eu")
        self.expect("anywhere asks ap", self.asks("anywhere", "ap"), 101)
        asks_for_us = f"{QUERY}&region=us"
        self.expect("europe asks eu for us", self.asks("europe", "eu", asks_for_us), 403, "region_forbidden")
        self.expect("anywhere asks eu for us", self.asks("anywhere", "eu", asks_for_us), 307, region="us")
        recording = (stack.ROOT / "tests" / "spoken.flac").read_bytes()
        self.expect("europe sends us a file", self.sends("europe", "us", recording), 307, region="eu")

    def redirect(self) -> None:
        title("Redirect: europe connects to us")
        with self.opens("europe", "us") as socket:
            where = self.where(socket)
            check(where == "eu", f"the client was sent to {where}")
            socket.send(SECOND * 2)
            told = words(socket)
        say("a client that follows redirects", f"is heard in eu: “{told}”")
        with suppress(ConnectionClosed), self.opens("europe", "us", f"{QUERY}&redirect=close") as socket:
            socket.recv()
        found = socket.close_code, socket.close_reason
        check(found == (4307, self.places["eu"]["ws_url"]), f"the socket was closed with {found}")
        say("one that cannot, with redirect=close", f"is closed with {found[0]}: {found[1]}")

    def drain(self) -> None:
        title("Drain: eu takes no new streams, and loses none")
        told, _ = self._undisturbed()
        with self.opens("atlantic", "eu") as socket, self.opens("atlantic", "eu", COMES_BACK) as moves:
            socket.send(SECOND)
            moves.send(SECOND * 4)
            first = _final(moves)
            command = self._manage("region", "drain", "eu", "--within", str(DRAINED_WITHIN_S))

            def answers(tenant: str, at: str, status: int) -> bool:
                for one in (
                    socket,
                    moves,
                ):  # a slow machine takes longer than a stream may be silent
                    with suppress(ConnectionClosed):
                        one.send(json.dumps({"type": "KeepAlive"}))
                return self.asks(tenant, at).status == status

            wait_for(lambda: answers("atlantic", "eu", 307), "eu to drain")
            wait_for(lambda: answers("europe", "us", 503), "us to hear of it")
            self.expect("atlantic asks eu", self.asks("atlantic", "eu"), 307, region="us")
            self.expect("europe asks eu", self.asks("europe", "eu"), 503, "region_unavailable")
            self.expect("europe asks us", self.asks("europe", "us"), 503, "region_unavailable")
            self._moves(moves, first, told)
            socket.send(SECOND * (LONG - 1))
            check(words(socket) == told, "the stream that stayed lost words")
        say("a stream whose client does not", f"went on to its end in eu: “{told}”")
        printed, _ = command.communicate(timeout=DRAINED_WITHIN_S + 30)
        for line in printed.splitlines():
            print(f"      | {line}")
        check(command.returncode == 0, f"the drain ended with {command.returncode}")
        self._manage("region", "undrain", "eu").communicate(timeout=60)
        wait_for(lambda: self.asks("europe", "eu").status == 101, "eu to be back")
        wait_for(lambda: self.asks("europe", "us").status == 307, "us to hear of it")
        say("after region undrain eu", "eu takes streams again")

    def _undisturbed(self) -> tuple[str, str]:
        with self.opens("atlantic", "us") as socket:
            socket.send(SECOND * LONG)
            return finish(socket)

    def _moves(self, socket: ClientConnection, first: dict[str, Any], told: str) -> None:
        """It is told where to go on, and goes on there; nothing is lost, and nothing is said twice."""
        heard = [first]
        offer: dict[str, Any] = {}
        with suppress(ConnectionClosed):
            while True:
                message = json.loads(socket.recv(timeout=20))
                if message["type"] == "Resume":
                    offer = message
                elif message["type"] == "Results" and message["is_final"]:
                    heard.append(message)
        closed = socket.close_code, socket.close_reason
        check(closed == (1012, "region_draining"), f"the stream that can move was closed with {closed}")
        check(offer.get("url") == self.places["us"]["ws_url"], f"it was not sent to us but told {offer}")
        query = f"{COMES_BACK}&resume_token={offer['resume_token']}&last_seq={heard[-1]['seq']}"
        with connect(
            f"{offer['url']}/v1/listen?{query}",
            additional_headers={"Authorization": f"Token {self.keys['atlantic']}"},
            proxy=None,
        ) as there:
            begun = json.loads(there.recv(timeout=20))
            there.send((SECOND * LONG)[begun["resume_from_ms"] * BYTES_PER_MS :])
            rest, _ = finish(there)
        whole = " ".join(filter(None, [*map(_text, heard), rest]))
        check(whole == told, f"the stream that moved heard “{whole}” instead of “{told}”")
        say("a stream whose client comes back", f"heard in eu “{' '.join(map(_text, heard))}”,")
        say("", f"was told the address of us, and heard there “{rest}”")

    def death(self) -> None:
        title("Death: all processes of eu are killed")
        with self.opens("atlantic", "eu", LIVE) as socket:
            socket.send(SECOND)
            socket.recv()
            began = time.monotonic()
            regions.kill(self.paths, "eu")
            try:
                while True:
                    socket.recv(timeout=20)
            except ConnectionClosed as closed:
                say("a stream that was open there", f"is cut off: {type(closed).__name__}")
        wait_for(lambda: self.asks("atlantic", "ap").region == "us", "ap to see it", SEEN_WITHIN_S)
        say("the others see it", f"after {time.monotonic() - began:.0f} s at most")
        self.expect("atlantic asks ap", self.asks("atlantic", "ap"), 307, region="us")
        self.expect("atlantic asks us", self.asks("atlantic", "us"), 101)
        self.expect("anywhere asks us", self.asks("anywhere", "us"), 101)
        wait_for(lambda: self.asks("europe", "us").status == 503, "us to see it", SEEN_WITHIN_S)
        self.expect("europe asks us", self.asks("europe", "us"), 503, "region_unavailable")
        say("", "its audio stays where it may be, even so")

    def back(self) -> None:
        title("Back: eu is started again")
        (self.paths.run / "held-eu").unlink(missing_ok=True)
        wait_for(lambda: self.asks("europe", "us").region == "eu", "eu to be back", BACK_WITHIN_S)
        with self.opens("europe", "us") as socket:
            socket.send(SECOND)
            told = words(socket)
        say("europe connects to us", f"and is heard in eu: “{told}”")

    def expect(self, who: str, found: Answer, status: int, code: str = "", region: str = "") -> None:
        code = code or ("region_elsewhere" if status == 307 else "")
        check(
            (found.status, found.code, found.region) == (status, code, region),
            f"{who}: {found} instead of {status} {code} {region}",
        )
        how = {101: "is served", 307: f"307, to {region} at {found.location}"}
        say(who, how.get(status, f"{status} {code}"))

    def _manage(self, *command: str) -> subprocess.Popen[str]:
        words = [sys.executable, "-m", "ops.local", "--var", str(self.paths.var), "manage", *command]
        return subprocess.Popen(  # noqa: S603
            words, cwd=stack.ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )


def words(socket: ClientConnection) -> str:
    return finish(socket)[0]


def finish(socket: ClientConnection) -> tuple[str, str]:
    """All that is said until the end, which must be a good one, and the request id."""
    socket.send(json.dumps({"type": "CloseStream"}))
    heard, request_id = [], ""
    try:
        while True:
            message = json.loads(socket.recv(timeout=20))
            if message["type"] == "Results" and message["is_final"]:
                heard.append(_text(message))
            elif message["type"] == "Metadata":
                request_id = message["request_id"]
    except ConnectionClosed:
        check(socket.close_code == 1000, f"the stream ended with {socket.close_code} {socket.close_reason}")
    return " ".join(filter(None, heard)), request_id


def _final(socket: ClientConnection) -> dict[str, Any]:
    while True:
        message: dict[str, Any] = json.loads(socket.recv(timeout=20))
        if message["type"] == "Results" and message["is_final"]:
            return message


def _text(message: dict[str, Any]) -> str:
    return str(message["channel"]["alternatives"][0]["transcript"])


def wait_for(look: Callable[[], bool], what: str, within_s: float = 60.0) -> None:
    ends = time.monotonic() + within_s
    while not _seen(look):
        check(time.monotonic() < ends, f"waited {within_s:g} s for {what}")
        time.sleep(0.1)


def _seen(look: Callable[[], bool]) -> bool:
    try:
        return look()
    except (OSError, http.client.HTTPException):
        return False  # what is being started answers a moment later


def title(text: str) -> None:
    print(f"\n{text}", flush=True)


def say(who: str, what: str) -> None:
    print(f"  {who:36} {what}", flush=True)


def check(condition: bool, otherwise: str) -> None:
    if not condition:
        raise Different(otherwise)


STEPS = ("residency", "redirect", "drain", "death", "back")


def _steps(text: str) -> list[str]:
    wanted = text.split(",")
    if not set(wanted) <= set(STEPS):
        raise argparse.ArgumentTypeError(f"there are {', '.join(STEPS)}; not {text!r}")
    return wanted


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ops.local.regions_demo", description=__doc__)
    parser.add_argument("--var", type=Path, default=stack.ROOT / "var", help="as it was given to regions")
    parser.add_argument("--only", type=_steps, default=STEPS, help=f"some of {','.join(STEPS)}")
    given = parser.parse_args(arguments)
    try:
        demo = Demo(given.var.absolute())
        for step in given.only:
            getattr(demo, step)()
    except LocalError as error:
        print(error)
        return 1
    except Different as error:
        print(f"\nThis was not to happen: {error}")
        return 1
    print("\nAll of it happened as it is said to.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
