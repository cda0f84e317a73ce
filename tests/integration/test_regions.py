"""Three whole regions, as `make regions` starts them: what stays where, and what reaches all.

Everything that goes through each region's Valkey is watched, and so is what each region writes down.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from openai import OpenAI
from websockets.exceptions import ConnectionClosed

from ops.local.regions_demo import LIVE, QUERY, Demo, finish
from ops.local.regions_demo import main as regions_demo
from tests.acceptance import migrated
from tests.acceptance.sdk import DeepgramClient, DeepgramClientEnvironment
from tests.acceptance.shell import Shells
from tests.acceptance.stack import OURS, ROOT, START_SECONDS, STOP_SECONDS, wait_for

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

# Audio that nobody else sends: found again wherever it went, as it was said.
OF_EUROPE, OF_OTHERS = bytes.fromhex("3713c0de5a17beef") * 4, bytes.fromhex("4e2e7a11c3005d39") * 4
SECONDS = 32_000 // 32
SAID_LATE = "lazy"  # by the scripted engine, in its third second


class Tap(threading.Thread):
    """All that a Valkey is told, by anybody."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._line = socket.create_connection(("127.0.0.1", port))
        self._line.sendall(b"MONITOR\r\n")
        self._raw = bytearray()
        self._ending = False
        self.start()

    def run(self) -> None:
        try:
            while piece := self._line.recv(65536):
                self._raw += piece
        except ConnectionResetError:  # it was about to say more when we left
            if not self._ending:
                raise

    def end(self) -> None:
        self._ending = True
        self._line.shutdown(socket.SHUT_RDWR)
        self.join(10)
        self._line.close()

    @property
    def seen(self) -> bytes:
        return re.sub(rb"\\(x[0-9a-f]{2}|.)", _unescaped, bytes(self._raw))


def _unescaped(found: re.Match[bytes]) -> bytes:
    said = found.group(1)
    if said.startswith(b"x") and len(said) == 3:
        return bytes.fromhex(said[1:].decode())
    return {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"a": b"\a", b"b": b"\b"}.get(said, said)


COMMAND = """
from io import StringIO
from django.core.management import call_command

said = StringIO()
call_command(*{!r}, stdout=said)
answer(said.getvalue())
"""


class Three:
    def __init__(self, folder: Path, shells: Shells) -> None:
        self.var, self._shells = folder / "var", shells
        self.demo = Demo(self.var)
        self.names = list(self.demo.places)

    def shell(self, program: str) -> Any:
        """Python inside Django, against the control database; it hands back JSON with `answer(value)`."""
        told = json.loads((self.var / "regions" / "run" / "environment.json").read_text())
        return self._shells.run(program, lambda: {**os.environ, **told})

    def manage(self, *command: str) -> str:
        return str(self.shell(COMMAND.format(command)))

    def goes_by(self, name: str) -> float:
        """The version of the configuration that the gateway there says it goes by."""
        with urllib.request.urlopen(f"{self.demo.places[name]['http_url']}/metrics", timeout=10) as page:
            return float(re.findall(rb"^stenogate_gateway_config_version (\S+)", page.read(), re.M)[0])

    def written(self, name: str) -> bytes:
        """What the region has on its disk, and what its processes have logged."""
        logs = (self.var / "regions" / "log").glob(f"*-{name}.log")
        files = [*logs, *(self.var / "regions" / name).rglob("*")]
        return b"".join(file.read_bytes() for file in files if file.is_file())


@pytest.fixture(scope="module")
def three() -> Iterator[Three]:
    with ExitStack() as leaving:
        folder = Path(leaving.enter_context(tempfile.TemporaryDirectory(prefix="stenogate-")))
        folder.chmod(0o755)
        migrated.lend(folder / "var" / "regions" / "postgres")
        output = leaving.enter_context((folder / "output.txt").open("wb"))
        environ = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        process = subprocess.Popen(
            [sys.executable, "-m", "ops.local", "--var", str(folder / "var"), "regions"],
            cwd=ROOT, env=environ, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        leaving.callback(_end, process)
        ready = (folder / "var" / "regions" / "run" / "demo.json").exists
        wait_for(lambda: ready() or process.poll() is not None, START_SECONDS, "three regions to start")
        assert process.poll() is None, (folder / "output.txt").read_text()[-4000:]
        shells = Shells()
        leaving.callback(shells.close)
        three = Three(folder, shells)
        # Each is up by itself; what room the others have they hear a moment later.
        wait_for(
            lambda: all(three.demo.asks("europe", name).region == "eu" for name in ("us", "ap")),
            30, "the regions to hear of each other",
        )  # fmt: skip
        yield three


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(STOP_SECONDS)


def posts(three: Three, tenant: str, at: str, audio: bytes) -> tuple[int, dict[str, Any]]:
    """Recorded audio, all of it, whether it is taken or not."""
    where = urlsplit(three.demo.places[at]["http_url"])
    line = http.client.HTTPConnection(where.hostname or "", where.port, timeout=30)
    try:
        headers = {"Authorization": f"Token {three.demo.keys[tenant]}", "Content-Type": "audio/raw"}
        line.request("POST", f"/v1/listen?{QUERY}", body=audio, headers=headers)
        answer = line.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        line.close()


def hears(three: Three, tenant: str, at: str, audio: bytes) -> tuple[str, str, str]:
    """Where a live stream was heard, its id, and what was said."""
    with three.demo.opens(tenant, at) as live:
        where = three.demo.where(live)
        live.send(audio)
        said, request_id = finish(live)
        return where, request_id, said


IDS = """
from metering.models import Request
from tenants.models import APIKey, Tenant
from tenants.scope import staff_scope

with staff_scope():
    tenant = Tenant.objects.get(slug="europe")
    answer([tenant.id, *APIKey.objects.filter(tenant=tenant).values_list("id", flat=True)])
"""
# Every column of every row of every table that there is.
EVERYTHING = """
from django.apps import apps
from tenants.scope import staff_scope

with staff_scope():
    answer([str(row) for model in apps.get_models() for row in model.objects.values_list()])
"""


def test_audio_transcripts_and_logs_of_europe_are_nowhere_else(three: Three) -> None:
    taps = {name: Tap(int(three.demo.places[name]["valkey_port"])) for name in three.names}
    ids = set(three.shell(IDS))
    assert len(ids) == 2
    try:
        audio = OF_EUROPE * SECONDS * 4
        where, stream, said = hears(three, "europe", "us", audio)
        assert where == "eu"
        assert SAID_LATE in said
        assert posts(three, "europe", "us", audio)[0] == 307
        status, body = posts(three, "europe", "eu", audio)
        assert status == 200
        ids |= {stream, body["metadata"]["request_id"]}
        for path in ("/v1/realtime", "/v3/ws"):
            assert three.demo.asks("europe", "ap", path=path).region == "eu"
        # That a tap sees what there is to be seen is seen by those who may be there.
        control = {name: hears(three, "anywhere", name, OF_OTHERS * SECONDS) for name in ("us", "ap")}
        wait_for(lambda: all(one.encode() in three.written("eu") for one in ids), 30, "eu to write it down")
    finally:
        for tap in taps.values():
            tap.end()
    seen = {name: tap.seen for name, tap in taps.items()}
    assert OF_EUROPE in seen["eu"]
    assert SAID_LATE.encode() in seen["eu"]
    assert all(one.encode() in seen["eu"] for one in ids)
    for name, (where, stream, _) in control.items():
        assert where == name
        assert OF_OTHERS in seen[name]
        assert stream.encode() in seen[name]
        assert stream.encode() in three.written(name)
        for watched in (seen[name], three.written(name)):
            assert OF_EUROPE not in watched
            assert SAID_LATE.encode() not in watched
            assert not [one for one in ids if one.encode() in watched]


def test_the_control_database_has_ids_and_milliseconds_and_nothing_that_was_said(three: Three) -> None:
    _, stream, said = hears(three, "europe", "eu", OF_EUROPE * SECONDS * 4)
    assert SAID_LATE in said
    found = wait_for(
        lambda: stream in (rows := "\n".join(three.shell(EVERYTHING))) and rows,
        30,
        "the stream's usage",
    )
    assert SAID_LATE not in found
    assert OF_EUROPE.hex() not in found
    assert repr(OF_EUROPE)[2:-1] not in found


def test_sdks_that_are_set_up_with_another_region_are_heard_in_theirs(three: Three) -> None:
    us = three.demo.places["us"]
    here = DeepgramClientEnvironment(
        base=us["http_url"], production=us["ws_url"], agent=us["ws_url"], agent_rest=us["http_url"]
    )
    # The SDK's own follows redirects, too, and is never closed.
    with httpx.Client(follow_redirects=True, timeout=30) as http:
        key = three.demo.keys["europe"]
        _is_heard_in_eu(DeepgramClient(api_key=key, environment=here, httpx_client=http))
    openai = OpenAI(api_key=three.demo.keys["europe"], base_url=f"{us['http_url']}/v1", max_retries=0)
    with openai:
        text = openai.audio.transcriptions.create(model="whisper-1", file=("a.flac", spoken())).text
    assert SAID_LATE in text


def _is_heard_in_eu(client: DeepgramClient) -> None:
    with client.listen.v1.connect(model="nova-3", encoding="linear16", sample_rate=16000) as live:
        live.send_media(OF_EUROPE * SECONDS)
        live.send_close_stream()
        regions = {message.metadata.region for message in live if message.type == "Results"}
    assert regions == {"eu"}
    heard = client.listen.v1.media.transcribe_file(request=spoken(), model="nova-3")
    assert SAID_LATE in heard.results.channels[0].alternatives[0].transcript


def spoken() -> bytes:
    return (ROOT / "tests" / "spoken.flac").read_bytes()


def test_a_flag_reaches_all_regions_and_they_say_so(three: Three) -> None:
    def taken() -> set[int]:
        return {posts(three, "anywhere", name, OF_OTHERS * SECONDS)[0] for name in three.names}

    assert taken() == {200}
    said = three.manage("flag", "recorded", "off")
    try:
        wait_for(lambda: taken() == {503}, 15, "all regions to take no recordings")
        code = posts(three, "anywhere", "ap", OF_OTHERS)[1]["err_code"]
        assert code == "recorded_off"

        version = re.search(r"configuration (\d+)", said)
        assert version
        newest = {float(version.group(1))}
        wait_for(lambda: set(map(three.goes_by, three.names)) == newest, 15, "all to go by the newest")
    finally:
        three.manage("flag", "recorded", "clear")
    wait_for(lambda: taken() == {200}, 15, "recordings to be taken again")


def test_a_tenant_that_is_moved_is_wound_up_where_it_may_not_be_any_more(three: Three) -> None:
    three.manage("residency", "anywhere")  # to have a shell: one takes longer than a stream may be silent
    with three.demo.opens("anywhere", "us", LIVE) as live:
        live.send(OF_OTHERS * SECONDS)
        json.loads(live.recv(timeout=10))
        three.manage("residency", "anywhere", "--rule", "home", "--home", "eu")
        try:
            with suppress(ConnectionClosed):
                while live.recv(timeout=10):
                    pass
            assert (live.close_code, live.close_reason) == (1008, "region_forbidden")
            assert three.demo.asks("anywhere", "us").region == "eu"
        finally:
            three.manage("residency", "anywhere", "--rule", "any")

    def may_be_anywhere() -> bool:
        return all(three.demo.asks("anywhere", name).status == 101 for name in three.names)

    wait_for(may_be_anywhere, 15, "it to be anywhere again")


def test_the_script_that_shows_it_all(three: Three, capsys: pytest.CaptureFixture[str]) -> None:
    """But the return of what is dead, which takes long and is the supervisor's: it has tests of its own."""
    steps = "residency,redirect,drain,death"
    assert regions_demo(["--var", str(three.var), "--only", steps]) == 0, capsys.readouterr().out
    assert "All of it happened as it is said to." in capsys.readouterr().out
