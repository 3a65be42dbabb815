"""The pool as an httpcore pool: requests and answers of any kind, streamed both ways."""

from __future__ import annotations

import asyncio
import math
import re
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from typing import Any, cast

import httpcore

from dfinery_async.core.reply import RawHeaders
from dfinery_async.runtime.wire.connection import Address, Connection
from dfinery_async.runtime.wire.deadlines import Deadlines
from dfinery_async.runtime.wire.patched import is_patched
from dfinery_async.runtime.wire.pool import Pool, PoolLimits

__all__ = ["HttpPool"]

_FRAMING = {b"content-length", b"transfer-encoding"}
_PORTS = {b"http": 80, b"https": 443}
_LEFT_TO_HTTPCORE = {"trace", "sni_hostname"}  # extensions that need its own connections
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(rb"[^\x00\r\n]*")


class HttpPool(httpcore.AsyncConnectionPool):
    """An httpcore pool with connections, and an assignment of requests to them, of its own.

    What it does not speak (CONNECT, an upgrade, tracing) and what somebody has patched (a mock, a tracer) goes the way
    of the stock pool, which this is too.

    Args:
        context: for TLS.
        limits: bounds; the stock pool gets the same.
    """

    def __init__(self, context: ssl.SSLContext, limits: PoolLimits) -> None:
        super().__init__(
            ssl_context=context,
            max_connections=_whole(limits.connections),
            max_keepalive_connections=_whole(limits.idle),
            keepalive_expiry=None if limits.expiry == math.inf else limits.expiry,
        )
        self.wire: Pool = Pool(context, limits)

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send a request and return its answer, whose body is still under way."""
        if is_patched() or not _spoken(request):
            return await super().handle_async_request(request)
        timeouts = cast("Mapping[str, float | None]", _extensions(request).get("timeout") or {})
        head, framing = _head(request)
        pieces = cast("AsyncIterable[bytes]", request.stream).__aiter__()
        head += framing.frame(await anext(pieces, b""))  # no connection waits for a body that is slow to begin
        connection = await self.wire.acquire(_address(request), timeouts.get("connect"), timeouts.get("pool"))
        try:
            status, headers = await _exchange(
                connection, request, head=head, pieces=pieces, framing=framing, deadlines=_deadlines(timeouts)
            )
        except BaseException:
            connection.abort()
            self.wire.release(connection)
            raise
        return httpcore.Response(
            status,
            headers=headers,
            content=_Body(connection, self.wire),
            extensions={
                "http_version": connection.version,
                "reason_phrase": connection.reason,
                "network_stream": _Network(connection),
            },
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self.wire.aclose()
        await super().aclose()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.wire.stats()}>"


class _Body:
    """The body of an answer; closing it gives the connection back."""

    def __init__(self, connection: Connection, pool: Pool) -> None:
        self._connection: Connection | None = connection
        self._pool = pool

    async def __aiter__(self) -> AsyncIterator[bytes]:
        connection = self._connection
        if connection is None:
            return
        try:
            while chunk := await connection.chunk():
                yield chunk
        except BaseException:
            if self._connection is connection:  # else it was given back, and may serve somebody else by now
                connection.abort()
            raise

    async def aclose(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.finish()
            self._pool.release(connection)


class _Network(httpcore.AsyncNetworkStream):
    """What an answer tells of the network: its addresses and its TLS, nothing to read or write."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get_extra_info(self, info: str) -> Any:
        names = {"client_addr": "sockname", "server_addr": "peername", "ssl_object": "ssl_object", "socket": "socket"}
        return self._connection.detail(names[info]) if info in names else None


class _Framing:
    """How a request's body is told from what follows: by its length, or piece by piece."""

    def __init__(self, headers: RawHeaders) -> None:
        told = [(name.lower(), value) for name, value in headers if name.lower() in _FRAMING]
        if len(told) > 1:
            raise httpcore.LocalProtocolError("More than one header tells the length of the body")
        name, value = told[0] if told else (b"content-length", b"0")
        self.chunked: bool = name == b"transfer-encoding"
        if value.lower() != b"chunked" if self.chunked else not value.isdigit():
            raise httpcore.LocalProtocolError("Illegal length of the body")
        self.left: int = 0 if self.chunked else int(value)

    def frame(self, piece: bytes) -> bytes:
        if self.chunked:
            return b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b""
        self.left -= len(piece)
        if self.left < 0:
            raise httpcore.LocalProtocolError("Too much data for declared Content-Length")
        return piece

    def end(self) -> bytes:
        if self.left:
            raise httpcore.LocalProtocolError("Too little data for declared Content-Length")
        return b"0\r\n\r\n" if self.chunked else b""


async def _exchange(
    connection: Connection,
    request: httpcore.Request,
    *,
    head: bytes,
    pieces: AsyncIterator[bytes],
    framing: _Framing,
    deadlines: Deadlines,
) -> tuple[int, RawHeaders]:
    """Send a request and return the head of its answer. An answer that comes early ends the sending."""
    headless = request.method == b"HEAD"
    now = asyncio.get_running_loop().time()
    waiter = connection.begin(head, now, deadlines, streamed=True, headless=headless)
    if _asks_to_close(request.headers):
        connection.spoil()
    async for piece in pieces:
        if connection.answered:
            break
        await connection.write(framing.frame(piece))
    if connection.answered:
        connection.spoil()
    else:
        await connection.write(framing.end())
        connection.written()
    status, headers = await connection.head(waiter)
    if any(name.lower() == b"transfer-encoding" and value.lower() != b"chunked" for name, value in headers):
        raise httpcore.RemoteProtocolError("the answer is coded in a way that nobody asked for")
    return status, [(name, value.rstrip(b" \t")) for name, value in headers]


def _asks_to_close(headers: RawHeaders) -> bool:
    return any(name.lower() == b"connection" and b"close" in value.lower() for name, value in headers)


def _head(request: httpcore.Request) -> tuple[bytes, _Framing]:
    """Write a request's head. Nothing in it may break out of its line."""
    headers = request.headers
    lines = [b"%b %b HTTP/1.1" % (request.method, request.url.target)]
    for name, value in sorted(headers, key=lambda header: header[0].lower() != b"host"):
        if not _TOKEN.fullmatch(name):
            raise httpcore.LocalProtocolError("Illegal header name")
        value = value.strip(b" \t")  # noqa: PLW2901 - as it goes out
        if not _VALUE.fullmatch(value):
            raise httpcore.LocalProtocolError("Illegal header value")
        lines.append(b"%b: %b" % (name, value))
    if not _TOKEN.fullmatch(request.method) or any(byte <= 0x20 or byte == 0x7F for byte in request.url.target):
        raise httpcore.LocalProtocolError("Illegal request line")
    return b"\r\n".join(lines) + b"\r\n\r\n", _Framing(headers)


def _spoken(request: httpcore.Request) -> bool:
    """Whether this is HTTP/1.1 as we speak it."""
    return (
        request.url.scheme in _PORTS
        and request.method != b"CONNECT"
        and not any(name.lower() == b"upgrade" for name, _ in request.headers)
        and _LEFT_TO_HTTPCORE.isdisjoint(_extensions(request))
    )


def _extensions(request: httpcore.Request) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", request.extensions)  # pyright: ignore[reportUnknownMemberType] - untyped there


def _address(request: httpcore.Request) -> Address:
    url = request.url
    return url.host.decode("ascii"), url.port or _PORTS[url.scheme], url.scheme == b"https"


def _deadlines(timeouts: Mapping[str, float | None]) -> Deadlines:
    read, write = timeouts.get("read"), timeouts.get("write")
    return Deadlines(read=math.inf if read is None else read, write=math.inf if write is None else write)


def _whole(number: float) -> int | None:
    return None if number == math.inf else int(number)
