"""TLS, on httpx's own transport and on ours: who is trusted, what is told beforehand, and how it ends."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
from collections.abc import Callable

import httpx
import pytest
import trustme
from wire_kit import TRANSPORTS, ask, fast, pieces
from wire_server import Request, Server, answer, server_context

both = pytest.mark.parametrize("make", TRANSPORTS.values(), ids=TRANSPORTS.keys())
Make = Callable[..., httpx.AsyncBaseTransport]
AUTHORITY = trustme.CA()
YESTERDAY = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)


def trusting(*authorities: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    for authority in authorities:
        authority.configure_trust(context)
    return context


def certified(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


@both
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
@pytest.mark.asyncio
async def test_requests_over_tls(make: Make, host: str) -> None:
    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(request.body))

    server = Server(script)
    async with server.serving(server_context(AUTHORITY, host)), make(verify=trusting(AUTHORITY)) as transport:
        url = f"https://{host}:{server.port}/"
        for size in (0, 1, 16_384, 3_000_000):
            body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
            assert (await ask(transport, url, method="POST", content=body)).body == body
            assert (await ask(transport, url, method="POST", content=pieces(body, body))).body == body * 2
    assert server.connections == 1


UNTRUSTED = {
    "another host": (lambda: AUTHORITY.issue_cert("example.com"), AUTHORITY),
    "an address in place of a name": (lambda: AUTHORITY.issue_cert("127.0.0.1"), AUTHORITY),
    "an unknown authority": (lambda: AUTHORITY.issue_cert("localhost"), trustme.CA()),
    "no authority": (lambda: AUTHORITY.issue_cert("localhost"), None),
    "expired": (lambda: AUTHORITY.issue_cert("localhost", not_after=YESTERDAY), AUTHORITY),
}


@both
@pytest.mark.parametrize("name", UNTRUSTED)
@pytest.mark.asyncio
async def test_who_is_not_trusted_is_told_nothing(make: Make, name: str) -> None:
    certificate, trusted = UNTRUSTED[name]
    context = trusting() if trusted is None else trusting(trusted)
    server = Server()
    made = make(verify=context, limits=httpx.Limits(max_connections=1))
    async with server.serving(certified(certificate())), made as transport:
        for _ in range(2):
            outcome = await ask(transport, f"https://localhost:{server.port}/", headers={"access_token": "x"})
            assert outcome.error == "ConnectError"
    assert server.received == 0


@both
@pytest.mark.asyncio
async def test_the_name_and_the_protocol_are_told_beforehand(make: Make) -> None:
    told: list[str | None] = []
    spoken: list[str | None] = []

    def note(_: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> None:
        told.append(name)

    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        secure = writer.get_extra_info("ssl_object")
        assert isinstance(secure, ssl.SSLObject)
        spoken.append(secure.selected_alpn_protocol())
        writer.write(answer())

    context = server_context(AUTHORITY, "localhost")
    context.sni_callback = note
    context.set_alpn_protocols(["h2", "http/1.1"])
    server = Server(script)
    async with server.serving(context), make(verify=trusting(AUTHORITY)) as transport:
        assert (await ask(transport, f"https://localhost:{server.port}/")).status == 200
    assert told == ["localhost"]
    assert spoken == ["http/1.1"]


@both
@pytest.mark.asyncio
async def test_another_name_may_be_told(make: Make) -> None:
    server = Server()
    context = server_context(AUTHORITY, "elsewhere.example.com")
    async with server.serving(context), make(verify=trusting(AUTHORITY)) as transport:
        url = f"https://localhost:{server.port}/"
        named = {"sni_hostname": "elsewhere.example.com"}
        assert (await ask(transport, url, extensions=named)).status == 200
        if make is TRANSPORTS["wire"]:  # httpx's pool does not tell such connections from others
            assert (await ask(transport, url)).error == "ConnectError"


@both
@pytest.mark.asyncio
async def test_a_handshake_that_stalls(make: Make) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(3))
        await reader.read()
        writer.close()
        ended.set()

    heard: list[bytes] = []
    ended = asyncio.Event()
    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server, make(verify=trusting(AUTHORITY)) as transport:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        assert (await ask(transport, url, timeout={"connect": 0.1})).error == "ConnectTimeout"
        await ended.wait()
    assert heard == [b"\x16\x03\x01"]


@both
@pytest.mark.parametrize("words", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", b"\x15\x03\x01\x00\x02\x02\x28"])
@pytest.mark.asyncio
async def test_whoever_speaks_no_tls(make: Make, words: bytes) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(words)
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    async with server, make(verify=trusting(AUTHORITY)) as transport:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        assert (await ask(transport, url)).error == "ConnectError"


ENDINGS = {
    "sized": (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello", "RemoteProtocolError"),
    "in chunks": (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", "RemoteProtocolError"),
    "to the end": (b"HTTP/1.1 200 OK\r\n\r\nhello", ""),
    "head": (b"HTTP/1.1 200 OK\r\nx: y", "RemoteProtocolError"),
    "nothing": (b"", "RemoteProtocolError"),
}


@both
@pytest.mark.parametrize("name", ENDINGS)
@pytest.mark.asyncio
async def test_an_end_with_a_farewell(make: Make, name: str) -> None:
    words, error = ENDINGS[name]

    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(words)
        writer.close()

    server = Server(script)
    async with server.serving(server_context(AUTHORITY, "localhost")), make(verify=trusting(AUTHORITY)) as transport:
        outcome = await ask(transport, f"https://localhost:{server.port}/")
        assert (outcome.error, outcome.body) == (error, b"hello" if not error else b"")


@both
@pytest.mark.parametrize("name", ENDINGS)
@pytest.mark.asyncio
async def test_an_end_without_a_farewell(make: Make, name: str) -> None:
    """Somebody on the way may have cut it. Only a body that ends with its connection alone gives no sign of that."""
    words, error = ENDINGS[name]

    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(words)
        raw = writer.transport.get_extra_info("socket")
        raw.shutdown(1)

    server = Server(script)
    async with server.serving(server_context(AUTHORITY, "localhost")), make(verify=trusting(AUTHORITY)) as transport:
        outcome = await ask(transport, f"https://localhost:{server.port}/")
        assert outcome.error in ({"RemoteProtocolError", "ReadError"} if error else {""})


@pytest.mark.asyncio
async def test_a_farewell_while_idle_is_answered() -> None:
    server = Server()
    context = server_context(AUTHORITY, "localhost")
    async with server.serving(context), fast(verify=trusting(AUTHORITY)) as transport:
        for number in range(1, 4):
            assert (await ask(transport, f"https://localhost:{server.port}/")).status == 200
            assert server.connections == number
            for writer in server.writers:
                writer.close()
            await server.closed.wait()
            server.closed.clear()


@both
@pytest.mark.asyncio
async def test_a_server_that_asks_who_we_are(make: Make) -> None:
    asking = server_context(AUTHORITY, "localhost")
    asking.verify_mode = ssl.CERT_REQUIRED
    AUTHORITY.configure_trust(asking)
    server = Server()
    nameless, named = trusting(AUTHORITY), trusting(AUTHORITY)
    AUTHORITY.issue_cert("client@example.com").configure_cert(named)
    async with server.serving(asking):
        url = f"https://localhost:{server.port}/"
        async with make(verify=nameless) as transport:
            refused = await ask(transport, url)  # with TLS 1.3 that comes after the handshake
            assert refused.error in {"ConnectError", "ReadError", "WriteError", "RemoteProtocolError"}
        async with make(verify=named) as transport:
            assert (await ask(transport, url)).status == 200
