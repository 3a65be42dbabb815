"""A server on the loopback interface whose every byte a test writes."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import trustme

from dfinery_async import DfineryClient, RetryConfig

IMPORT_TOKEN = "import-token-CANARY"
EXPORT_TOKEN = "export-token-CANARY"
SUCCESS = b'{"status":true,"code":"20000","message":"OK","data":true}'
ONE_TRY = RetryConfig(total=10.0, base=1e9, cap=1e9, unexpected_attempts=1)

_CHUNK = re.compile(rb"([0-9a-f]+)\r\n")


def answer(body: bytes = SUCCESS, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


class Request:
    """One request as it stood on the wire.

    Attributes:
        raw: all its bytes.
        headers: lower-case names; of those that stand twice, the last one.
        body: without its chunks' frames.
        connection: on which one it came, counted from 1.
    """

    def __init__(self, head: bytes, rest: bytes, body: bytes, connection: int) -> None:
        self.raw = head + rest
        self.line, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        self.headers = _named(lines)
        self.body = body
        self.connection = connection


def _named(lines: list[str]) -> dict[str, str]:
    pairs = [line.partition(":") for line in lines]
    return {name.lower(): value.strip() for name, _, value in pairs}


def take_request(received: bytearray, connection: int) -> Request | None:
    """Take the first request off what was received, once it is there whole."""
    end = received.find(b"\r\n\r\n") + 4
    if end < 4:
        return None
    headers = _named(received[:end].decode("latin-1").rstrip("\r\n").split("\r\n")[1:])
    chunked = headers.get("transfer-encoding") == "chunked"
    until, body = _chunked(received, end) if chunked else _sized(received, end, int(headers.get("content-length", 0)))
    if until > len(received):
        return None
    request = Request(bytes(received[:end]), bytes(received[end:until]), body, connection)
    del received[:until]
    return request


def _sized(received: bytearray, start: int, length: int) -> tuple[int, bytes]:
    return start + length, bytes(received[start : start + length])


def _chunked(received: bytearray, start: int) -> tuple[int, bytes]:
    body = b""
    while (size := _CHUNK.match(received, start)) is not None:
        begin = size.end()
        start = begin + int(size[1], 16) + 2
        if start > len(received):
            break
        if start == begin + 2:
            return start, body
        body += received[begin : start - 2]
    return len(received) + 1, b""


Script = Callable[[Request, asyncio.StreamWriter], Awaitable[object]]


class Server:
    """A bare HTTP server.

    Args:
        script: writes what comes back; the connection stays open unless it closes it.
    """

    def __init__(self, script: Script | bytes = answer()) -> None:  # noqa: B008 - bytes are frozen
        self.script = script
        self.requests: list[Request] = []
        self.received = 0
        self.connections = 0
        self.open = 0
        self.in_air = 0
        self.most_in_air = 0
        self.closed = asyncio.Event()
        self.writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    @asynccontextmanager
    async def serving(self, context: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> AsyncIterator[Server]:
        server = await asyncio.start_server(self._serve, host, self.port, ssl=context)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for writer in self.writers:
                writer.transport.abort()
            while self.open:  # noqa: ASYNC110 - a few turns of the loop, in which the connections hear of it
                await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = self.connections = self.connections + 1
        self.open += 1
        self.writers.add(writer)
        received = bytearray()
        try:
            while data := await reader.read(1 << 18):
                self.received += len(data)
                received += data
                while (request := take_request(received, number)) is not None:
                    await self._answer(request, writer)
        except OSError:
            pass
        finally:
            writer.close()
            self.writers.discard(writer)
            self.open -= 1
            self.closed.set()

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self.requests.append(request)
        self.in_air += 1
        self.most_in_air = max(self.most_in_air, self.in_air)
        try:
            if isinstance(self.script, bytes):
                writer.write(self.script)
            else:
                await self.script(request, writer)
        finally:
            self.in_air -= 1


class Gate:
    """A script that answers once all are there."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._there = 0
        self.passed = asyncio.Event()

    async def __call__(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self._there += 1
        if self._there >= self._number:
            self.passed.set()
        await self.passed.wait()
        writer.write(answer())


def ends_with(data: bytes) -> Script:
    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        writer.close()

    return script


def server_context(authority: trustme.CA, host: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)
    return context


def client_of(server: Server, scheme: str = "http", host: str = "127.0.0.1", **settings: Any) -> DfineryClient:
    settings = {"retry": ONE_TRY, **settings}
    return DfineryClient(
        "svc",
        import_token=IMPORT_TOKEN,
        export_token=EXPORT_TOKEN,
        base_url=f"{scheme}://{host}:{server.port}",
        **settings,
    )
