from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from prometheus_client import REGISTRY

from gateway import certificates
from gateway.certificates import Address, Watch, addresses, expiry

UNTIL = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "stt.example.com")])


def certificate(folder: Path, until: datetime = UNTIL) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    made = (
        x509.CertificateBuilder()
        .subject_name(NAME)
        .issuer_name(NAME)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(until - timedelta(days=90))
        .not_valid_after(until)
        .sign(key, hashes.SHA256())
    )
    file = folder / "certificate.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


@asynccontextmanager
async def listening(context: ssl.SSLContext | None) -> AsyncIterator[Address]:
    """With None, one that takes the connection and says nothing."""
    gone = asyncio.Event()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await gone.wait()
        writer.close()

    server = await asyncio.start_server(hold, "127.0.0.1", 0, ssl=context)
    async with server:
        yield "127.0.0.1", server.sockets[0].getsockname()[1]
        gone.set()


def told(name: str, address: Address) -> float | None:
    return REGISTRY.get_sample_value(
        f"stenogate_gateway_certificate_{name}", {"address": f"{address[0]}:{address[1]}"}
    )


async def test_it_says_when_the_certificate_of_an_address_expires(tmp_path: Path) -> None:
    async with listening(certificate(tmp_path)) as address:
        assert await expiry(address) == UNTIL
        await Watch(lambda: [address]).refresh()
        assert told("expires_timestamp_seconds", address) == UNTIL.timestamp()
        assert told("unreadable", address) == 0


async def test_one_that_has_expired_is_read_all_the_same(tmp_path: Path) -> None:
    async with listening(certificate(tmp_path, datetime(2020, 1, 1, tzinfo=UTC))) as address:
        assert (await expiry(address)).year == 2020


async def test_an_address_that_shows_none_is_told_and_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with listening(certificate(tmp_path)) as gone:
        await Watch(lambda: [gone]).refresh()
    monkeypatch.setattr(certificates, "TIMEOUT_S", 0.1)
    async with listening(None) as silent, asyncio.timeout(10):
        await Watch(lambda: [silent, gone, ("name.invalid", 443)]).refresh()
    for address in (silent, gone, ("name.invalid", 443)):
        assert told("unreadable", address) == 1
    assert told("expires_timestamp_seconds", silent) is None
    assert told("expires_timestamp_seconds", gone) == UNTIL.timestamp()  # what was known of it stays


async def test_it_looks_now_and_then_however_often_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    now, looks, where = 0.0, [], [("a.invalid", 443)]

    async def look(address: Address) -> None:
        looks.append((now, address[0]))

    monkeypatch.setattr(certificates, "look", look)
    watch = Watch(lambda: where, lambda: now)
    for now in (0.0, 1.0, 299.0, 300.0, 301.0):  # noqa: B007 (the clock reads it)
        await watch.refresh()
    assert looks == [(0.0, "a.invalid"), (300.0, "a.invalid")]
    now, where = 302.0, [("b.invalid", 443)]
    await watch.refresh()
    assert looks[2:] == [(302.0, "b.invalid")]  # a new one is looked at at once


async def test_an_address_that_is_one_no_longer_is_forgotten(tmp_path: Path) -> None:
    now = 0.0
    async with listening(certificate(tmp_path)) as address:
        where = [address, ("name.invalid", 443)]
        watch = Watch(lambda: where, lambda: now)
        await watch.refresh()
        assert told("unreadable", address) == 0
        now, where = 300.0, []
        await watch.refresh()
    for one in (address, ("name.invalid", 443)):
        assert told("unreadable", one) is told("expires_timestamp_seconds", one) is None


def test_public_addresses_that_speak_tls_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CERTIFICATE_ADDRESSES", "b.example:8443")
    public = ["https://stt.example.com", "https://b.example:8443/x", "http://c.example", ""]
    assert addresses(public) == (("b.example", 8443), ("stt.example.com", 443))
    assert len(addresses(f"https://{number}.example" for number in range(1000))) == certificates.MOST
