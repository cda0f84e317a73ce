from __future__ import annotations

import asyncio
import datetime
import ssl
import threading
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.errors import FetchFailed, GatewayError, UrlRefused
from gateway.outbound import MAX_REDIRECTS, MAX_URL, Outbound, TooLarge, resolve
from tests.receiver import Answer, Asked, Receiver, receiver

LOOPBACK = (ip_network("127.0.0.1/32"),)
WIDE = Outbound(LOOPBACK)
NARROW = Outbound()


async def read(outbound: Outbound, url: str, max_bytes: int = 1_000_000, within_s: float = 10.0) -> bytes:
    async with outbound.stream_get(url, max_bytes, within_s=within_s) as fetched:
        return b"".join([chunk async for chunk in fetched.chunks])


@pytest.fixture
def server() -> Iterator[Receiver]:
    with receiver(lambda asked: Answer(headers={"Content-Type": "audio/wav"}, body=b"a" * 100_000)) as mine:
        yield mine


async def test_a_body_is_fetched_in_chunks_with_what_its_head_said(server: Receiver) -> None:
    async with WIDE.stream_get(server.url("/a.wav?x=1"), 100_000) as fetched:
        assert (fetched.content_type, fetched.length) == ("audio/wav", 100_000)
        chunks = [chunk async for chunk in fetched.chunks]
    assert b"".join(chunks) == b"a" * 100_000
    assert len(chunks) > 1
    assert server.asked[0].path == "/a.wav?x=1"
    assert server.asked[0].headers["host"] == f"127.0.0.1:{server.port}"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "[::1]", "0"])
async def test_however_this_machine_is_written_it_is_not_reached(server: Receiver, host: str) -> None:
    with pytest.raises((UrlRefused, FetchFailed)):
        await read(NARROW, server.url(host=host))
    with pytest.raises((UrlRefused, FetchFailed)):
        await NARROW.post(server.url(host=host), b"x", {})
    assert server.asked == []


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://example.com/a", "http://"),
        ("file:///etc/passwd", "http://"),
        ("gopher://example.com:70/", "http://"),
        ("https://", "name a host"),
        ("/just/a/path", "http://"),
        ("", "http://"),
        ("https://example.com:22/", "port"),
        ("https://example.com:0/", "port"),
        ("https://example.com:99999/", "port"),
        ("https://exa mple.com\n/", "not a URL"),
        ("http://[::1", "not a URL"),
        ("https://example.com/" + "x" * MAX_URL, str(MAX_URL)),
        ("http://10.0.0.1/", "private"),
        ("http://169.254.169.254/latest/meta-data/", "private"),
        ("http://[::ffff:127.0.0.1]/", "private"),
    ],
)
async def test_a_url_that_is_refused_says_why_and_not_where_it_leads(url: str, why: str) -> None:
    with pytest.raises(UrlRefused) as refused:
        await NARROW.check(url)
    assert why in refused.value.sentence
    assert refused.value.status == 400


async def test_a_name_that_also_has_a_private_address_is_refused() -> None:
    async def two(host: str, port: int) -> list[str]:
        return ["93.184.216.34", "10.0.0.1"]

    with pytest.raises(UrlRefused, match="private"):
        await Outbound(resolve=two).check("https://example.com/")


async def test_the_connection_goes_to_the_address_that_was_checked(server: Receiver) -> None:
    """A name server that answers differently the second time is not asked a second time."""
    answers = [["127.0.0.1"], ["10.255.255.1"]]

    async def rebinding(host: str, port: int) -> list[str]:
        assert host == "rebind.example"
        return answers.pop(0)

    body = await read(Outbound(LOOPBACK, rebinding), server.url(host="rebind.example"))
    assert len(body) == 100_000
    assert len(answers) == 1
    assert server.asked[0].headers["host"] == f"rebind.example:{server.port}"


async def test_an_address_that_does_not_answer_gives_way_to_the_next(server: Receiver) -> None:
    async def two(host: str, port: int) -> list[str]:
        return ["127.0.0.2", "127.0.0.1"]  # the server listens on the second only

    outbound = Outbound((ip_network("127.0.0.0/8"),), two)
    assert len(await read(outbound, server.url(host="two.example"))) == 100_000


@pytest.mark.parametrize("found", [OSError("no such name"), UnicodeError("label too long"), []])
async def test_a_name_without_an_address_is_said(found: object) -> None:
    async def nothing(host: str, port: int) -> list[str]:
        if isinstance(found, Exception):
            raise found
        return []

    with pytest.raises(FetchFailed, match="host name"):
        await Outbound(resolve=nothing).check("https://nowhere.example/")


async def test_names_are_looked_up_for_real() -> None:
    assert "127.0.0.1" in await resolve("localhost", 80) or "::1" in await resolve("localhost", 80)


# ---- redirects


async def test_a_redirect_is_followed_without_credentials_for_others(server: Receiver) -> None:
    def onwards(asked: Asked) -> Answer:
        return Answer(302, {"Location": server.url("/there")})

    async def anywhere(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    with receiver(onwards) as first:
        url = first.url("/here").replace("://", "://user:secret@")
        await read(Outbound(LOOPBACK, anywhere), url)
    assert first.asked[0].headers["authorization"] == "Basic dXNlcjpzZWNyZXQ="
    assert server.asked[0].path == "/there"
    assert "authorization" not in server.asked[0].headers


async def test_credentials_stay_on_the_same_host() -> None:
    def twice(asked: Asked) -> Answer:
        return Answer(307, {"Location": "/b"}) if asked.path == "/a" else Answer(body=b"ok")

    with receiver(twice) as server:
        assert await read(WIDE, server.url("/a").replace("://", "://u:p@")) == b"ok"
    assert ["authorization" in asked.headers for asked in server.asked] == [True, True]


@pytest.mark.parametrize(
    "location",
    ["http://169.254.169.254/latest", "http://10.0.0.1/", "file:///etc/passwd", "http://127.0.0.2/", "//0/"],
)
async def test_a_redirect_inwards_is_refused(location: str) -> None:
    with receiver(lambda asked: Answer(302, {"Location": location})) as server, pytest.raises(UrlRefused):
        await read(WIDE, server.url())
    assert len(server.asked) == 1


async def test_redirects_end() -> None:
    failed = pytest.raises(FetchFailed, match=str(MAX_REDIRECTS))
    with receiver(lambda asked: Answer(302, {"Location": "/again"})) as server, failed:
        await read(WIDE, server.url())
    assert len(server.asked) == MAX_REDIRECTS + 1


# ---- answers


async def test_a_body_said_to_be_too_large_is_not_read(server: Receiver) -> None:
    with pytest.raises(TooLarge):
        await read(WIDE, server.url(), max_bytes=99_999)


async def test_a_body_that_turns_out_too_large_is_read_no_further() -> None:
    with receiver(lambda asked: Answer(body=b"x" * 5000, length=False)) as server:
        with pytest.raises(TooLarge):
            await read(WIDE, server.url(), max_bytes=4999)
        assert len(await read(WIDE, server.url(), max_bytes=5000)) == 5000


async def test_another_status_is_said_and_never_the_body() -> None:
    answer = Answer(403, body=b"a secret of theirs")
    with receiver(lambda asked: answer) as server, pytest.raises(FetchFailed) as failed:
        await read(WIDE, server.url())
    assert "status 403" in failed.value.sentence
    assert "secret" not in failed.value.sentence
    assert failed.value.status == 400


async def test_a_compressed_answer_is_refused() -> None:
    answer = Answer(headers={"Content-Encoding": "gzip"}, body=b"x")
    with receiver(lambda asked: answer) as server, pytest.raises(FetchFailed, match="compressed"):
        await read(WIDE, server.url())
    assert server.asked[0].headers["accept-encoding"] == "identity"


async def test_a_body_that_stops_coming_is_given_up() -> None:
    never = threading.Event()
    try:
        with receiver(lambda asked: Answer(body=b"x", hang=never)) as server:
            with pytest.raises(FetchFailed, match="in time"):
                await read(WIDE, server.url(), within_s=0.3)
            never.set()
    finally:
        never.set()


async def test_who_reads_slowly_is_not_taken_for_a_slow_server(server: Receiver) -> None:
    async with WIDE.stream_get(server.url(), 100_000, within_s=0.5) as fetched:
        first = await anext(fetched.chunks)
        await asyncio.sleep(0.7)  # longer than the other side may take in all
        rest = b"".join([chunk async for chunk in fetched.chunks])
    assert len(first + rest) == 100_000


async def test_a_body_that_is_cut_off_is_a_failure() -> None:
    def lie(asked: Asked) -> Answer:
        return Answer(headers={"Content-Length": "10"}, body=b"short", length=False)

    with receiver(lie) as server, pytest.raises(FetchFailed, match="cut off"):
        await read(WIDE, server.url())


async def test_a_closed_port_is_a_failure() -> None:
    with receiver() as server:
        url = server.url()
    with pytest.raises(FetchFailed, match="connected"):
        await read(WIDE, url)
    with pytest.raises(GatewayError):
        await WIDE.post(url, b"", {})


async def test_the_environment_s_proxy_is_not_used(server: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    assert len(await read(WIDE, server.url())) == 100_000


# ---- posting


async def test_what_is_posted_arrives_and_its_status_comes_back() -> None:
    with receiver(lambda asked: Answer(418)) as server:
        assert await WIDE.post(server.url("/hook"), b"{}", {"webhook-id": "1"}) == 418
        assert await WIDE.post(server.url("/hook"), b"{}", {}, method="PUT") == 418
    assert [asked.method for asked in server.asked] == ["POST", "PUT"]
    assert (server.asked[0].body, server.asked[0].headers["webhook-id"]) == (b"{}", "1")


async def test_a_post_follows_no_redirect() -> None:
    with receiver(lambda asked: Answer(307, {"Location": "/elsewhere"})) as server:
        assert await WIDE.post(server.url(), b"{}", {}) == 307
    assert len(server.asked) == 1


# ---- TLS


def certificate(folder: Path, name: str) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = folder / f"{name}.pem"
    pem.write_bytes(
        signed.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return pem


async def test_the_certificate_is_that_of_the_name_although_the_address_is_connected_to(
    tmp_path: Path,
) -> None:
    pem = certificate(tmp_path, "audio.example")
    asked_for: list[str | None] = []
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(pem)
    theirs.sni_callback = lambda _, name, __: asked_for.append(name)

    async def here(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    outbound = Outbound(LOOPBACK, here, ssl.create_default_context(cafile=pem))
    with receiver(lambda asked: Answer(body=b"ok"), tls=theirs) as server:
        assert await read(outbound, server.url(host="audio.example", scheme="https")) == b"ok"
        assert asked_for == ["audio.example"]
        with pytest.raises(FetchFailed, match="certificate"):
            await read(outbound, server.url(host="other.example", scheme="https"))
        with pytest.raises(FetchFailed, match="certificate"):
            await read(Outbound(LOOPBACK, here), server.url(host="audio.example", scheme="https"))
