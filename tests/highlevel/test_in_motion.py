"""What protects a credential on its way: TLS that is verified, no redirects, proxies, bounds on answers."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
import time
from contextlib import asynccontextmanager

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tasks import transport, wire
from tasks.errors import Fatal, ServiceUnavailable
from tasks.highlevel.access import BearerToken
from tasks.transport import Transport

TOKEN = "pit-0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
NAMES = [x509.DNSName("localhost"), x509.DNSName("api.test")]


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    """No proxy and no authority of the developer's; whom we trust is read anew."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    wire.trust.cache_clear()
    yield
    wire.trust.cache_clear()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A self-signed certificate with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "voipsync test")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(NAMES), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@asynccontextmanager
async def listening(handle, certificate=None):
    """A server on loopback; answers its port and what it has read from each connection."""
    seen, running = [], set()

    async def connected(reader, writer):
        running.add(asyncio.current_task())
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            seen.append(head)
            await handle(head, reader, writer)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, OSError):
            pass
        finally:
            writer.transport.abort()
            await asyncio.sleep(0.01)

    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1], seen
    finally:
        server.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def answers(_head, _reader, writer):
    writer.write(ANSWER)
    await writer.drain()
    await asyncio.sleep(0.1)


async def ask(url, **options):
    there = Transport("HighLevel", url, BearerToken(TOKEN), **options)
    try:
        return await there.request("GET", "/contacts/c1")
    finally:
        await there.close()


async def test_a_certificate_that_nobody_signed_is_refused_at_once_with_one_clear_line(certificate):
    async with listening(answers, certificate) as (port, seen):
        started = time.monotonic()
        with pytest.raises(Fatal) as raised:
            await ask(f"https://localhost:{port}")
    assert time.monotonic() - started < 2
    line = str(raised.value)
    assert line == (
        f"HighLevel at https://localhost:{port}: its certificate is not trusted (self-signed certificate): "
        "check base_url; where the network inspects TLS, name its authority in SSL_CERT_FILE"
    )
    assert seen == []


async def test_a_certificate_for_another_name_is_refused(certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    async with listening(answers, certificate) as (port, seen):
        assert (await ask(f"https://localhost:{port}")).status == 200
        with pytest.raises(Fatal, match=r"its certificate is not trusted \(IP address mismatch"):
            await ask(f"https://127.0.0.1:{port}")
    assert len(seen) == 1


async def test_a_redirect_is_not_followed_with_the_credential():
    async with listening(answers) as (elsewhere, stolen):

        async def redirects(_head, _reader, writer):
            place = f"http://127.0.0.1:{elsewhere}/contacts/c1"
            writer.write(f"HTTP/1.1 307 Temporary\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n".encode())
            await writer.drain()

        async with listening(redirects) as (port, _):
            with pytest.raises(Fatal, match=r"redirects \(HTTP 307\) and is not followed"):
                await ask(f"http://127.0.0.1:{port}")
    assert stolen == []


async def test_a_proxy_is_honoured_and_sees_no_more_than_the_host(certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    async with listening(answers, certificate) as (target, seen):

        async def tunnels(_head, reader, writer):
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", target)
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await asyncio.gather(_pump(reader, there_writer), _pump(there_reader, writer))

        async with listening(tunnels) as (proxy, asked):
            monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy}")
            assert (await ask("https://api.test")).status == 200
    assert [head.split(b"\r\n")[0] for head in asked] == [b"CONNECT api.test:443 HTTP/1.1"]
    assert TOKEN.encode() not in asked[0]
    assert TOKEN.encode() in seen[0]


async def _pump(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.transport.abort()


async def test_what_has_no_certificate_goes_through_no_proxy(monkeypatch):
    async with listening(answers) as (port, seen), listening(answers) as (proxy, asked):
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy}")
        monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{proxy}")
        assert (await ask(f"http://127.0.0.1:{port}")).status == 200
    assert (len(seen), asked) == (1, [])


async def test_an_answer_without_end_is_not_read_to_its_end(monkeypatch):
    monkeypatch.setattr(wire, "ANSWER_BYTES", 100_000)
    monkeypatch.setattr(transport, "FIRST_PATIENCE_SECONDS", 0.0)
    sent = 0

    async def floods(_head, _reader, writer):
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while sent < 50_000_000:
            writer.write(b"x" * 10_000)
            sent += 10_000
            await writer.drain()

    async with listening(floods) as (port, _):
        with pytest.raises(ServiceUnavailable, match="an answer larger than is read"):
            await ask(f"http://127.0.0.1:{port}")
    assert sent < 20_000_000


async def test_an_answer_that_drips_is_given_up(monkeypatch):
    monkeypatch.setattr(transport, "ATTEMPT_SECONDS", 0.5)
    monkeypatch.setattr(transport, "FIRST_PATIENCE_SECONDS", 0.0)

    async def drips(_head, _reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(100):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with listening(drips) as (port, _):
        started = time.monotonic()
        with pytest.raises(ServiceUnavailable, match=r"no answer \(time-out\)"):
            await ask(f"http://127.0.0.1:{port}")
    assert time.monotonic() - started < 3
